"""Four suites, each with a segment of its own, against one key of one Redis, at full speed.

    distributed.py [RUNS [SKEW]]      SKEW: even, skewed or both

Each run takes a new key (a new client address) with a limit of 10 000 in a minute, and ends when the
suites admit nothing more. Prints what was admitted and how many runs of the lease script it took, for
each run and in all; exits with 1 when the sum of a run is above the limit.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.redis import Redis  # noqa: E402
from support.suite import Suite  # noqa: E402
from support.wait import wait_for  # noqa: E402

LIMIT = 10000
WINDOW_MS = 60000
LIFE_S = WINDOW_MS / 200 / 1000
SUITES = 4


def environment(redis, **more):
    return {"REDIS_ENABLED": "true", "REDIS_PORT": redis.port, "TIER_FREE_MAX": LIMIT,
            "TIER_RATE_WINDOW": WINDOW_MS, "GLOBAL_RATE_MAX": 65535, "LOG_LEVEL": "warn", **more}


# `global` takes part, too, with room for all, so each lease of tier-free may cost one of it.
def start_suites(redis, count=SUITES, **more):
    env = environment(redis, **more)
    suites = [Suite(env=env, processes=("limiter", "api-front")) for _ in range(count)]
    for suite in suites:
        suite.start()
    for suite in suites:
        wait_for(lambda s=suite: s.metrics().sum("valvechain_redis_up") == 1, 20, "Redis seen")
    return suites


def admitted_by(suite):
    # Nothing is routed: what is admitted is answered with 404, and nothing else is.
    return int(suite.metrics().sum("valvechain_rate_limit_decisions_total", result="admitted"))


class Wrk:
    def __init__(self, suite, address, connections):
        self.child = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", "-d60s", "-H", f"X-Forwarded-For: {address}",
             f"http://127.0.0.1:{suite.port}/x"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def stop(self):
        self.child.kill()
        self.child.wait(10)


def run(redis, suites, address, connections):
    """What each suite admitted, and the runs of the script, until nothing more is admitted."""
    before = [admitted_by(suite) for suite in suites]
    scripts = redis.scripts_run()
    began = time.monotonic()
    loads = [Wrk(suite, address, n) for suite, n in zip(suites, connections)]
    try:
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 4 * LIFE_S and time.monotonic() - began < 50:
            now = sum(admitted_by(suite) for suite in suites) - sum(before)
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.05)
    finally:
        for load in loads:
            load.stop()
    took = time.monotonic() - began
    assert took < WINDOW_MS / 1000 - 5, f"the run took {took:.1f} s: longer than the first window"
    each = [admitted_by(suite) - was for suite, was in zip(suites, before)]
    return each, redis.scripts_run() - scripts, took


def address_of(number):
    return f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}"


SKEWS = {"even": (4, 4, 4, 4), "skewed": (10, 1, 1, 1)}


def series(redis, suites, runs, skew, first=0, out=sys.stdout):
    results = []
    for number in range(runs):
        each, scripts, took = run(redis, suites, address_of(first + number), SKEWS[skew])
        results.append((sum(each), scripts))
        print(f"{skew} {number + 1}: admitted {sum(each)} of {LIMIT} {each}, script runs {scripts} "
              f"({scripts / max(sum(each), 1):.4f} a request), {took:.1f} s", file=out, flush=True)
    return results


def summary(skew, results):
    sums = [admitted for admitted, _ in results]
    ratio = sum(scripts for _, scripts in results) / max(sum(sums), 1)
    return (f"{skew}: {len(sums)} runs, admitted {min(sums)} to {max(sums)} of {LIMIT}, "
            f"{sum(sums) / len(sums) / LIMIT:.4%} in the mean, {ratio:.4f} script runs a request")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    wanted = sys.argv[2] if len(sys.argv) > 2 else "both"
    failed = False
    with Redis() as redis:
        suites = start_suites(redis)
        try:
            lines = []
            for at, skew in enumerate(s for s in SKEWS if wanted in (s, "both")):
                share = runs if wanted != "both" else runs // 2
                results = series(redis, suites, share, skew, at * 100000)
                failed |= any(admitted > LIMIT for admitted, _ in results)
                lines.append(summary(skew, results))
            print("\n".join(lines))
        finally:
            for suite in suites:
                suite.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
