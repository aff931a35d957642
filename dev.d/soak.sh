# shellcheck shell=bash
# soak outbox [KILLS]: 1000 SIGKILLs of breaker, api-front and the upstream (HTTP, then a mail
# server), and what arrives.
# soak breaker: all interleavings, deeper, and 1000 holders killed, stopped and gone each way.
# soak [SECONDS]: load, deaths and reloads for a long time; no failed request, no counter backward,
# no growing memory. First the limits' bounds under contention, 1 000 times; last four suites
# against one key of one Redis, never above the limit, 200 times in the default time.
cmd_soak() {
    local seconds=${1:-600}
    install_packages build test
    build_preset release
    if [ "${1:-}" = breaker ]; then
        build/release/bin/unit_breaker_plain_explorer full
        build/release/bin/unit_breaker_plain_holders 1000
        return
    fi
    export VALVECHAIN_BUILD=$ROOT/build/release
    if [ "${1:-}" = outbox ]; then
        /usr/bin/python3 -P -B tests/bench/soak_outbox.py "${2:-1000}"
        return
    fi
    build/release/bin/unit_limit_plain_contention 1000
    /usr/bin/python3 -P -B tests/bench/soak.py "$seconds"
    /usr/bin/python3 -P -B tests/bench/distributed.py $((seconds / 3 > 200 ? 200 : seconds / 3 + 1))
}
