# shellcheck shell=bash
# format: rewrites; format --check: complains (also what .ci/run calls first).
cmd_format() {
    install_packages lint
    local files
    mapfile -t files < <(c_files)
    if [ "${1:-}" = --check ]; then
        clang-format --dry-run -Werror "${files[@]}"
    else
        clang-format -i "${files[@]}"
    fi
}
