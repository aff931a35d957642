"""Several endpoints of one upstream: which get calls, and what is told about it."""

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from support.suite import BUILD, Load, Suite, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

QUIET = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000}
FAILS = response(500, body=b"broken")


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))
    assert os.path.exists(os.path.join(BUILD, "bin", "demo-backend"))


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
            bad.answer(OK)
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


def reset(_request, connection):
    connection.reset()


def test_a_reset_is_tried_elsewhere_when_it_may_be():
    with Upstream() as bad, Upstream() as good:
        bad.answer(reset)
        with start(model(bad.url, good.url, ejection={"consecutive": 0}, retry={"budget_per_s": 100})) as front:
            assert statuses(front, 40) == [200] * 40 and len(bad.requests) > 5
            ids = {r.header("X-Request-Id") for r in bad.requests}
            assert ids <= {r.header("X-Request-Id") for r in good.requests}
            assert gauge(front, "retries_total") == len(bad.requests)
            results = front.metrics()
            calls = "valvechain_upstream_calls_total"
            assert results.sum(calls, upstream="app", result="reset") == len(bad.requests)
            assert results.sum(calls, upstream="app", result="answered") == 40
            posted = [front.request("POST", "/", [("Content-Length", "2")], b"hi").status for _ in range(20)]
            assert set(posted) == {200, 502}  # a POST might be done twice
            put = [front.request("PUT", "/", [("Content-Length", "2")], b"hi").status for _ in range(20)]
            assert put == [200] * 20 and good.requests[-1].body == b"hi"


def test_answers_and_keys_are_reasons_only_when_asked_for():
    with Upstream() as bad, Upstream() as good:
        bad.answer(response(503, body=b"busy" * 5000))
        ejection = {"consecutive": 0}
        with start(model(bad.url, good.url, ejection=ejection)) as front:
            assert 503 in statuses(front, 30)
        retry = {"statuses": ["503"], "keyed": True, "budget_per_s": 100}
        with start(model(bad.url, good.url, ejection=ejection, retry=retry)) as front:
            seen = len(bad.requests)
            assert statuses(front, 30) == [200] * 30 and len(bad.requests) > seen
            body = [("Content-Length", "2")]
            key = [("Idempotency-Key", '"k"')]
            assert [front.request("POST", "/", body + key, b"hi").status for _ in range(30)] == [200] * 30
            assert 503 in [front.request("POST", "/", body, b"hi").status for _ in range(30)]
            good.answer(response(503, body=b"busy, too"))
            assert statuses(front, 5) == [503] * 5  # both: the client gets the second one's word


def test_a_single_endpoint_is_asked_again_only_when_told_so():
    def odd(_request, connection):
        if len(up.requests) % 2 == 1:
            connection.reset()
        return OK

    with Upstream() as up:
        up.answer(odd)
        with start(model(up.url)) as front:
            assert front.get("/").status == 502
        up.requests.clear()
        with start(model(up.url, retry={"same_endpoint": True})) as front:
            assert statuses(front, 10) == [200] * 10 and len(up.requests) == 20


def test_the_budget_bounds_the_load_when_all_fail():
    with Upstream() as one, Upstream() as two:
        one.answer(reset)
        two.answer(reset)
        with start(model(one.url, two.url, ejection={"consecutive": 0})) as front:
            began = time.monotonic()
            assert statuses(front, 300) == [502] * 300
            sent = len(one.requests) + len(two.requests)
            floor = 3 * (10 + time.monotonic() - began)  # of the window before, and the time it took
            assert 330 <= sent <= 300 * 1.2 + floor
            assert gauge(front, "retries_total") == sent - 300
            assert gauge(front, "retries_refused_total") == 600 - sent


def test_no_further_attempt_unless_the_breaker_is_closed():
    with Upstream() as one, Upstream() as two:
        one.answer(reset)
        two.answer(reset)
        breaker = {"volume_threshold": 3, "error_threshold_percent": 1, "reset_timeout_ms": 1500}
        rules = {"attempts": 5, "same_endpoint": True}
        with start(model(one.url, two.url, ejection={"consecutive": 0}, breaker=breaker, retry=rules)) as front:
            assert front.get("/").status == 502
            assert len(one.requests) + len(two.requests) == 3  # the third attempt opened it
            assert front.get("/").status == 503
            wait_for(lambda: front.get("/").status == 502, 10, "the probe")
            assert len(one.requests) + len(two.requests) == 4  # and it is not repeated


@contextmanager
def demo_backends(n):
    """(process, url of its app) each."""
    program = os.path.join(BUILD, "bin", "demo-backend")
    started = [subprocess.Popen([program], stdout=subprocess.PIPE, text=True) for _ in range(n)]
    try:
        ports = [re.match(r"app=(\d+) ", process.stdout.readline()).group(1) for process in started]
        yield [(process, f"http://127.0.0.1:{port}") for process, port in zip(started, ports)]
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


def test_one_of_three_killed_under_load_costs_no_get():
    with demo_backends(3) as backends, \
            start(model(*(url for _, url in backends), keepalive_connections=2)) as front, \
            Load(front.port, "/hello", connections=8) as load:
        load.wait_for_requests(500)
        backends[1][0].kill()
        load.wait_for_requests(2000)
        load.stop()
        assert not load.failures, load.failures[:3]
        changes = front["api-front"].events("endpoint.changed")
        assert [e["endpoint"] for e in changes if e["change"] == "ejected"] == [backends[1][1]]
