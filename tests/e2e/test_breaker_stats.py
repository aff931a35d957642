"""/api/circuit-breaker/stats and the breakers' series in /metrics are complete: why it changed, probes,
refusals, fallbacks by kind, and what the outbox keeps."""

import pytest

from support.ports import reserve_port
from support.upstream import OK, Upstream
from support.wait import wait_for

STATES = {"CLOSED", "OPEN", "HALF-OPEN", "FORCED-OPEN", "FORCED-CLOSED", "DISABLED", "OBSERVE-ONLY"}


@pytest.fixture
def start(make_suite):
    def start(port, **env):
        return make_suite(processes=("breaker", "api-front"), config={
            "upstreams": [{"name": "mail", "url": f"http://127.0.0.1:{port}"}],
            "routes": [{"path": "/mail", "upstream": "mail", "fallbacks": [{"kind": "queue"}, {"kind": "error"}]}],
        }, env={"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 2, "CB_RESET_TIMEOUT": 300,
                "CB_RESET_BACKOFF": 100, "OUTBOX_BACKOFF": 50, "OUTBOX_BACKOFF_MAX": 200, **env})

    return start


def stats(suite):
    return suite.get("/api/circuit-breaker/stats").json()


def mail(suite):
    return stats(suite)["circuitBreakers"]["mail"]


def post(suite, key):
    return suite.request("POST", "/mail/send", [("Idempotency-Key", f'"{key}"')], b"hello")


def test_the_statistics_tell_why_and_what_is_kept(start):
    port = reserve_port()
    suite = start(port)
    first = mail(suite)
    assert first["lastChange"] is None and first["outbox"] is None, "nothing was ever kept"
    assert stats(suite)["circuitBreakers"]["database"]["outbox"] is None
    assert suite.get("/mail/a").status == 502
    assert post(suite, "a").status == 202
    wait_for(lambda: mail(suite)["totals"]["opens"] >= 1, 20, "the breaker to open")
    assert suite.get("/mail/a").status in (502, 503)
    changed = wait_for(lambda: (lambda c: c if c["to"] == "OPEN" else None)(mail(suite)["lastChange"]), 20)
    assert changed["rule"] in ("error-rate", "probes") and changed["failures"] >= 1 and changed["author"] == ""
    assert 0 < changed["forMs"] <= 301
    kept = wait_for(lambda: (lambda o: o if o["depth"] == 1 and o["bytes"] > 0 and o["oldestAgeSeconds"] > 0 else None)(
        mail(suite)["outbox"]), 20, "what is kept to be told")
    assert kept["queued"] + kept["sending"] == 1 and kept["accepted"] == 1
    assert kept["dead"] == kept["parked"] == kept["undelivered"] == 0 and kept["replayRate"] >= 0
    fallbacks = stats(suite)["fallbacks"]
    assert fallbacks["queue"] == 1 and fallbacks["error"] == 2 and fallbacks["mock"] == 0
    with Upstream(port=port) as upstream:
        upstream.answer(OK)
        wait_for(lambda: mail(suite)["outbox"]["depth"] == 0, 20, "delivery")
        wait_for(lambda: mail(suite)["state"] == "CLOSED", 20)
    after = mail(suite)
    assert (after["lastChange"]["from"], after["lastChange"]["rule"]) == ("HALF-OPEN", "probes")
    assert after["totals"]["probes"] >= 1 and after["lastChange"]["forMs"] is None


def test_every_series_of_a_breaker_is_in_the_metrics(start):
    suite = start(reserve_port())
    assert post(suite, "a").status == 202
    metrics = wait_for(lambda: (lambda m: m if m.sum("valvechain_outbox_operations") == 1 else None)(suite.metrics()), 20)
    for state in STATES:
        assert metrics.sum("valvechain_circuit_breaker_state", breaker="mail", state=state) in (0, 1)
    assert metrics.sum("valvechain_circuit_breaker_state", breaker="mail") == 1
    wanted = ["valvechain_circuit_breaker_failures_total", "valvechain_circuit_breaker_probes_total",
              "valvechain_circuit_breaker_opens_total"]
    wanted += [f'valvechain_circuit_breaker_refusals_total,reason="{reason}"'
               for reason in ("open", "capacity", "ramp", "forced")]
    text = suite.get("/metrics").text
    for name in wanted:
        name, _, label = name.partition(",")
        assert f'{name}{{breaker="mail"{"," if label else ""}{label}}} ' in text, name
    for kind in ("mock", "queue", "error"):
        assert f'valvechain_fallbacks_total{{kind="{kind}"}} ' in text
    for state in ("queued", "sending", "dead", "parked"):
        assert f'valvechain_outbox_operations{{upstream="mail",state="{state}"}} ' in text
    for name in ("bytes", "oldest_age_seconds", "replay_rate", "dead_total", "accepted_total"):
        assert f'valvechain_outbox_{name}{{upstream="mail"}} ' in text
    assert "valvechain_database_connections " in text
    assert 'valvechain_database_query_duration_seconds_bucket{le="0.001"} ' in text
