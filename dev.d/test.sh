# shellcheck shell=bash
# test: installs, builds, runs everything. test --ci: with formatting, lint and sanitizers on top,
# the fast checks first, independent ones side by side (logs: build/ci/*.log).
# The very last line is 'N passed, N failed[, N skipped]'.

TEST_FAILED=0
TEST_REPEAT=()

cmd_test() {
    if [ "${1:-}" = --ci ]; then
        test_ci
    else
        install_packages build run test
        build_preset release
        test_run release ${1:+-R "$1"} || TEST_FAILED=1
        test_totals build/release/last-test.log
    fi
    exit "$TEST_FAILED"
}

# test_run PRESET CTEST-ARGUMENTS...: every test of that build; what fails is shown.
test_run() {
    local preset=$1
    shift
    say "Tests of build/$preset"
    rm -f "build/$preset/Testing/Temporary/LastTest.log"
    # A sanitizer's finding is an exit code that no test takes for good; leaks count.
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 \
        TSAN_OPTIONS="suppressions=$ROOT/tests/support/tsan.supp" \
        ctest --test-dir "build/$preset" -j "$(nproc)" --output-on-failure --no-tests=error "${TEST_REPEAT[@]}" "$@" ||
        TEST_FAILED=1
    cp "build/$preset/Testing/Temporary/LastTest.log" "build/$preset/last-test.log"
    give_back
    return "$TEST_FAILED"
}

# test_totals LOG...: the totals of these runs as the last line. A failure that no test counts (a
# check of .ci/run, a program that did not start) is one failed test.
test_totals() {
    local line
    say "Totals"
    if ! line=$(/usr/bin/python3 -P -B dev.d/totals.py --extra-failures "$TEST_FAILED" "$@"); then
        TEST_FAILED=1
    fi
    printf '%s\n' "$line"
}

# step NAME COMMAND...: one step of .ci/run, its output in build/ci/NAME.log; the decisive lines of a
# failure are shown at the end (ci_end).
step() {
    local name=$1 start=$SECONDS code=0
    shift
    # In the background and waited for: inside of an `if` the shell would ignore set -e.
    (
        set -e
        "$@"
    ) >"build/ci/$name.log" 2>&1 &
    wait $! || code=$?
    if [ "$code" -eq 0 ]; then
        printf '    ok      %4d s  %s\n' $((SECONDS - start)) "$name"
    else
        printf '    FAILED  %4d s  %s\n' $((SECONDS - start)) "$name"
        : >"build/ci/$name.failed"
    fi
}

test_ci() {
    # The lanes share two cores: a deadline that a busy machine missed is tried once more (both
    # tries are in the log). `./dev test` tries nothing twice.
    TEST_REPEAT=(--repeat until-pass:2)
    rm -rf build/ci
    mkdir -p build/ci
    install_packages build run test lint fuzz
    say "Fast checks"
    step format ./dev format --check
    step shellcheck lint_shell_only
    step layering /usr/bin/python3 -P -B -m pytest -c tests/pytest.ini tests/meta/test_layering.py
    ! compgen -G 'build/ci/*.failed' >/dev/null || ci_end
    say "Build"
    step build-release build_preset release
    ! compgen -G 'build/ci/*.failed' >/dev/null || ci_end
    say "Tests, lint and sanitizers"
    # Two lanes on two cores: the tests wait and sleep much, the other lane computes.
    {
        step tests test_run release
    } &
    local lane=$!
    step cppcheck lint_cppcheck_only
    step build-asan build_preset asan
    step build-tsan build_preset tsan
    step clang-tidy lint_tidy_only
    wait "$lane"
    { step tests-asan test_run asan -LE 'meta|fault|slow'; } &
    lane=$!
    step tests-tsan test_run tsan -L 'unit|integration'
    step build-fuzz build_preset fuzz fuzz-targets
    step fuzz-short ./dev fuzz --ci
    wait "$lane"
    ci_end
}

lint_shell_only() { . dev.d/lint.sh && lint_shell; }
lint_cppcheck_only() { . dev.d/lint.sh && lint_cppcheck; }
lint_tidy_only() { . dev.d/lint.sh && lint_tidy; }

ci_end() {
    local failed=(build/ci/*.failed) logs=() preset file name
    if [ -e "${failed[0]}" ]; then
        TEST_FAILED=1
        for file in "${failed[@]}"; do
            name=$(basename -s .failed "$file")
            [[ $name != tests* ]] || continue # totals.py shows what failed there
            say "Failed: $name (all of it: build/ci/$name.log)"
            { grep -E -A4 'error:|FAILED|warning:|ERROR: |assertion failed' "build/ci/$name.log" || tail -20 "build/ci/$name.log"; } |
                head -40 | cut -c1-300 | sed 's/^/    | /'
        done
        say "Failed: $(basename -s .failed "${failed[@]}" | tr '\n' ' ')"
    fi
    for preset in release asan tsan; do
        if [ -e "build/ci/tests${preset/#release/}.log" ] || [ -e "build/ci/tests-$preset.log" ]; then
            [ ! -e "build/$preset/last-test.log" ] || logs+=("build/$preset/last-test.log")
        fi
    done
    give_back
    test_totals "${logs[@]}"
    exit "$TEST_FAILED"
}
