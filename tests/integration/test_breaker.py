"""The breaker process with the real binaries: definitions, events, figures, reload, its absence."""

import json
import os
import signal
import subprocess

import pytest

from support import raw_http
from support.metrics import Metrics
from support.suite import binary
from support.upstream import OK, response
from support.wait import wait_for

BROKEN = response(500, "Internal Server Error", body=b"broken")
SMALL = {"CB_VOLUME_THRESHOLD": 4, "CB_RESET_TIMEOUT": 300, "ADVANCED_RATE_LIMITING": "false"}


def ctl_environment(suite):
    return {**os.environ, **{key: str(value) for key, value in suite.environment().items()}}


def status(suite):
    """Breakers by name, as valvectl reads them from the segment."""
    done = subprocess.run([binary("valvectl"), "status", "--json"], capture_output=True, text=True,
                          timeout=20, env=ctl_environment(suite))
    assert done.returncode == 0, done.stderr
    return {entry["breaker"]: entry for entry in json.loads(done.stdout)["breakers"]}


class Tap:
    """valvectl tap in the background; what it has printed so far, parsed."""

    def __init__(self, suite, topic):
        self.path = os.path.join(suite.dir, "tap.out")
        with open(self.path, "wb") as out:
            self.child = subprocess.Popen([binary("valvectl"), "tap", topic], stdout=out,
                                          env=ctl_environment(suite))

    def messages(self):
        with open(self.path, encoding="utf-8") as file:
            return [json.loads(line) for line in file.read().split("\n")[:-1] if line]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(20)


@pytest.fixture
def guarded(make_suite, upstream):
    def start(config=None, **env):
        return make_suite(processes=("breaker", "api-front"), config=config,
                          env={"UPSTREAM_URL": upstream.url, **SMALL, **env})

    return start


def published(suite):
    return suite["breaker"].wait_event("breaker.published")


def test_definitions_are_published_without_a_gateway(make_suite):
    suite = make_suite(processes=("breaker",), env={"UPSTREAM_URL": "http://127.0.0.1:9"})
    assert published(suite)["breakers"] == 4
    assert set(status(suite)) == {"database", "blockchain", "email", "app"}
    assert all(entry["state"] == "CLOSED" for entry in status(suite).values())


def test_every_change_is_an_event_with_its_evidence(guarded, upstream):
    suite = guarded()
    with Tap(suite, "breaker.event.app") as tap:
        upstream.answer(BROKEN)

        def opens():  # until the tap has connected: each round opens the breaker once more
            suite.get("/a")
            return any(m["message"]["to_state"] == "OPEN" for m in tap.messages())

        wait_for(opens, 20, "an event of the opening")
        upstream.answer(OK)
        wait_for(lambda: suite.get("/a").status == 200, 20, "recovery")
        wait_for(lambda: any(m["message"]["to_state"] == "CLOSED" for m in tap.messages()), 10,
                 "an event of the closing")
        events = [m["message"] for m in tap.messages()]
    assert all(m["breaker"] == "app" for m in events)
    for earlier, later in zip(events, events[1:]):
        assert later["from_state"] == earlier["to_state"], "no change is left out"
    assert events[-2]["to_state"] == "HALF-OPEN"
    changed = suite["breaker"].wait_event("breaker.changed", where=lambda e: e["from"] == "CLOSED")
    assert changed["breaker"] == "app" and changed["to"] == "OPEN"
    assert changed["failures"] == 4 and changed["successes"] == 0
    assert 290 <= changed["open_for_ms"] <= 301


def test_figures_are_the_segments_own(guarded, upstream):
    suite = guarded()
    for _ in range(3):
        assert suite.get("/a").status == 200
    upstream.answer(BROKEN)
    while suite.get("/a").status == 500:
        pass

    def figure(name, **labels):
        return suite.metrics().sum(f"valvechain_circuit_breaker_{name}", breaker="app", **labels)

    assert figure("refusals_total", reason="open") >= 1
    assert figure("calls_total", outcome="success") == 3
    failed = figure("failures_total")
    assert failed >= 3 and figure("calls_total", outcome="failure") == failed
    assert figure("opens_total") == 1
    assert figure("state", state="OPEN") + figure("state", state="HALF-OPEN") == 1
    assert figure("state", state="CLOSED") == 0
    assert figure("capacity") == 1024

    before = suite.metrics()
    suite["breaker"].kill()
    upstream.answer(OK)
    wait_for(lambda: suite.get("/a").status == 200, 10, "recovery without the breaker process")
    assert figure("calls_total", outcome="success") == 4 and figure("state", state="CLOSED") == 1
    assert figure("capacity") == 1024
    suite["breaker"].start()
    assert suite.metrics().shrunk_since(before) == []
    assert figure("failures_total") == failed and figure("state", state="CLOSED") == 1


def test_the_agent_shows_the_breakers_without_the_breaker_process(make_suite, upstream):
    suite = make_suite(processes=("metrics-agent", "api-front"), env={"UPSTREAM_URL": upstream.url})
    answer = raw_http.request(suite.metrics_port, "GET", "/metrics")
    seen = Metrics.parse(answer.text)
    assert seen.sum("valvechain_circuit_breaker_state", breaker="app", state="CLOSED") == 1
    assert seen.sum("valvechain_circuit_breaker_capacity", breaker="database") == 10


def config_of(upstream, **breaker):
    return {"upstreams": [{"name": "app", "url": upstream.url, "breaker": breaker}],
            "routes": [{"path": "/", "upstream": "app"}]}


def capacity(suite):
    return json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"]["app"]["capacity"]


def test_reload_publishes_and_a_bad_configuration_keeps_the_old(guarded, upstream):
    suite = guarded(config=config_of(upstream, capacity=7), UPSTREAM_URL=None)
    published(suite)
    assert capacity(suite) == 7
    suite.write_config(config_of(upstream, capacity=9))
    suite["breaker"].signal(signal.SIGHUP)
    suite["breaker"].wait_event("config.reloaded")
    assert capacity(suite) == 9

    suite.write_config(config_of(upstream, capacity=11, rolling_timeout_ms=10, rolling_buckets=20))
    suite["breaker"].signal(signal.SIGHUP)
    suite["breaker"].wait_event("config.refused")
    assert capacity(suite) == 9
    suite.write_config("{ no json")
    suite["breaker"].signal(signal.SIGHUP)
    wait_for(lambda: len(suite["breaker"].events("config.refused")) == 2, 10, "a second refusal")
    assert capacity(suite) == 9
    assert suite.get("/a").status == 200


def test_the_flag_switches_every_breaker_off(guarded, upstream):
    suite = guarded(CIRCUIT_BREAKERS="false")
    upstream.answer(BROKEN)
    for _ in range(12):
        assert suite.get("/a").status == 500
    assert status(suite)["app"]["state"] == "CLOSED"


def test_a_bad_value_ends_the_start_and_says_why(make_suite):
    suite = make_suite(processes=("breaker",))
    done = subprocess.run([binary("breaker"), "--check"], capture_output=True, text=True, timeout=20,
                          env={**ctl_environment(suite), "CB_ROLLING_TIMEOUT": "10",
                               "CB_ROLLING_BUCKETS": "60"})
    assert done.returncode == 1
    assert "10 ms in 60 buckets" in done.stdout + done.stderr
