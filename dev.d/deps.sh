# shellcheck shell=bash
cmd_deps() {
    [ $# -gt 0 ] || set -- all
    install_packages "$@"
    say "All packages of '$*' are installed"
}
