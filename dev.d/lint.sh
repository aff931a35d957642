# shellcheck shell=bash
# The linters: shellcheck, cppcheck, clang-tidy. Settings: .clang-tidy, .cppcheck-suppressions.
cmd_lint() {
    install_packages build lint
    lint_shell
    build_preset release
    lint_cppcheck
    lint_tidy
    say "Lint is clean"
}

lint_shell() {
    say "shellcheck"
    local files
    mapfile -t files < <(shell_files)
    shellcheck "${files[@]}"
}

lint_cppcheck() {
    say "cppcheck"
    mkdir -p build/cppcheck
    local generated
    mapfile -t generated < <(find build/release -type d -name generated -printf '-I%p\n')
    cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability,performance \
        --inline-suppr --suppressions-list=.cppcheck-suppressions --cppcheck-build-dir=build/cppcheck \
        -j "$(nproc)" -D_GNU_SOURCE -I shared -I proto -I services/api-front "${generated[@]}" \
        shared services examples
}

# clang-tidy on everything that is shipped; files that have not changed since they were last found
# clean (by content, and that of every header) are left out.
lint_tidy() {
    say "clang-tidy"
    mkdir -p build/tidy
    local headers file
    headers=$(find services shared proto examples .clang-tidy \( -name '*.h' -o -name '*.def' -o -name '*.inc' \
        -o -name .clang-tidy \) -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-16)
    local todo=()
    while read -r file; do
        [ -e "build/tidy/$(tidy_stamp "$headers" "$file")" ] || todo+=("$file")
    done < <(find services shared examples -name '*.c' | sort)
    [ ${#todo[@]} -gt 0 ] || return 0
    # One file a process: clang-tidy 14 takes the second file's va_list for uninitialized.
    printf '%s\0' "${todo[@]}" | xargs -0 -n 1 -P "$(nproc)" \
        clang-tidy --quiet -p build/release --extra-arg=-Wno-unknown-warning-option --warnings-as-errors='*' 2>build/tidy/stderr.log
    for file in "${todo[@]}"; do : >"build/tidy/$(tidy_stamp "$headers" "$file")"; done
}

tidy_stamp() { printf '%s-%s' "$1" "$(sha256sum <"$2" | cut -c1-24)"; }
