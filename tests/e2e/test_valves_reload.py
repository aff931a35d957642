"""SIGHUP: what the decisions half takes over, and what it keeps."""

import json
import signal

from support.tokens import SECRET, bearer, token
from support.upstream import Upstream
from support.wait import wait_for

FRONT = ("api-front",)


def reload(suite):
    front = suite["api-front"]

    def told():
        return len(front.events("config.reloaded")) + len(front.events("config.refused"))

    before = told()
    front.signal(signal.SIGHUP)
    wait_for(lambda: told() > before, 10, "the reload")


def model(upstream, **parameters):
    return {"parameters": parameters,
            "upstreams": [{"name": "one", "url": upstream.url}],
            "routes": [{"name": "one", "path": "/one", "upstream": "one"}]}


def test_routes_upstreams_and_breakers_come_by_reload(make_suite, upstream):
    config = model(upstream, ADVANCED_RATE_LIMITING=False)
    with Upstream() as second:
        suite = make_suite(processes=FRONT, config=config)
        assert suite.get("/one").status == 200
        assert suite.get("/two").status == 404
        config["upstreams"].append({"name": "two", "url": second.url})
        config["routes"].append({"name": "two", "path": "/two", "upstream": "two"})
        suite.write_config(config)
        reload(suite)
        assert suite.get("/two").status == 200 and len(second.requests) == 1
        assert suite.get("/one").status == 200
        breakers = json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"]
        assert breakers["two"]["totals"]["successes"] == 1
        metrics = suite.metrics()
        assert metrics.sum("valvechain_http_requests_total", route="two", code="2xx") == 1
        assert metrics.sum("valvechain_http_requests_total", route="one", code="2xx") == 2, "goes on"


def test_keys_and_lists_come_by_reload(make_suite, upstream):
    suite = make_suite(processes=FRONT, config=model(upstream, TIER_FREE_MAX=2, TIER_PREMIUM_MAX=4))
    premium = bearer(token(sub="alice", tier="premium"))
    assert [suite.get("/one", premium).status for _ in range(3)] == [200, 200, 429]
    suite.write_config(model(upstream, TIER_FREE_MAX=2, TIER_PREMIUM_MAX=4, JWT_SECRET=SECRET,
                             SYSTEM_ALLOW="loopback"))
    reload(suite)
    assert [suite.get("/one", premium).status for _ in range(5)] == [200] * 4 + [429]
    assert suite.get("/metrics", {"X-Forwarded-For": "10.0.0.1"}).status == 403


def test_a_bad_configuration_changes_nothing(make_suite, upstream):
    suite = make_suite(processes=FRONT, config=model(upstream, SYSTEM_ALLOW="loopback"))
    suite.write_config(model(upstream, SYSTEM_ALLOW="nowhere"))
    reload(suite)
    assert "SYSTEM_ALLOW" in suite["api-front"].text
    assert suite.get("/one").status == 200
    assert suite.get("/metrics").status == 200


def test_health_tells_when_the_published_limits_are_others(make_suite, upstream):
    suite = make_suite(processes=FRONT, config=model(upstream, TIER_FREE_MAX=2))

    def limits():
        checks = json.loads(suite.get("/api/health").body)["checks"]
        return next(check for check in checks if check["name"] == "limits")

    assert limits() == {"name": "limits", "status": "healthy", "finding": ""}
    suite.write_config(model(upstream, TIER_FREE_MAX=3))
    reload(suite)
    assert limits()["status"] == "degraded" and "limiter" in limits()["finding"]
