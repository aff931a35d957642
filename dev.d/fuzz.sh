# shellcheck shell=bash
# fuzz [SECONDS] [TARGET...]: libFuzzer, that long a target; new inputs stay in build/fuzz/corpus,
# the committed ones (tests/fuzz/corpus) are read only. --ci: 5 seconds each from the same seed, so
# that the same commit meets the same inputs, and what CI finds is found again.
cmd_fuzz() {
    local seconds=${1:-60} program stem failed=0 seed=()
    [ "$seconds" != --ci ] || {
        seconds=5
        seed=(-seed=1)
    }
    [ $# -gt 0 ] && shift
    install_packages build fuzz
    build_preset fuzz fuzz-targets
    for program in build/fuzz/bin/fuzz_*; do
        stem=${program##*/fuzz_}
        [ $# -eq 0 ] || [[ " $* " == *" $stem "* ]] || continue
        say "Fuzzing $stem for $seconds s"
        mkdir -p "build/fuzz/corpus/$stem" "build/fuzz/findings"
        "$program" "${seed[@]}" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="build/fuzz/findings/$stem-" "build/fuzz/corpus/$stem" \
            "tests/fuzz/corpus/$stem" >"build/fuzz/$stem.log" 2>&1 || {
            failed=1
            tail -60 "build/fuzz/$stem.log"
        }
        grep -E 'number_of_executed_units|average_exec_per_sec' "build/fuzz/$stem.log" || true
    done
    give_back
    [ "$failed" -eq 0 ] || die "findings: build/fuzz/findings"
}
