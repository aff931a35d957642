# shellcheck shell=bash
# bench breaker | bench proxy [ROUNDS] [SECONDS] | bench segment [ARGUMENTS of both programs]
# The same machine, the same run; without npm or a registry it is left out, and said so.
bench_opossum() {
    local dir=$ROOT/build/bench/opossum
    command -v npm >/dev/null || { say "opossum: left out, there is no npm"; return; }
    mkdir -p "$dir"
    [ -d "$dir/node_modules/opossum" ] ||
        npm install --silent --no-audit --no-fund --prefix "$dir" opossum >"$dir/npm.log" 2>&1 ||
        { say "opossum: left out, npm cannot install it ($dir/npm.log)"; return; }
    NODE_PATH=$dir/node_modules node tests/bench/bench_opossum.js
}

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
    breaker)
        install_packages build
        build_preset release
        build/release/bin/bench_segment_breaker --rounds 3 --operations 500000 "$@"
        bench_opossum
        ;;
    *) die "bench breaker, bench proxy, or bench segment" ;;
    esac
    give_back
}
