"""The system endpoints: shapes of the specification, who may read them, flags and paths."""

import json
import math
import re

import pytest

from support import raw_http
from support.wait import wait_for

FRONT = ("api-front",)


@pytest.fixture
def start(make_suite, upstream):
    def start(processes=FRONT, **env):
        return make_suite(processes=processes, env={"UPSTREAM_URL": upstream.url, **env})

    return start


def health_of(suite):
    return json.loads(suite.get("/api/health").body)


def test_health_of_the_whole_suite(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url})
    for _ in range(5):
        assert suite.get("/a").status == 200
    wait_for(lambda: health_of(suite)["status"] == "healthy", 15, "a healthy suite")
    health = wait_for(lambda: (seen := health_of(suite))["metrics"]["averageResponseTime"] is not None and seen, 15,
                      "an average of the answers")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", health["timestamp"])
    assert isinstance(health["uptime"], int)
    metrics = health["metrics"]
    assert metrics["totalRequests"] == 5, "the suite's own endpoints are not counted"
    assert metrics["requestsPerSecond"] >= 0 and metrics["averageResponseTime"] >= 0
    memory = metrics["memoryUsage"]
    assert 0 < memory["heapUsed"] < memory["heapTotal"]
    assert memory["usagePercent"] == pytest.approx(100 * memory["heapUsed"] / memory["heapTotal"], abs=0.1)
    assert 0 <= metrics["cpuUsagePercent"] <= 100
    for name in ("database", "blockchain", "email", "app"):
        assert health["circuitBreakers"][name] == {"status": "healthy", "state": "CLOSED"}
    assert health["features"]["advancedRateLimiting"] is True
    assert health["features"]["circuitBreakers"] is True
    assert health["features"]["metricsCollection"] is True
    assert health["recommendations"] == [] or health["recommendations"][0]["action"] == "scale_down"
    assert re.fullmatch(r"\d+\.\d+\.\d+", health["version"])
    names = {process["name"] for process in health["processes"] if process["alive"]}
    assert names == {"api-front", "limiter", "breaker", "metrics-agent", "scaler-advisor"}
    assert {check["name"] for check in health["checks"]} >= names


def test_an_average_of_no_answers_is_null_and_no_zero(make_suite):
    suite = make_suite(processes=("api-front", "metrics-agent"))
    wait_for(lambda: health_of(suite)["metrics"]["requestsPerSecond"] == 0, 15, "a measured rate of nothing")
    assert health_of(suite)["metrics"]["averageResponseTime"] is None
    assert json.loads(suite.get("/api/autoscaling/metrics").body)["averageResponseTime"] is None
    assert math.isnan(suite.metrics().sum("valvechain_average_response_time_ms"))


def test_what_nobody_measured_is_null_and_degrades(start):
    suite = start()
    health = health_of(suite)
    assert health["status"] == "degraded"
    metrics = health["metrics"]
    assert metrics["requestsPerSecond"] is None and metrics["averageResponseTime"] is None
    assert metrics["cpuUsagePercent"] is None
    assert metrics["memoryUsage"] == {"heapUsed": None, "heapTotal": None, "usagePercent": None}
    checks = {check["name"]: check for check in health["checks"]}
    for peer in ("limiter", "breaker", "metrics-agent", "scaler-advisor"):
        assert checks[peer]["status"] == "degraded" and "not running" in checks[peer]["finding"]
    scaling = json.loads(suite.get("/api/autoscaling/metrics").body)
    assert scaling["rps"] is None and scaling["cpuUsagePercent"] is None
    assert scaling["recommendations"] == []


def test_an_agent_that_dies_takes_its_figures_with_it(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url}, processes=("api-front", "metrics-agent"))
    wait_for(lambda: health_of(suite)["metrics"]["cpuUsagePercent"] is not None, 10, "a CPU figure")
    suite["metrics-agent"].kill()
    health = health_of(suite)
    assert health["metrics"]["cpuUsagePercent"] is None
    assert next(c for c in health["checks"] if c["name"] == "metrics-agent")["status"] == "degraded"
    suite["metrics-agent"].start()
    wait_for(lambda: health_of(suite)["metrics"]["cpuUsagePercent"] is not None, 10, "figures again")


def test_autoscaling_metrics(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "RPS_SCALE_UP_THRESHOLD": 1000000,
                            "RPS_EVALUATION_PERIOD": 2, "CPU_EVALUATION_PERIOD": 2})
    wait_for(lambda: json.loads(suite.get("/api/autoscaling/metrics").body)["rps"] is not None, 10, "a rate")
    scaling = json.loads(suite.get("/api/autoscaling/metrics").body)
    assert set(scaling) == {"rps", "averageResponseTime", "memoryUsagePercent", "cpuUsagePercent",
                            "activeConnections", "uptime", "recommendations"}
    assert scaling["uptime"] > 0
    with raw_http.Connection(suite.port):
        wait_for(lambda: json.loads(suite.get("/api/autoscaling/metrics").body)["activeConnections"] >= 1,
                 5, "the open connection in the figure")
    for recommendation in scaling["recommendations"]:
        assert set(recommendation) == {"action", "reason", "priority"}


