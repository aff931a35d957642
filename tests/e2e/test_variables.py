"""Variables of the complete list that no other test sets: each changes what a client sees. Every row
is run without the variable, too: what it says must not be so anyway.

Elsewhere: the feature flags and endpoint paths in test_system, test_advice and test_dev_run, JWT_SECRET
and REGIONAL_RATE_LIMITING in test_limits, the instance bounds and COOLDOWN_PERIOD in test_advice and
test_agent_advisor, what a later version provides in test_planned."""

import json
import threading

import pytest

from support.suite import Load
from support.upstream import OK, after, response
from support.wait import wait_for

BROKEN = response(500, "Internal Server Error", body=b"broken")


def refused(suite, target):
    """The first refusal at `target`, as (how many were admitted before, its Retry-After)."""
    for admitted in range(40):
        answer = suite.get(target)
        if answer.status == 429:
            return admitted, int(answer.header("Retry-After"))
        assert answer.status == 200
    return None, None


def breaker(suite, name="app"):
    return json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"][name]


def auth_max(suite, _upstream):
    return refused(suite, "/api/auth/login")[0] == 2


def auth_window(suite, _upstream):
    return refused(suite, "/api/auth/login")[1] <= 60


def global_max(suite, _upstream):
    return refused(suite, "/x")[0] == 3


def global_window(suite, _upstream):
    return refused(suite, "/x")[1] <= 60


def capacity(suite, upstream):
    release = threading.Event()

    def hold(_request, _connection):
        release.wait(20)
        return OK

    upstream.on("/api/db/held", hold)
    holder = threading.Thread(target=suite.get, args=("/api/db/held",))
    holder.start()
    upstream.wait_for_requests(1)
    second = suite.get("/api/db/second").status
    release.set()
    holder.join(20)
    assert second in (200, 503)
    return second == 503


def error_threshold(suite, upstream):
    upstream.on("/bad", BROKEN)
    for target in ("/x", "/x", "/x", "/bad"):  # 25 %
        assert suite.get(target).status in (200, 500)
    return breaker(suite)["state"] == "OPEN"


def timeout(suite, upstream):
    upstream.answer(after(0.7))
    status = suite.get("/x").status
    assert status in (200, 504)
    return status == 504


def reset_timeout(suite, upstream):
    upstream.answer(BROKEN)
    for _ in range(4):
        assert suite.get("/x").status == 500
    answer = suite.get("/x")
    assert answer.status == 503
    return int(answer.header("Retry-After")) <= 6


def rolling_timeout(suite, upstream):
    upstream.answer(BROKEN)
    for _ in range(3):
        assert suite.get("/x").status == 500
    try:
        wait_for(lambda: breaker(suite)["window"]["failures"] == 0, 1.5, "a window that rolled on")
    except AssertionError:
        return False
    assert suite.get("/x").status == 500  # the fourth, and alone in the window
    return breaker(suite)["state"] == "CLOSED"


def rolling_buckets(suite, upstream):
    return breaker(suite)["settings"]["rollingBuckets"] == 5


def cpu_scale_up(suite, _upstream):
    with Load(suite.port, "/x", connections=4):
        # One that decides by the CPU's own thresholds: those of the rate are out of reach.
        try:
            return wait_for(lambda: [entry["reason"] for entry in scaling(suite)["recommendations"]
                                     if entry["action"] == "scale_up"], 9, "advice")[0].startswith("CPU")
        except AssertionError:
            return False


def scaling(suite):
    return json.loads(suite.get("/api/autoscaling/metrics").body)


def slow_threshold(suite, upstream):
    upstream.answer(after(0.1))
    assert suite.get("/slow").status == 200
    front = suite["api-front"]
    assert front.terminate() == 0  # flushes the log
    [line] = [entry for entry in front.events("request") if entry.get("path") == "/slow"]
    return line.get("slow") is True


LIMITS = {"TIER_FREE_MAX": 65535}
GLOBAL = {**LIMITS, "GLOBAL_RATE_MAX": 3}
AUTH = {**LIMITS, "AUTH_RATE_MAX": 2}
VOLUME = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 4}
ADVICE = {"ADVANCED_RATE_LIMITING": "false", "CPU_EVALUATION_PERIOD": 3, "RPS_EVALUATION_PERIOD": 3,
          "RPS_SCALE_UP_THRESHOLD": 1000000, "RPS_SCALE_DOWN_THRESHOLD": 0, "CPU_SCALE_DOWN_THRESHOLD": 0}

# (variable, value, what else is set, what it makes so, the value in place of the default)
ROWS = [
    ("AUTH_RATE_MAX", 2, LIMITS, auth_max, None),
    ("AUTH_RATE_WINDOW", 60000, AUTH, auth_window, None),
    ("GLOBAL_RATE_MAX", 3, LIMITS, global_max, None),
    ("GLOBAL_RATE_WINDOW", 60000, GLOBAL, global_window, None),
    ("CB_CAPACITY", 1, VOLUME, capacity, None),
    ("CB_ERROR_THRESHOLD", 20, VOLUME, error_threshold, None),
    ("CB_TIMEOUT", 200, VOLUME, timeout, None),
    ("CB_RESET_TIMEOUT", 5000, VOLUME, reset_timeout, None),
    ("CB_ROLLING_TIMEOUT", 500, VOLUME, rolling_timeout, None),
    ("CB_ROLLING_BUCKETS", 5, VOLUME, rolling_buckets, None),
    # A busy machine is above the default of 70 %, too.
    ("CPU_SCALE_UP_THRESHOLD", 1, ADVICE, cpu_scale_up, 100),
    ("SLOW_REQUEST_THRESHOLD", 50, {"ENABLE_REQUEST_LOGGING": "true"}, slow_threshold, None),
]


@pytest.mark.parametrize("variable,value,others,holds,default", ROWS, ids=[row[0] for row in ROWS])
def test_it_changes_what_is_seen(make_suite, upstream, variable, value, others, holds, default):
    processes = None if others is ADVICE else ("api-front",)
    env = {"UPSTREAM_URL": upstream.url, "DATABASE_UPSTREAM_URL": upstream.url, **others}
    without = make_suite(processes=processes, env={**env, variable: default})
    assert not holds(without, upstream), f"so without {variable}, too"
    without.stop()
    upstream.answer(OK)
    upstream.requests.clear()
    assert holds(make_suite(processes=processes, env={**env, variable: value}), upstream)
