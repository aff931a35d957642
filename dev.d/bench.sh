# shellcheck shell=bash
# bench breaker | bench limits [ROUNDS] [SECONDS] [PEERS] | bench outbox [ROUNDS] [SECONDS] [FOLDER] |
# bench proxy [ROUNDS] [SECONDS] | bench scrape [SECONDS] [ROUNDS] | bench segment [ARGUMENTS of both programs]
# npm packages for a peer, under build/bench/NAME: npm_packages NAME PACKAGE... The same machine, the
# same run; without npm or a registry the peer is left out, and said so.
npm_packages() {
    local name=$1 dir=$ROOT/build/bench/$1 package
    shift
    command -v npm >/dev/null || { say "$name: left out, there is no npm"; return 1; }
    mkdir -p "$dir"
    for package in "$@"; do
        [ -d "$dir/node_modules/$package" ] && continue
        npm install --silent --no-audit --no-fund --prefix "$dir" "$@" >"$dir/npm.log" 2>&1 && return
        say "$name: left out, npm cannot install it ($dir/npm.log)"
        return 1
    done
}

bench_opossum() {
    npm_packages opossum opossum || return 0
    NODE_PATH=$ROOT/build/bench/opossum/node_modules node tests/bench/bench_opossum.js
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
    limits)
        install_packages build test bench
        build_preset release
        npm_packages express express express-rate-limit rate-limit-redis redis || true
        VALVECHAIN_BUILD=$ROOT/build/release /usr/bin/python3 -P -B tests/bench/bench_limits.py "$@"
        ;;
    scrape)
        install_packages build test
        build_preset release
        build/release/bin/bench_exposition
        VALVECHAIN_BUILD=$ROOT/build/release /usr/bin/python3 -P -B tests/bench/bench_scrape.py "$@"
        ;;
    outbox)
        install_packages build test
        build_preset release
        VALVECHAIN_BUILD=$ROOT/build/release /usr/bin/python3 -P -B tests/bench/bench_outbox.py "$@"
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
    *) die "bench breaker, bench limits, bench outbox, bench proxy, bench scrape, or bench segment" ;;
    esac
    give_back
}