def test_probes(start):
    suite = start()
    assert json.loads(suite.get("/livez").body) == {"status": "alive"}
    assert json.loads(suite.get("/readyz").body) == {"status": "ready"}
    assert suite.request("HEAD", "/readyz").status == 200
    wrong = suite.request("POST", "/readyz", {}, b"")
    assert wrong.status == 405 and wrong.header("Allow") == "GET, HEAD"


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_metrics_enabled(start, upstream, enabled):
    suite = start(METRICS_ENABLED=enabled)
    answer = suite.get("/metrics")
    assert answer.status == (200 if enabled == "true" else 404)
    assert upstream.requests == [], "a switched-off endpoint is not the backend's"
    if enabled == "true":
        assert answer.header("Content-Type").startswith("text/plain; version=0.0.4")
        assert "# TYPE valvechain_http_requests_total counter" in answer.text


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_health_check_enabled(start, enabled):
    suite = start(HEALTH_CHECK_ENABLED=enabled)
    assert suite.get("/api/health").status == (200 if enabled == "true" else 404)
    assert suite.get("/livez").status == 200


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_metrics_collection(start, enabled):
    suite = start(METRICS_COLLECTION=enabled)
    for _ in range(3):
        assert suite.get("/a").status == 200
    metrics = suite.metrics()
    assert metrics.has("valvechain_http_requests_total")
    expected = 3 if enabled == "true" else 0
    assert metrics.sum("valvechain_http_requests_total", code="2xx", method="GET",
                       route=route_of(metrics)) == expected
    assert metrics.sum("valvechain_answers_total", source="upstream") == expected
    assert health_of(suite)["features"]["metricsCollection"] is (enabled == "true")


def route_of(metrics):
    """The label of the route of UPSTREAM_URL."""
    routes = {dict(pairs)["route"] for name, pairs in metrics if name == "valvechain_http_requests_total"}
    (route,) = routes - {"system", "check", "none", "other"}
    return route


def test_paths_are_parameters(start, upstream):
    suite = start(METRICS_ENDPOINT="/internal/prom", HEALTH_CHECK_ENDPOINT="/internal/health")
    assert "valvechain_" in suite.get("/internal/prom").text
    assert json.loads(suite.get("/internal/health").body)["version"]
    assert suite.get("/metrics").body == b"ok", "the old path is the backend's now"
    assert suite.get("/api/health").body == b"ok"
    assert len(upstream.requests) == 2


def test_system_allow(start):
    suite = start(SYSTEM_ALLOW="127.0.0.1,192.0.2.0/24")
    for path in ("/metrics", "/api/health", "/api/autoscaling/metrics", "/api/rate-limit/stats",
                 "/api/circuit-breaker/stats", "/livez", "/readyz"):
        answer = suite.get(path, {"X-Forwarded-For": "203.0.113.1"})
        assert answer.status == 403, path
        assert answer.header("Content-Type") == "application/problem+json"
        assert suite.get(path, {"X-Forwarded-For": "192.0.2.7"}).status == 200, path
        assert suite.get(path, {"X-Forwarded-For": "192.0.2.7, unknown"}).status == 403, path


def test_by_default_strangers_see_nothing(start):
    suite = start()
    assert suite.get("/metrics", {"X-Forwarded-For": "203.0.113.1"}).status == 403
    assert suite.get("/metrics", {"X-Forwarded-For": "10.1.2.3"}).status == 200
    assert suite.get("/metrics", {"Forwarded": 'for="203.0.113.1'}).status == 403


def test_what_was_asked_is_counted_by_route_and_class(start, upstream):
    suite = start()
    before = suite.metrics()
    assert suite.get("/a").status == 200
    assert suite.request("PROPFIND", "/a").status == 200
    delta = suite.metrics() - before
    route = route_of(delta)
    assert delta.sum("valvechain_http_requests_total", route=route, method="GET", code="2xx") == 1
    assert delta.sum("valvechain_http_requests_total", route=route, method="OTHER", code="2xx") == 1
    assert delta.sum("valvechain_http_requests_total", route="system", code="2xx") == 1
    assert delta.sum("valvechain_http_request_duration_seconds_count", route=route) == 2
    assert delta.sum("valvechain_upstream_first_byte_seconds_count", upstream="app") == 2
    assert delta.sum("valvechain_response_body_bytes_total") > 4


def test_check_refuses_clashes_and_bad_lists(make_suite, upstream):
    import subprocess
    from support.suite import binary

    def check(**env):
        return subprocess.run([binary("api-front"), "--check"], env={"PATH": "/usr/bin:/bin", **env},
                              capture_output=True, text=True, timeout=20)

    good = check(UPSTREAM_URL=upstream.url)
    assert good.returncode == 0, good.stdout + good.stderr
    cases = {
        "METRICS_ENDPOINT": {"METRICS_ENDPOINT": "/api/health"},
        "HEALTH_CHECK_ENDPOINT": {"HEALTH_CHECK_ENDPOINT": "health"},
        "TRUSTED_PROXIES": {"TRUSTED_PROXIES": "loopback,10.0.0.0/33"},
        "SYSTEM_ALLOW": {"SYSTEM_ALLOW": "everybody"},
        "TRUSTED_CLAIMS": {"TRUSTED_CLAIMS": "1.2.3"},
        "JWT_PUBLIC_KEY": {"JWT_PUBLIC_KEY": "/nonexistent.pem"},
        "METRICS_ENDPOINT hides": {"METRICS_ENDPOINT": "/api/db",
                                   "DATABASE_UPSTREAM_URL": upstream.url},
    }
    for name, env in cases.items():
        bad = check(**env)
        assert bad.returncode == 1, (name, bad.stdout, bad.stderr)
        assert name.split()[0] in bad.stdout + bad.stderr
