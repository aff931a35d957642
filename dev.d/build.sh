# shellcheck shell=bash
cmd_build() {
    local preset=${1:-release}
    [ $# -gt 0 ] && shift
    install_packages build
    if [ "$preset" = fuzz ]; then install_packages fuzz; fi
    build_preset "$preset" "$@"
    say "Programs are in build/$preset/bin"
}
