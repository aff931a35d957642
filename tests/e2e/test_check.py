"""/api/check: who may ask, what is understood, what is charged to whom, and what is refused how."""

import subprocess

import pytest

from support.suite import binary

FRONT = ("api-front",)


@pytest.fixture
def start(make_suite, upstream):
    def start(**env):
        return make_suite(processes=FRONT, env={
            "UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 3, "GLOBAL_RATE_MAX": 1000,
            "AUTH_RATE_MAX": 1, "AUTH_PATHS": "/login", **env})

    return start


def ask(suite, options="", uri="/a", method="GET", **headers):
    fields = {"X-Original-URI": uri, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return suite.request(method, f"/api/check{options}", fields)


def test_admitted_and_denied_carry_the_fields(start):
    suite = start()
    before = suite.metrics()
    for left in (2, 1, 0):
        answer = ask(suite)
        assert (answer.status, answer.body) == (200, b"")
        assert f'"tier-free";r={left};' in answer.header("RateLimit")
        assert answer.header("Cache-Control") == "no-store"
    denied = ask(suite, method="POST")
    assert denied.status == 429
    assert denied.json()["violated-policies"] == ["tier-free"]
    assert denied.header("Retry-After")
    delta = suite.metrics() - before
    assert delta.sum("valvechain_checks_total", result="admitted") == 3
    assert delta.sum("valvechain_checks_total", result="denied") == 1
    assert delta.sum("valvechain_rate_limit_hits_total", policy="tier-free") == 1
    assert delta.sum("valvechain_http_requests_total", route="check") == 4


@pytest.mark.parametrize("deny", [401, 403, 429])
def test_the_asker_chooses_the_status_of_a_refusal(start, deny):
    suite = start(TIER_FREE_MAX=0)
    denied = ask(suite, f"?deny={deny}")
    assert denied.status == deny and denied.header("RateLimit")
    assert denied.json()["title"] == {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}[deny]
    assert denied.header("Retry-After") is None and "retry-after" not in denied.json(), "no wait helps"
    bad = ask(suite, "?cost=1&cost=2")
    assert bad.status == 400 and "'cost' stands there twice" in bad.json()["detail"]


def test_checks_and_requests_share_one_allowance(start):
    suite = start()
    assert ask(suite, X_Forwarded_For="192.0.2.1").status == 200
    assert suite.get("/a", {"X-Forwarded-For": "192.0.2.1"}).status == 200
    assert ask(suite, "?cost=2", X_Forwarded_For="192.0.2.1").status == 429
    assert ask(suite, X_Forwarded_For="192.0.2.1").status == 200
    assert suite.get("/a", {"X-Forwarded-For": "192.0.2.1"}).status == 429


@pytest.mark.parametrize("options", ["?peek", "?peek=true", "?cost=0", "?cost=5&peek=1"])
def test_a_peek_charges_nothing(start, options):
    suite = start(TIER_FREE_MAX=1)
    for _ in range(3):
        assert ask(suite, options).status == 200
    assert ask(suite).status == 200
    assert ask(suite, options).status == 429, "it says what a request would get"


def test_cost_is_charged(start):
    suite = start(TIER_FREE_MAX=100)
    assert '"tier-free";r=60;' in ask(suite, "?cost=40").header("RateLimit")
    assert ask(suite, "?cost=61").status == 429
    assert ask(suite, "?cost=60").status == 200


def test_the_original_target_is_normalized_as_our_own(start):
    suite = start(TIER_FREE_MAX=100)
    assert ask(suite, uri="//./log%69n?x=y").status == 200
    assert ask(suite, uri="/login").status == 429
    refused = ask(suite, uri="/a/../login")
    assert refused.status == 400 and refused.header("X-Check-Refused") == "target_dot_segment"
    refused = ask(suite, "?deny=403", uri="/a%2flogin")
    assert refused.status == 403 and refused.header("X-Check-Refused") == "target_encoded_slash"
    assert suite.metrics().sum("valvechain_checks_total", result="bad_target") == 2


@pytest.mark.parametrize("options, headers, code, names", [
    ("", {}, "check_no_target", "X-Original-URI"),
    ("", {"X-Original-URI": ""}, "check_no_target", "X-Forwarded-Uri"),
    ("", {"X-Original-URI": "/a", "X-Forwarded-Uri": "/a"}, "check_ambiguous", "More than one"),
    ("/a", {"X-Original-URI": "/a"}, "check_ambiguous", "More than one"),
    ("?cost=-1", {"X-Original-URI": "/a"}, "check_cost", "'-1'"),
    ("?cost=1000001", {"X-Original-URI": "/a"}, "check_cost", "1000000"),
    ("?peek=perhaps", {"X-Original-URI": "/a"}, "check_peek", "'perhaps'"),
    ("?deny=500", {"X-Original-URI": "/a"}, "check_deny", "401, 403 and 429"),
    ("?price=3", {"X-Original-URI": "/a"}, "check_parameter", "'price'"),
    ("?cost=" + "0" * 40, {"X-Original-URI": "/a"}, "check_parameter", "'cost'"),
    ("", {"X-Original-URI": "/a", "X-Original-Method": "G T"}, "check_method", "x-original-method"),
])
def test_bad_input_is_named_and_counted(start, options, headers, code, names):
    suite = start()
    refused = suite.get(f"/api/check{options}", headers)
    assert refused.status == 400
    assert refused.json()["code"] == code and names in refused.json()["detail"]
    assert suite.metrics().sum("valvechain_checks_total", result="bad") == 1
    assert '"tier-free";r=2;' in ask(suite).header("RateLimit"), "nothing was charged"


def test_the_same_header_twice_is_ambiguous(start):
    suite = start()
    refused = suite.get("/api/check", [("X-Original-URI", "/a"), ("X-Original-URI", "/b")])
    assert refused.json()["code"] == "check_ambiguous"
    refused = suite.get("/api/check", [("X-Original-URI", "/a"), ("X-Original-Method", "GET"),
                                       ("X-Original-Method", "PUT")])
    assert refused.json()["code"] == "check_ambiguous"


def test_only_peers_of_the_list_may_ask(start):
    suite = start(CHECK_ALLOW="192.0.2.0/24")
    refused = ask(suite)
    assert refused.status == 404 and "CHECK_ALLOW" in refused.json()["detail"]
    assert suite.metrics().sum("valvechain_checks_total", result="forbidden") == 1
    answer = ask(suite, X_Forwarded_For="192.0.2.5")
    assert answer.status == 404, "the peer counts, not whom it names"


def test_other_methods_are_refused_where_the_path_says_nothing(start):
    suite = start()
    refused = ask(suite, method="DELETE")
    assert refused.status == 405 and refused.header("Allow") == "GET, HEAD, POST"


def test_the_path_is_a_parameter_and_takes_nothing_else(start):
    suite = start(CHECK_ENDPOINT="/ask/")
    assert suite.get("/ask", {"X-Original-URI": "/a"}).status == 200
    assert suite.get("/ask/login").status == 200
    assert suite.get("/ask/login").status == 429
    assert suite.get("/api/check").status == 200, "the application's now"


def test_an_endpoint_below_it_is_refused():
    run = subprocess.run([binary("api-front"), "--check"], capture_output=True, text=True, check=False,
                         timeout=20, env={"CHECK_ENDPOINT": "/api"})
    assert run.returncode != 0
    assert "CHECK_ENDPOINT: '/api' takes the path of" in run.stdout + run.stderr


def test_with_limits_off_everything_is_admitted(start):
    suite = start(ADVANCED_RATE_LIMITING="false", TIER_FREE_MAX=0)
    answer = ask(suite)
    assert answer.status == 200 and answer.header("RateLimit") is None
