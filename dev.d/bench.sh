# shellcheck shell=bash
# bench proxy [ROUNDS] [SECONDS] | bench segment [ARGUMENTS of both programs]
cmd_bench() {
    local what=${1:-}
    [ $# -gt 0 ] && shift
    case $what in
    proxy)
        install_packages build test bench
        build_preset release
        VALVECHAIN_BUILD=$ROOT/build/release /usr/bin/python3 -P -B tests/bench/bench_proxy.py "$@"
        ;;
    segment)
        install_packages build
        build_preset release
        mkdir -p build/bench
        local program stamp
        stamp=$(date +%Y%m%d-%H%M%S)
        for program in bench_segment_limit bench_segment_breaker; do
            say "$program"
            "build/release/bin/$program" "$@" | tee "build/bench/$program-$stamp.txt"
        done
        ;;
    *) die "bench proxy, or bench segment" ;;
    esac
    give_back
}
