#!/usr/bin/python3
"""Load for a long time while every other process of the suite dies and comes back, and the
configuration is reloaded: soak.py SECONDS. Fails on one failed request, one counter that goes
backward, a file descriptor or memory that grows after the first tenth."""

import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.suite import Load, Suite  # noqa: E402
from support.upstream import Upstream, response  # noqa: E402

VICTIMS = ("limiter", "breaker", "metrics-agent", "scaler-advisor")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def main():
    seconds = int(sys.argv[1])
    with Upstream() as upstream:
        upstream.answer(response(body=b"x" * 20000))
        suite = Suite(env={"UPSTREAM_URL": upstream.url, "TIER_RATE_WINDOW": 1000, "GLOBAL_RATE_WINDOW": 1000,
                           "TIER_FREE_MAX": 65535, "GLOBAL_RATE_MAX": 65535, "LOG_LEVEL": "info"})
        with suite:
            front = suite["api-front"]
            start, first = time.monotonic(), None
            earlier = suite.metrics()
            with Load(suite.port, "/soak", connections=4) as load:
                while time.monotonic() - start < seconds:
                    victim = suite[random.choice(VICTIMS)]
                    victim.kill()
                    load.wait_for_requests(200, 60)
                    victim.start()
                    front.signal(1)  # SIGHUP
                    load.wait_for_requests(200, 60)
                    now = suite.metrics()
                    assert now.shrunk_since(earlier) == []
                    earlier = now
                    upstream.requests.clear()
                    memory, files = front.rss_kib(), descriptors(front)
                    if first is None and time.monotonic() - start > seconds / 10:
                        first = (memory, files)
                    print(f"{time.monotonic() - start:7.0f} s  {load.requests:>9} requests  front {memory} KiB, "
                          f"{files} descriptors, failures {len(load.failures)}", flush=True)
                    assert load.failures == [], load.failures[:10]
            if first:
                assert front.rss_kib() < first[0] * 1.2 + 2048, f"memory grew from {first[0]} KiB to {front.rss_kib()} KiB"
                assert descriptors(front) <= first[1] + 8, f"descriptors grew from {first[1]} to {descriptors(front)}"
    print("soak passed")


main()
