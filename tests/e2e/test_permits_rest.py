"""Permits over HTTP: /api/circuit-breaker/NAME/acquire and /report, who may ask, what is refused how."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from support.ports import reserve_port
from support.suite import ROOT, Suite
from support.tokens import SECRET, bearer, token
from support.wait import wait_for

SMALL = {"CB_VOLUME_THRESHOLD": 3, "CB_RESET_TIMEOUT": 200, "CB_CAPACITY": 4}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def start(make_suite):
    def start(**env):
        return make_suite(processes=("breaker", "api-front"), env={**SMALL, **env})

    return start


def post(suite, verb, body=None, name="database", headers=(), **options):
    text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return suite.request("POST", f"/api/circuit-breaker/{name}/{verb}", {**JSON, **dict(headers)}, body=text,
                         **options)


def granted(suite, **ask):
    answer = post(suite, "acquire", ask)
    assert answer.status == 200, answer.body
    return answer.json()["permits"]


def breaker(suite, name="database"):
    return suite.get("/api/circuit-breaker/stats").json()["circuitBreakers"][name]


def fail(suite, n=3):
    outcomes = [{"permit": permit, "outcome": "failure"} for permit in granted(suite, count=n)]
    answer = post(suite, "report", {"outcomes": outcomes})
    assert (answer.status, answer.json()) == (200, {"reported": n, "refused": []})


def test_one_call_is_granted_reported_and_counted(start):
    suite = start()
    answer = post(suite, "acquire")
    assert (answer.status, answer.header("Content-Type")) == (200, "application/json")
    assert answer.header("Cache-Control") == "no-store"
    told = answer.json()
    assert told["granted"] and told["state"] == "CLOSED" and not told["probe"] and told["lease_ms"] == 10000
    [permit] = told["permits"]
    assert breaker(suite)["inFlight"] == 1
    outcome = {"permit": permit, "outcome": "success", "duration_ms": 12}
    assert post(suite, "report", outcome).json() == {"reported": 1, "refused": []}
    assert breaker(suite)["inFlight"] == 0 and breaker(suite)["window"]["successes"] == 1
    again = post(suite, "report", outcome)
    assert again.status == 409 and again.json()["code"] == "permits_not_counted"
    assert again.json()["reported"] == 0 and "no such permit" in again.json()["refused"][0]["reason"]


def test_database_calls_of_applications_are_measured(start):
    suite = start()
    permits = granted(suite, count=3)
    post(suite, "acquire", {}, name="email")
    assert suite.metrics().sum("valvechain_database_connections") == 3
    outcomes = [{"permit": permits[0], "outcome": "success", "duration_ms": 1500},
                {"permit": permits[1], "outcome": "timeout", "duration_ms": 3},
                {"permit": permits[2], "outcome": "ignored", "duration_ms": 9000}]
    assert post(suite, "report", {"outcomes": outcomes}).json()["reported"] == 3
    metrics = suite.metrics()
    assert metrics.sum("valvechain_database_connections") == 0
    assert metrics.sum("valvechain_database_query_duration_seconds_count") == 2
    assert metrics.sum("valvechain_database_query_duration_seconds_sum") == pytest.approx(1.503)
    assert metrics.sum("valvechain_database_query_duration_seconds_bucket", le="0.005") == 1


def test_refusals_say_why_and_when_to_ask_again(start):
    suite = start()
    held = granted(suite, count=6)
    assert len(held) == 4, "a batch takes what the capacity has"
    full = post(suite, "acquire", {})
    assert full.status == 503 and full.header("Retry-After") == "1"
    assert full.header("Content-Type") == "application/problem+json"
    assert (full.json()["code"], full.json()["refused"]) == ("at_capacity", "capacity")
    outcomes = [{"permit": permit, "outcome": "failure"} for permit in held]
    assert post(suite, "report", {"outcomes": outcomes}).json()["reported"] == 4
    opened = post(suite, "acquire", {})
    assert (opened.status, opened.json()["code"]) == (503, "circuit_open")
    assert opened.json()["state"] == "OPEN" and opened.json()["retry_after_ms"] <= 201
    probe = wait_for(lambda: (lambda a: a if a.status == 200 else None)(post(suite, "acquire")), 10).json()
    assert probe["probe"] and probe["state"] == "HALF-OPEN"
    post(suite, "report", {"permit": probe["permits"][0], "outcome": "success"})
    assert breaker(suite)["state"] == "CLOSED"


def test_a_permit_is_reported_where_it_was_granted(start):
    suite = start()
    [permit] = granted(suite)
    elsewhere = post(suite, "report", {"permit": permit, "outcome": "success"}, name="email")
    assert elsewhere.status == 409 and "no permit of this breaker" in elsewhere.json()["refused"][0]["reason"]
    assert post(suite, "report", {"permit": permit, "outcome": "success"}).status == 200


def test_what_was_not_counted_is_named(start):
    suite = start()
    [first, second] = granted(suite, count=2)
    outcomes = [{"permit": permit, "outcome": "success"} for permit in (first, "0" * 19, second, "gone")]
    told = post(suite, "report", {"outcomes": outcomes})
    assert (told.status, told.json()["reported"]) == (200, 2)
    assert [(r["index"], r["permit"]) for r in told.json()["refused"]] == [(1, "0" * 19), (3, "gone")]
    nameless = post(suite, "report", {"outcomes": [outcomes[0], {"outcome": "success"}]})
    assert nameless.status == 400 and "outcomes[1]: permit is missing" in nameless.json()["detail"]


def test_a_slash_at_the_end_is_the_same_path(start):
    suite = start()
    answer = suite.request("POST", "/api/circuit-breaker/database/acquire/", [], b"")
    assert answer.status == 200 and answer.json()["granted"], answer.body


@pytest.mark.parametrize("verb, body, told", [
    ("acquire", {"count": 0}, "count must be 1 to 100. Allowed is"),
    ("report", {"outcome": "success"}, "permit is missing. Allowed is"),
    ("acquire", {"count": 101}, "count must be 1 to 100"), ("acquire", {"lease_ms": 5}, "lease_ms must be 100"),
    ("acquire", {"counts": 1}, "no field 'counts'"), ("acquire", {"count": "1"}, "count: allowed is a number"),
    ("acquire", {"breaker": "email"}, "another one than the path's"), ("acquire", b"{", "no JSON"),
    ("acquire", b"[]", "must be an object"), ("report", None, "no body"), ("report", {}, "outcome must be"),
    ("report", {"permit": "x", "outcome": "good"}, "success, failure, timeout or ignored"),
    ("report", {"outcomes": []}, "1 to 100 outcomes"), ("report", {"outcomes": {}}, "outcomes: allowed is a list")])
def test_a_bad_body_is_refused_with_what_is_allowed(start, verb, body, told):
    answer = post(start(), verb, body)
    assert (answer.status, answer.json()["code"]) == (400, "permits_bad_request")
    assert told in answer.json()["detail"] and "Allowed is {" in answer.json()["detail"]


def test_what_is_not_there_and_what_is_too_large(start):
    suite = start()
    assert post(suite, "acquire", {}, name="nobody").json()["code"] == "breaker_unknown"
    assert post(suite, "acquire", {}, name="a" * 40).status == 404
    assert post(suite, "release", {}).status == 404
    wrong = suite.get("/api/circuit-breaker/database/acquire")
    assert (wrong.status, wrong.header("Allow")) == (405, "POST")
    large = post(suite, "report", b" " * 70000)
    assert (large.status, large.json()["code"]) == (413, "body_too_large")


def test_who_may_ask(start):
    suite = start(JWT_SECRET=SECRET)
    outside = {"X-Forwarded-For": "203.0.113.9"}
    before = suite.metrics()
    refused = post(suite, "acquire", {}, headers=outside)
    assert (refused.status, refused.json()["code"]) == (403, "permits_forbidden")
    for scope in ("valvechain:permits", "openid valvechain:admin"):
        assert post(suite, "acquire", {}, headers={**outside, **bearer(token(scope=scope))}).status == 200
    for text in (token(scope="valvechain:permit"), token(scope="valvechain:permits", secret="forged " * 6)):
        assert post(suite, "acquire", {}, headers={**outside, **bearer(text)}).status == 403
    delta = suite.metrics() - before
    assert delta.sum("valvechain_system_refused_total") == 3
    nobody = start(PERMITS_ALLOW="none")
    assert post(nobody, "acquire", {}).status == 403


def test_with_an_admin_port_it_is_there_only():
    admin = reserve_port()
    suite = Suite(env={**SMALL, "ADMIN_PORT": admin}, processes=("breaker", "api-front"))
    try:
        for process in suite.processes:
            process.start()
        assert post(suite, "acquire", {}).status == 404
        suite.port = admin
        assert post(suite, "acquire", {}).status == 200
    finally:
        suite.stop()


def test_while_the_breaker_process_is_away_it_says_so_and_goes_on_later(start):
    suite = start(PERMITS_TIMEOUT=100)
    suite["breaker"].kill()
    away = post(suite, "acquire", {})
    assert (away.status, away.json()["code"], away.header("Retry-After")) == (503, "breaker_unavailable", "1")
    suite["breaker"].start()
    wait_for(lambda: post(suite, "acquire", {}).status == 200, 20, "permits again")


def test_what_is_granted_to_somebody_who_is_gone_comes_back(start):
    suite = start(PERMITS_TIMEOUT=60000)
    suite["breaker"].freeze()
    body = b'{"lease_ms": 3600000}'
    with socket.create_connection(("127.0.0.1", suite.port)) as client:
        client.sendall(b"POST /api/circuit-breaker/database/acquire HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        wait_for(lambda: suite.metrics().sum("valvechain_active_connections") == 1, 10)
    wait_for(lambda: suite.metrics().sum("valvechain_requests_aborted_total") == 1, 10, "the client to be gone")
    suite["breaker"].signal(signal.SIGCONT)
    wait_for(lambda: suite.metrics().sum("valvechain_circuit_breaker_permits_total", result="reported") == 1, 20)
    assert breaker(suite)["inFlight"] == 0


def test_the_example_of_the_documentation_works(start):
    suite = start(CB_RESET_TIMEOUT=60000)
    with open(os.path.join(ROOT, "docs", "breakers.md"), encoding="utf-8") as file:
        [example] = re.findall(r"^```python\n(.*?)^```", file.read(), re.M | re.S)
    example = example.replace("http://127.0.0.1:3000", f"http://127.0.0.1:{suite.port}")
    done = subprocess.run([sys.executable, "-c", example], text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert breaker(suite)["window"] == {"successes": 1, "failures": 0, "timeouts": 0, "slow": 0,
                                        "consecutiveFailures": 0}
    fail(suite, 3)
    refused = subprocess.run([sys.executable, "-c", example], text=True, capture_output=True, timeout=60, check=False)
    assert "not now: open" in refused.stdout, refused
