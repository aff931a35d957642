"""SIGKILL and restart of every process but the gateway, 20 times each, while a load runs: not one
failed request, and no counter goes backward."""

import pytest

from support.suite import Load

KILLS = 20

# Limits and breakers are on and never in the way of the load.
ENV = {"TIER_RATE_WINDOW": 1000, "GLOBAL_RATE_WINDOW": 1000, "TIER_FREE_MAX": 65535, "GLOBAL_RATE_MAX": 65535}


@pytest.mark.parametrize("service", ["limiter", "breaker", "metrics-agent", "scaler-advisor"])
def test_killing_it_costs_no_request(make_suite, upstream, service):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, **ENV})
    victim = suite[service]
    earlier = suite.metrics()
    with Load(suite.port, "/api/app/hello", connections=3) as load:
        load.wait_for_requests(50)
        for _ in range(KILLS):
            victim.kill()
            load.wait_for_requests(20)
            now = suite.metrics()
            assert now.shrunk_since(earlier) == []
            earlier = now
            victim.start()
            load.wait_for_requests(20)
            now = suite.metrics()
            assert now.shrunk_since(earlier) == []
            earlier = now
    assert load.failures == []
    assert load.requests > KILLS * 40
    # What the clients counted is what the gateway counted.
    total = suite.metrics().sum("valvechain_http_requests_total", code="2xx")
    assert total >= load.requests


def test_killing_all_four_at_once_costs_no_request(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, **ENV})
    victims = [suite[name] for name in ("limiter", "breaker", "metrics-agent", "scaler-advisor")]
    with Load(suite.port, "/api/app/hello", connections=3) as load:
        load.wait_for_requests(50)
        for victim in victims:
            victim.kill()
        load.wait_for_requests(200)
        for victim in victims:
            victim.start()
        load.wait_for_requests(50)
    assert load.failures == []


def test_any_start_order_serves(make_suite, upstream):
    """The gateway alone serves, limits and guards; who comes later finds its place."""
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 5}, processes=("api-front",))
    statuses = [suite.get("/x").status for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
