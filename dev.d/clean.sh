# shellcheck shell=bash
cmd_clean() {
    rm -rf build
    say "Removed build/"
}
