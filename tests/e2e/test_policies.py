"""Limits of one's own: the `limits` section of the configuration file, through the real gateway."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import mmdb
from support.suite import binary
from support.tokens import SECRET, bearer, token
from support.wait import wait_for

FRONT = ("api-front",)
BOTH = ("api-front", "limiter")
POLICY = re.compile(r'"([a-z0-9-]+)";q=(\d+);w=(\d+)')


def bound_by(answer):
    return {name: int(q) for name, q, w in POLICY.findall(answer.header("RateLimit-Policy") or "")}


def spend(suite, headers=(), target="/a", at_most=50):
    for passed in range(at_most):
        answer = suite.get(target, headers)
        if answer.status == 429:
            return passed
        assert answer.status < 500, answer
    return at_most


def policy(name, limit, **more):
    return {"name": name, "limit": limit, "window_ms": 900000, **more}


@pytest.fixture
def start(make_suite, upstream):
    def start(*policies, processes=FRONT, routes=(), limits=(), **env):
        config = {"upstreams": [{"name": "app", "url": upstream.url}],
                  "routes": [{"path": "/", "upstream": "app"}, *routes],
                  "limits": {"policies": policies, **dict(limits)}}
        env = {"TIER_FREE_MAX": 1000, "GLOBAL_RATE_MAX": 1000, "JWT_SECRET": SECRET,
               "TRUSTED_CLAIMS": "loopback", **env}
        suite = make_suite(processes=processes, env=env, config=config)
        suite.config = config
        return suite

    return start


def reload(suite, *policies, processes=BOTH):
    suite.config["limits"]["policies"] = policies
    suite.write_config(suite.config)
    for name in processes:
        before = len(suite[name].events("config.reloaded"))
        suite[name].signal(signal.SIGHUP)
        wait_for(lambda: len(suite[name].events("config.reloaded")) > before, 10, f"reload of {name}")


def test_a_refusal_names_the_policy_and_what_it_counts(start):
    suite = start(policy("search", 2, match={"paths": ["/search"], "methods": ["GET"]},
                         key=["client-address", "header:X-Team"]))
    assert spend(suite, {"X-Team": "a"}, "/search/x") == 2
    assert spend(suite, {"X-Team": "b"}, "/search/x") == 2
    refused = suite.get("/search/x", {"X-Team": "a"})
    problem = json.loads(refused.body)
    assert problem["violated-policies"] == ["search"] and problem["policy"] == "search"
    assert problem["key"] == "client-address, header:x-team"
    assert suite.get("/other").status == 200
    assert suite.request("POST", "/search/x", {"X-Team": "a"}).status == 200
    stats = json.loads(suite.get("/api/rate-limit/stats").body)
    own = next(p for p in stats["policies"] if p["name"] == "search")
    assert own["key"] == ["client-address", "header:x-team"] and own["refused"] >= 3
    assert suite.metrics().sum("valvechain_rate_limit_hits_total", policy="search", tier="free") >= 3


def test_tiers_of_the_file_are_known_to_tokens_and_headers(start):
    suite = start(limits={"tiers": [{"name": "start-up", "limit": 4}]}, GLOBAL_RATE_MAX=2)
    assert spend(suite, {"X-API-Tier": "Start_Up", "X-Forwarded-For": "203.0.113.1"}) == 4
    assert spend(suite, bearer(token(sub="a", tier="start-up"))) == 4
    assert spend(suite, {"X-API-Tier": "nobody"}) == 2, "free, and bound by global"
    hits = suite.metrics()
    assert hits.sum("valvechain_rate_limit_hits_total", tier="start-up", policy="tier-start-up") == 2
    assert hits.sum("valvechain_claims_invalid_total") == 3


def test_unlimited_and_single_keys(start):
    suite = start({"name": "ours", "unlimited": True, "match": {"paths": ["/internal"]},
                   "replaces": ["tier-free", "global", "own"]},
                  policy("own", 2, key=["subject"], match={"callers": "authenticated"},
                         overrides=[{"subject": "alice", "limit": 5},
                                    {"subject": "root", "unlimited": True}]))
    assert suite.get("/internal/x").header("RateLimit") is None
    for subject, passed in (("bob", 2), ("alice", 5), ("root", 20)):
        assert spend(suite, bearer(token(sub=subject)), at_most=20) == passed, subject
    alice = suite.get("/a", bearer(token(sub="alice")))
    assert bound_by(alice)["own"] == 5 and json.loads(alice.body)["limit"] == 5


def test_costs_of_routes_and_policies(start):
    suite = start(policy("dear", 12, cost=2),
                  routes=[{"path": "/report", "upstream": "app", "cost": 3},
                          {"path": "/free", "upstream": "app", "cost": 0}])
    assert '"dear";r=10;' in suite.get("/a").header("RateLimit")
    last = suite.get("/report")
    assert last.status == 200
    assert '"dear";r=0;' in last.header("RateLimit"), "four are left, but no second such request fits"
    assert suite.get("/report").status == 429
    assert spend(suite) == 2
    assert suite.get("/free").status == 200 and suite.get("/free").header("RateLimit") is None


def test_a_reload_with_another_limit_keeps_the_counts(start):
    suite = start(policy("search", 20), processes=BOTH)
    assert spend(suite) == 20
    reload(suite, policy("search", 25))
    assert spend(suite) == 5, "20 of the 25 were spent before"
    reload(suite, policy("search", 5), policy("more", 30))
    assert spend(suite) == 0
    reload(suite, policy("search", 27))
    assert spend(suite) == 2
    reload(suite, policy("search", 27, key=["client-address"]))
    assert spend(suite, at_most=10) == 10, "another key counts anew"
    anew = suite["limiter"].events("limit.starts_anew")
    assert [entry["policy"] for entry in anew] == ["search"]


def test_a_bad_reload_changes_nothing_and_says_why(start):
    suite = start(policy("search", 3), processes=BOTH)
    assert spend(suite) == 3
    suite.config["limits"]["policies"] = [policy("search", 3, replaces=["nothing"])]
    suite.write_config(suite.config)
    suite["limiter"].signal(signal.SIGHUP)
    told = suite["limiter"].wait_event("config.invalid")
    assert "valvechain.json:" in told["message"] and "there is no policy 'nothing'" in told["message"]
    assert suite.get("/a").status == 429


def test_check_lists_every_mistake_with_its_place(tmp_path):
    path = tmp_path / "valvechain.json"
    path.write_text("""{"limits": {"policies": [
  {"name": "a", "limit": 16777216, "window_ms": 1000},
  {"name": "a", "limit": 1},
  {"name": "b", "unlimited": true, "limit": 1, "replaces": ["b"]}
]}}""")
    done = subprocess.run([binary("api-front"), "--check"], capture_output=True, text=True, timeout=20,
                          env={"CONFIG_FILE": str(path), "PATH": os.environ["PATH"]}, check=False)
    told = done.stdout + done.stderr
    assert done.returncode != 0
    for place in ("valvechain.json:2:26: limits.policies[0].limit: '16777216'",
                  "valvechain.json:3:12: limits.policies[1].name: 'a' is already",
                  "valvechain.json:3:3: limits.policies[1]: the field 'window_ms' is missing",
                  "valvechain.json:4:", "'b' is the policy itself"):
        assert place in told, told


def test_failed_attempts_alone_count(start, upstream):
    suite = start(AUTH_COUNT="failed", AUTH_RATE_MAX=3, AUTH_PATHS="/login")
    assert spend(suite, target="/login", at_most=10) == 10, "answered 200: given back"
    upstream.answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    for _ in range(3):
        assert suite.get("/login").status == 401
    assert suite.get("/login").status == 429
    assert suite.get("/a").status == 401, "elsewhere nothing is bound"


def test_a_cost_told_by_an_answer_that_does_not_count_is_not_charged(start, upstream):
    suite = start(policy("guesses", 5, count="failed", cost_header="X-Cost"))
    costs = b"Content-Length: 0\r\nX-Cost: 3\r\n\r\n"
    upstream.answer(b"HTTP/1.1 200 OK\r\n" + costs)
    assert spend(suite, at_most=10) == 10
    upstream.answer(b"HTTP/1.1 401 Unauthorized\r\n" + costs)
    assert [suite.get("/a").status for _ in range(3)] == [401, 401, 429]


def test_a_dot_behind_the_host_escapes_no_policy(start):
    suite = start(policy("ours", 1, match={"hosts": ["api.example", "b.example."]}))
    assert suite.get("/a", {"Host": "api.example"}).status == 200
    for host in ("api.example.", "API.example.:80", "b.example", "b.example."):
        assert suite.get("/a", {"Host": host}).status == 429, host


def test_guesses_in_flight_count(start, upstream):
    """Parallel guesses must not all pass before the first is answered."""
    suite = start(AUTH_COUNT="failed", AUTH_RATE_MAX=3, AUTH_PATHS="/login")
    go = threading.Event()

    def held(request, connection):
        assert go.wait(10)
        return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    upstream.answer(held)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(suite.get("/login").status))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(statuses) == 5, 10, "five refusals while three wait")
    go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(statuses) == [403] * 3 + [429] * 5
    assert suite.get("/login").status == 429


def test_regions_by_database_and_by_network(start, tmp_path):
    path = tmp_path / "geo.mmdb"
    mmdb.write(path, {
        "203.0.113.0/24": {"country": {"iso_code": "JP"}, "continent": {"code": "AS"}},
        "198.51.100.0/24": {"country": {"iso_code": "US"}, "continent": {"code": "NA"},
                            "location": {"longitude": -118.2}},
        "2001:db8::/32": {"country": {"iso_code": "DE"}, "continent": {"code": "EU"}}})
    suite = start(limits={"regions": [{"region": "asia", "networks": ["10.0.0.0/8"]},
                                      {"region": "europe", "networks": ["10.1.0.0/16"]}]},
                  REGIONAL_RATE_LIMITING="true", GEOIP_DB=path)
    for address, region in (("203.0.113.9", "asia"), ("198.51.100.1", "us-west"),
                            ("2001:db8::1", "europe"), ("10.9.9.9", "asia"), ("10.1.1.1", "europe"),
                            ("192.0.2.1", "us-east")):
        answer = suite.get("/a", {"X-Forwarded-For": address})
        assert f"region-{region}" in bound_by(answer), address
    answer = suite.get("/a", {"X-Forwarded-For": "203.0.113.9", "X-Region": "europe"})
    assert "region-europe" in bound_by(answer), "what a trusted peer says comes first"


def test_a_database_that_is_none_fails_the_check(tmp_path):
    path = tmp_path / "geo.mmdb"
    path.write_bytes(b"not one")
    done = subprocess.run([binary("api-front"), "--check"], capture_output=True, text=True, timeout=20,
                          env={"GEOIP_DB": str(path), "PATH": os.environ["PATH"]}, check=False)
    assert done.returncode != 0 and "GEOIP_DB" in done.stdout + done.stderr


@pytest.mark.parametrize("styles, fields", [
    ("ietf", {"RateLimit", "RateLimit-Policy"}),
    ("draft-7", {"RateLimit", "RateLimit-Policy"}),
    ("draft-6", {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy"}),
    ("legacy", {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
    ("ietf,legacy", {"RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining",
                     "X-RateLimit-Reset"}),
    ("none", set()),
])
def test_generations_of_the_fields(start, styles, fields):
    suite = start(RATE_LIMIT_HEADERS=styles, TIER_FREE_MAX=2)
    answer = suite.get("/a")
    assert {name for name, _ in answer.headers if "ratelimit" in name.lower()} == fields
    assert spend(suite) == 1
    assert int(suite.get("/a").header("Retry-After")) > 0


def open_request(suite, target, headers=""):
    sock = socket.create_connection(("127.0.0.1", suite.port), 10)
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    return sock


def test_places_are_held_until_the_answer_is_out_or_the_client_gone(start, upstream):
    suite = start({"name": "slots", "algorithm": "concurrency", "limit": 2, "key": ["client-address"],
                   "match": {"paths": ["/slow"]}})
    begin, finish = threading.Event(), threading.Event()

    def slow(request, connection):
        assert begin.wait(10)
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000)
        assert finish.wait(10)
        connection.sock.sendall(b"y" * 100000)

    upstream.on("/slow", slow)

    def refused():
        answer = suite.get("/slow")
        assert answer.status == 429, answer
        return answer

    with open_request(suite, "/slow") as first, open_request(suite, "/slow") as second:
        wait_for(lambda: len(upstream.requests) == 2, 10, "both to be under way")
        answer = refused()
        assert '"slots";q=2;qu="concurrent-requests"' in answer.header("RateLimit-Policy")
        problem = json.loads(answer.body)
        assert problem["policy"] == "slots" and "window" not in problem
        retry = int(answer.header("Retry-After"))
        assert 1 <= retry <= 2 and problem["retry-after"] == retry
        assert f'"slots";r=0;t={retry}' in answer.header("RateLimit")
        begin.set()
        assert first.recv(20).startswith(b"HTTP/1.1 200"), "an answer that flows still holds its place"
        refused()
        upstream.on("/slow", lambda request, connection: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        second.close()  # the client goes away in the middle
        wait_for(lambda: suite.get("/slow").status == 200, 10, "the place of the one that went")
        finish.set()
    wait_for(lambda: suite.get("/slow").status == 200, 10, "all places to be free")
    assert spend(suite, target="/slow", at_most=10) == 10, "one after the other holds one place"


def test_places_of_a_killed_gateway_come_back(start, upstream):
    suite = start({"name": "slots", "algorithm": "concurrency", "limit": 1, "key": ["client-address"]})
    go = threading.Event()
    upstream.on("/slow", lambda request, connection: go.wait(10) and None)
    with open_request(suite, "/slow"):
        wait_for(lambda: len(upstream.requests) == 1, 10, "the request to be under way")
        assert suite.get("/a").status == 429
        suite["api-front"].kill()
    suite["api-front"].start()
    wait_for(lambda: suite.get("/a").status == 200, 10, "the place of the dead")
    go.set()


def test_places_come_back_with_every_kind_of_answer(start, upstream):
    suite = start({"name": "slots", "algorithm": "concurrency", "limit": 1, "key": ["client-address"]},
                  policy("few", 2, match={"paths": ["/few"]}))
    assert [suite.get("/few").status for _ in range(4)] == [200, 200, 429, 429], "refused by another"
    upstream.on("/broken", lambda request, connection: b"no http\r\n\r\n")
    for target, status in (("/broken", 502), ("/a", 200), ("/api/check", 400), ("/a", 200)):
        assert suite.get(target).status == status
    check = {"X-Original-URI": "/a"}
    assert [suite.get("/api/check", check).status for _ in range(3)] == [200] * 3


def test_a_cost_told_by_the_answer_is_charged_then(start, upstream):
    suite = start(policy("tokens", 100, cost_header="X-Tokens"))

    def costs(number):
        upstream.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Tokens: " + number + b"\r\n\r\n")

    def left():
        return int(re.search(r'"tokens";r=(\d+)', suite.get("/a").header("RateLimit"))[1])

    costs(b"31")
    answer = suite.get("/a")
    assert answer.status == 200 and answer.header("X-Tokens") is None, "it is for the gateway"
    costs(b"1")
    assert left() == 68, "31 and this one"
    costs(b"0")
    assert left() == 67, "never less than on arrival"
    costs(b"many")
    assert left() == 66
    assert suite.metrics().sum("valvechain_rate_limit_cost_invalid_total") == 1
    costs(b"500")
    assert suite.get("/a").status == 200, "its cost is known too late to refuse it"
    assert suite.get("/a").status == 429


def test_a_cost_header_may_stay(start, upstream):
    suite = start(policy("tokens", 100, cost_header="X-Tokens", keep_cost_header=True))
    upstream.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-tokens: 7\r\n\r\n")
    assert suite.get("/a").header("X-Tokens") == "7"


def told(answer):
    """(remaining, seconds until more) as a client of that generation reads it; None without fields."""
    if answer.header("X-RateLimit-Limit"):
        reset = int(answer.header("X-RateLimit-Reset")) - time.time()
        return int(answer.header("X-RateLimit-Remaining")), reset
    if answer.header("RateLimit-Limit"):
        return int(answer.header("RateLimit-Remaining")), int(answer.header("RateLimit-Reset"))
    field = answer.header("RateLimit") or ""
    old = re.search(r"remaining=(\d+), reset=(\d+)", field)
    if old:
        return int(old[1]), int(old[2])
    members = re.findall(r'"[a-z0-9-]+";r=(\d+)(?:;t=(\d+))?', field)
    return min(((int(r), int(t or 0)) for r, t in members), default=None)


OBEYED = [{"limit": 3}, {"limit": 20, "cost": 3}, {"limit": 3, "algorithm": "fixed_window"},
          {"limit": 4, "algorithm": "gcra", "burst": 3}, {"limit": 30, "algorithm": "gcra", "cost": 10}]


STYLES = ("ietf", "draft-7", "draft-6", "legacy")
# Wide counts only once: the fields' forms do not depend on them.
OBEYING = [(shape, styles) for shape in OBEYED for styles in STYLES] + [
    ({"limit": 1000, "cost": 90}, "ietf"), ({"limit": 60000, "cost": 7000}, "ietf")]
OBEYING_IDS = ["-".join(map(str, [*shape.values(), styles])) for shape, styles in OBEYING]


@pytest.mark.parametrize("shape, styles", OBEYING, ids=OBEYING_IDS)
def test_who_obeys_the_fields_is_never_refused(start, styles, shape):
    suite = start({"name": "own", "window_ms": 1000, **shape}, RATE_LIMIT_HEADERS=styles)
    deadline, sent, waits = time.monotonic() + 20, 0, 0
    while waits < 2:
        assert time.monotonic() < deadline
        answer = suite.get("/a")
        sent += 1
        assert answer.status == 200, (answer.headers, sent)
        remaining, seconds = told(answer)
        if remaining == 0:
            waits += 1
            resume = time.monotonic() + seconds
            wait_for(lambda: time.monotonic() >= resume, 10, "the time told to have passed")
    assert sent > 2 * waits


@pytest.mark.parametrize("shape, styles", OBEYING, ids=OBEYING_IDS)
def test_a_refusal_agrees_with_itself_and_with_what_follows(start, styles, shape):
    suite = start({"name": "own", "window_ms": 2000, **shape}, RATE_LIMIT_HEADERS=styles)
    spend(suite)
    refused = suite.get("/a")
    at = time.monotonic()
    retry = int(refused.header("Retry-After"))
    problem = json.loads(refused.body)
    assert problem["retry-after"] == retry and problem["policy"] == "own"
    remaining, seconds = told(refused)
    assert remaining == 0 and retry - 1.1 <= seconds <= retry + 1.1
    wait_for(lambda: time.monotonic() >= at + retry, 10, "Retry-After")
    assert suite.get("/a").status == 200
