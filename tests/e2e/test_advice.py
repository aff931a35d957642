"""Advice over real traffic, its cooldown over restarts, and what is said when nothing is counted."""

import json
import os
import subprocess

import pytest

from support.suite import Load, binary
from support.wait import wait_for

SHORT = {"RPS_EVALUATION_PERIOD": 3, "CPU_EVALUATION_PERIOD": 3, "CPU_SCALE_UP_THRESHOLD": 100,
         "CPU_SCALE_DOWN_THRESHOLD": 0, "TIER_FREE_MAX": 65535, "GLOBAL_RATE_MAX": 65535}


def scaling(suite):
    return json.loads(suite.get("/api/autoscaling/metrics").body)


def recommended(suite, action, seconds=25):
    return wait_for(lambda: next((entry for entry in scaling(suite)["recommendations"]
                                  if entry["action"] == action), None), seconds, f"advice {action}")


def test_traffic_above_the_threshold_is_a_reason_to_grow(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "RPS_SCALE_UP_THRESHOLD": 5,
                            "RPS_SCALE_DOWN_THRESHOLD": 1, "MAX_INSTANCES": 3, **SHORT})
    with Load(suite.port, "/x", connections=2) as load:
        entry = recommended(suite, "scale_up")
        rps = scaling(suite)["rps"]
    assert load.failures == []
    assert rps > 5
    assert entry["priority"] == "high"
    assert entry["reason"].startswith("RPS (") and entry["reason"].endswith("exceeds scale-up threshold (5)")
    assert suite.metrics().sum("valvechain_advice_desired_instances") == 3, "MAX_INSTANCES holds"


@pytest.mark.parametrize("restarts", [1, 2])
def test_the_cooldown_outlives_restarts(make_suite, upstream, restarts):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "RPS_SCALE_UP_THRESHOLD": 5,
                            "RPS_SCALE_DOWN_THRESHOLD": 1, "COOLDOWN_PERIOD": 600, **SHORT})
    desired = lambda: suite.metrics().sum("valvechain_advice_desired_instances")
    with Load(suite.port, "/x", connections=2):
        recommended(suite, "scale_up")
        first = desired()
        assert first > 1
        for _ in range(restarts):
            suite["scaler-advisor"].kill()
            suite["scaler-advisor"].start()
        decisions = suite.metrics().sum("valvechain_advice_decisions_total", action="scale_up")
        wait_for(lambda: suite.metrics().sum("valvechain_advice_decisions_total", action="scale_up") > decisions + 2,
                 25, "decisions after the restart")
        assert desired() == first


def test_what_is_not_counted_is_null_and_no_reason_to_shrink(make_suite, upstream):
    suite = make_suite(fronts=2, env={"UPSTREAM_URL": upstream.url, "METRICS_COLLECTION": "false", **SHORT,
                                      "CPU_SCALE_UP_THRESHOLD": 100, "CPU_SCALE_DOWN_THRESHOLD": 99})
    with Load(suite.port, "/x", connections=2):
        wait_for(lambda: suite.metrics().sum("valvechain_advice_decisions_total", action="none") > 2, 25,
                 "decisions with the CPU known and the rate not")
        seen = scaling(suite)
    assert seen["rps"] is None and seen["averageResponseTime"] is None
    assert seen["recommendations"] == []
    health = json.loads(suite.get("/api/health").body)
    assert health["metrics"]["totalRequests"] is None
    assert health["metrics"]["requestsPerSecond"] is None
    assert health["status"] == "healthy"


@pytest.mark.parametrize("node_env", ["production", "development"])
@pytest.mark.parametrize("logging", ["true", "false"])
def test_request_logging_is_what_was_asked_for(make_suite, upstream, node_env, logging):
    suite = make_suite(processes=("api-front",), env={"UPSTREAM_URL": upstream.url, "NODE_ENV": node_env,
                                                      "ENABLE_REQUEST_LOGGING": logging,
                                                      "SLOW_REQUEST_THRESHOLD": 1})
    for _ in range(5):
        suite.get("/logged")
    front = suite["api-front"]
    assert front.terminate() == 0  # flushes the log
    lines = [entry for entry in front.events("request") if entry.get("path") == "/logged"]
    assert len(lines) == (5 if logging == "true" else 0)


def test_the_metrics_of_the_specification_exist(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "DATABASE_UPSTREAM_URL": upstream.url})
    assert suite.get("/x").status == 200
    wait_for(lambda: suite.metrics().has("valvechain_requests_per_second"), 10, "the agent's figures")
    names = {
        "valvechain_http_requests_total": "counter",
        "valvechain_http_request_duration_seconds": "histogram",
        "valvechain_requests_per_second": "gauge",
        "valvechain_average_response_time_ms": "gauge",
        "valvechain_rate_limit_hits_total": "counter",
        "valvechain_circuit_breaker_state": "gauge",
        "valvechain_circuit_breaker_failures_total": "counter",
        "valvechain_active_connections": "gauge",
        "valvechain_database_connections": "gauge",
        "valvechain_database_query_duration_seconds": "histogram",
    }
    types = suite.metrics().types
    assert {name: types.get(name) for name in names} == names


def test_all_readers_see_one_advice(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "RPS_SCALE_UP_THRESHOLD": 5,
                            "RPS_SCALE_DOWN_THRESHOLD": 1, "MAX_INSTANCES": 3, "COOLDOWN_PERIOD": 600, **SHORT})
    blind = suite.get("/advice")
    assert blind.status == 503
    with Load(suite.port, "/x", connections=2):
        recommended(suite, "scale_up")
        seen = suite.get("/advice")
        advice = json.loads(seen.body)
        assert seen.status == 200 and advice["valid"] and advice["desired"] == 3
        number = max(signal["proposed"] for signal in advice["signals"])
        for clamp in advice["clamps"]:
            assert clamp["before"] == number and clamp["reason"]
            number = clamp["after"]
        assert number == advice["desired"]
        printed = subprocess.run([binary("valvectl"), "advice", "--json"], capture_output=True, text=True, timeout=20,
                                 env={**os.environ, **{k: str(v) for k, v in suite.environment().items()}})
        later = json.loads(printed.stdout)
        assert printed.returncode == 0 and later["desired"] == 3 and later["sequence"] >= advice["sequence"]
        assert suite.metrics().sum("valvechain_advice_desired_instances") == 3


def test_a_damaged_memory_is_set_aside(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, **SHORT})
    advisor = suite["scaler-advisor"]
    path = os.path.join(suite.environment()["SOCKET_DIR"], "advice.state")
    wait_for(lambda: os.path.exists(path), 15, "the state is saved")
    assert os.stat(path).st_mode & 0o777 == 0o600
    advisor.kill()
    with open(path, "r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    advisor.start()
    assert advisor.wait_event("advice.state_unusable")["why"] == "it is cut short or damaged"
    assert os.path.exists(path + ".aside")
