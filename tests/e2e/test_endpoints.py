"""Several endpoints of one upstream: which get calls, and what is told about it."""

import signal

import pytest

from support.suite import Suite, require_binaries
from support.upstream import Upstream, response
from support.wait import wait_for

QUIET = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000}
FAILS = response(500, b"broken")


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


def model(*endpoints, **upstream):
    return {
        "upstreams": [{"name": "app", "urls": list(endpoints), **upstream}],
        "routes": [{"path": "/", "upstream": "app"}],
    }


def start(config, **env):
    return Suite(processes=("api-front",), env={**QUIET, **env}, config=config)


def gauge(front, name):
    return front.metrics().sum(f"valvechain_upstream_{name}", upstream="app")


def statuses(front, n):
    return [front.get(f"/{i}").status for i in range(n)]


def test_one_that_answers_500_is_ejected_and_the_rest_serve():
    with Upstream() as bad, Upstream() as one, Upstream() as two:
        bad.answer(FAILS)
        with start(model(bad.url, one.url, two.url)) as front:
            got = statuses(front, 60)
            assert got.count(500) == 5 == len(bad.requests)  # `consecutive`, and none after it
            assert statuses(front, 40) == [200] * 40
            assert min(len(one.requests), len(two.requests)) > 10
            event = front["api-front"].wait_event("endpoint.changed")
            assert event["change"] == "ejected" and event["endpoint"] == bad.url
            assert gauge(front, "ejections_total") == 1
            wait_for(lambda: gauge(front, "endpoints_ejected") == 1, 5, "the gauge")
            assert gauge(front, "panic") == 0


def test_it_returns_by_one_call_and_is_out_for_longer_when_that_fails():
    with Upstream() as bad, Upstream() as good:
        bad.answer(FAILS)
        rules = {"consecutive": 2, "time_ms": 300, "time_max_ms": 60000}
        with start(model(bad.url, good.url, ejection=rules)) as front:
            log = front["api-front"]
            wait_for(lambda: front.get("/").status and log.events("endpoint.changed"), 10, "an ejection")
            wait_for(lambda: front.get("/").status and len(log.events("endpoint.changed")) == 2, 10,
                     "a second one")
            first, second = log.events("endpoint.changed")
            assert first["out_for_ms"] == 300 and second["out_for_ms"] == 600
            assert len(bad.requests) == 3  # two, and the one trial
            bad.answer(response(200, b"ok"))
            wait_for(lambda: front.get("/").status and
                     log.events("endpoint.changed")[-1]["change"] == "returned", 10, "its return")
            before = len(bad.requests)
            assert statuses(front, 40) == [200] * 40 and len(bad.requests) > before + 5


def test_the_cap_leaves_half_and_one_endpoint_is_never_ejected():
    backends = [Upstream() for _ in range(4)]
    try:
        for backend in backends:
            backend.__enter__()
            backend.answer(FAILS)
        with start(model(*(b.url for b in backends))) as front:
            assert statuses(front, 80) == [500] * 80
            assert gauge(front, "ejections_total") == 2
            assert sorted(len(b.requests) for b in backends)[:2] == [5, 5]
        with start(model(backends[0].url)) as front:
            assert statuses(front, 20) == [500] * 20
            assert gauge(front, "ejections_total") == 0
    finally:
        for backend in backends:
            backend.__exit__()


def test_when_too_many_are_out_all_are_used():
    with Upstream() as bad, Upstream() as worse, Upstream() as good:
        bad.answer(FAILS)
        worse.answer(FAILS)
        rules = {"consecutive": 1, "max_percent": 100, "panic_percent": 50}
        with start(model(bad.url, worse.url, good.url, ejection=rules)) as front:
            log = front["api-front"]
            wait_for(lambda: front.get("/").status and
                     [e for e in log.events("endpoint.changed") if e["change"] == "panic"], 10, "panic")
            assert gauge(front, "panic") == 1
            before = len(bad.requests), len(worse.requests)
            statuses(front, 40)
            assert len(bad.requests) > before[0] and len(worse.requests) > before[1]


def test_nobody_there_counts_and_what_is_left_out_is_the_last_resort():
    with Upstream() as good, Upstream() as dying:
        with start(model(dying.url, good.url, ejection={"consecutive": 1})) as front:
            dying.stop()
            wait_for(lambda: front.get("/").status == 200 and gauge(front, "ejections_total") == 1, 10,
                     "its ejection")
            port = good.port
            good.stop()
            assert front.get("/").status == 502  # both were tried
            with Upstream(port=port):
                assert front.get("/").status == 200


def test_a_reload_keeps_who_is_out():
    with Upstream() as bad, Upstream() as good:
        bad.answer(FAILS)
        with start(model(bad.url, good.url, ejection={"consecutive": 1})) as front:
            wait_for(lambda: front.get("/").status == 500, 10, "its failure")
            front.write_config(model(good.url, bad.url, ejection={"consecutive": 2}))
            front["api-front"].signal(signal.SIGHUP)
            front["api-front"].wait_event("config.reloaded")
            seen = len(bad.requests)
            assert statuses(front, 30) == [200] * 30 and len(bad.requests) == seen
