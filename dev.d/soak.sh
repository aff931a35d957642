# shellcheck shell=bash
# soak [SECONDS]: load, deaths and reloads for a long time; no failed request, no counter backward,
# no growing memory. First the limits' bounds under contention, 1 000 times.
cmd_soak() {
    install_packages build test
    build_preset release
    build/release/bin/unit_limit_plain_contention 1000
    VALVECHAIN_BUILD=$ROOT/build/release /usr/bin/python3 -P -B tests/bench/soak.py "${1:-600}"
}
