"""Two suites on one machine share nothing but the machine."""

from support.wait import wait_for


def test_limits_counters_and_segments_are_apart(make_suite, upstream):
    env = {"UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 3}
    one, two = make_suite(env=env), make_suite(env=env)
    assert not set(one.segment_files()) & set(two.segment_files())
    before = two.metrics()
    assert [one.get("/x").status for _ in range(4)] == [200, 200, 200, 429]
    delta = two.metrics() - before
    assert delta.sum("valvechain_rate_limit_hits_total") == 0
    assert delta.sum("valvechain_http_requests_total", route="app") == 0
    assert [two.get("/x").status for _ in range(4)] == [200, 200, 200, 429]


def test_the_end_of_one_is_not_felt_by_the_other(make_suite, upstream):
    one = make_suite(env={"UPSTREAM_URL": upstream.url})
    two = make_suite(env={"UPSTREAM_URL": upstream.url})
    one.stop()
    for process in two.processes:
        assert process.is_running()
    assert two.get("/x").status == 200
    wait_for(lambda: two.get("/api/health").json()["status"] == "healthy", 20, "a healthy suite")


def test_two_gateways_of_one_suite_share_port_and_limits(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 20}, fronts=2)
    statuses = [suite.get("/x").status for _ in range(30)]
    assert statuses == [200] * 20 + [429] * 10
    entries = [suite["api-front@1"], suite["api-front@2"]]
    assert all(front.is_running() for front in entries)
