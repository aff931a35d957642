"""What operators see and change: statistics, valvectl limits, show, top, reset, set, deny and allow."""

import json
import os
import re
import select
import subprocess
import sys
import time

import pytest

from support.suite import ROOT, binary
from support.tap import Tap
from support.tokens import SECRET, bearer, token
from support.wait import wait_for

sys.path.insert(0, os.path.join(ROOT, "examples", "python"))
from valvechain_limits import Limits  # noqa: E402

PROCESSES = ("api-front", "limiter")
SPENT = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture
def start(make_suite, upstream):
    def start(**env):
        return make_suite(processes=PROCESSES, env={
            "UPSTREAM_URL": upstream.url, "TIER_FREE_MAX": 5, "GLOBAL_RATE_MAX": 1000,
            "TRUSTED_CLAIMS": "loopback", **env})

    return start


def valvectl(suite, *arguments, code=0):
    env = {name: str(value) for name, value in suite.environment().items()}
    run = subprocess.run([binary("valvectl"), *arguments], capture_output=True, text=True, timeout=20,
                         check=False, env={**env, "PATH": "/usr/bin"})
    assert run.returncode == code, (arguments, run.stdout, run.stderr)
    return run.stdout if code == 0 else run.stderr


def spend(suite, headers=SPENT, at_most=50):
    for passed in range(at_most):
        if suite.get("/a", headers).status == 429:
            return passed
    return at_most


def stats(suite, who=None):
    return json.loads(suite.get("/api/rate-limit/stats", who or {}).body)


def test_statistics_count_hits_near_and_refusals_and_name_who_is_refused(start):
    suite = start(JWT_SECRET=SECRET)
    assert spend(suite) == 5
    assert spend(suite, {**SPENT, "X-API-Key": "sk_live_0123456789abcdef"}) == 5
    for _ in range(3):
        suite.get("/a", SPENT)
    report = stats(suite, bearer(token(sub="root", scope="openid valvechain:admin")))
    free = next(policy for policy in report["policies"] if policy["name"] == "tier-free")
    assert (free["hits"], free["nearLimit"], free["refused"], free["shadowRefused"]) == (10, 4, 5, 0)
    assert free["checksRefused"] == 0
    top = report["topRefused"]
    assert [(entry["policy"], entry["refused"], entry["atMostTooMany"]) for entry in top] == [
        ("tier-free", 4, 0), ("tier-free", 1, 0)]
    assert top[0]["key"] == "client:192.0.2.7"
    assert re.fullmatch(r"api-key:sk_l~[0-9a-f]{8}", top[1]["key"]), "a secret is not shown"
    for who in ({}, {"X-Forwarded-For": "10.1.2.3"}, bearer(token(sub="root", scope="valvechain:admins")),
                bearer(token(sub="root", scope="valvechain:admin", secret="of somebody else, long enough"))):
        unnamed = stats(suite, who)["topRefused"]
        assert len(unnamed) == 2 and all("key" not in entry for entry in unnamed), who
    shown = valvectl(suite, "limit", "top")
    assert "client:192.0.2.7" in shown and "0123456789abcdef" not in shown
    line = next(line for line in valvectl(suite, "limits").splitlines() if line.startswith("tier-free"))
    assert line.split()[2:] == ["enforce", "5", "900", "s", "10", "5", "4", "0"]


def test_names_are_forgotten(start):
    suite = start(LIMIT_TOP_TIME=1000)
    assert spend(suite) == 5
    assert len(stats(suite)["topRefused"]) == 1
    wait_for(lambda: stats(suite)["topRefused"] == [], 5, "the name to be forgotten")


def test_show_and_reset(start):
    suite = start()
    assert spend(suite) == 5
    shown = valvectl(suite, "limit", "show", "client:192.0.2.7")
    assert re.search(r"tier-free +used 5 of 5, 0 left", shown)
    assert re.search(r"global +used 5 of 1000, 995 left", shown)
    assert "in 1 policy" in valvectl(suite, "limit", "reset", "tier-free", "client:192.0.2.7")
    assert "used 0 of 5" in valvectl(suite, "limit", "show", "tier-free", "client:192.0.2.7")
    assert spend(suite) == 5
    assert "begins anew in" in valvectl(suite, "limit", "reset", "client:192.0.2.7", "--reason", "a mistake")
    assert spend(suite) == 5
    changed = suite["limiter"].events("limit.changed")
    assert [entry["why"] for entry in changed] == ["", "a mistake"]
    assert all("uid" in entry["who"] for entry in changed)


def test_set_gives_a_key_a_limit_of_its_own_for_a_time(start):
    suite = start()
    assert spend(suite) == 5
    said = valvectl(suite, "limit", "set", "tier-free", "client:192.0.2.7", "--limit", "8", "--for", "1h",
                    "--reason", "ticket 7")
    assert "tier-free client:192.0.2.7 has the limit 8 for 3600 s" in said
    assert spend(suite) == 3
    assert "used 8 of 8, 0 left" in valvectl(suite, "limit", "show", "tier-free", "client:192.0.2.7")
    assert spend(suite, {"X-Forwarded-For": "192.0.2.8"}) == 5, "nobody else"
    [changed] = suite["limiter"].events("limit.changed")
    assert changed["change"] == "set" and changed["why"] == "ticket 7"
    suite["limiter"].kill()
    assert spend(suite) == 0
    suite["limiter"].start()
    assert "of 8" in valvectl(suite, "limit", "show", "tier-free", "client:192.0.2.7"), "it survives"
    valvectl(suite, "limit", "set", "tier-free", "client:192.0.2.7", "--limit", "policy")
    assert "of 5" in valvectl(suite, "limit", "show", "tier-free", "client:192.0.2.7")


def test_a_limit_of_its_own_ends_on_time_while_the_limiter_is_down(start):
    suite = start()
    valvectl(suite, "limit", "set", "tier-free", "client:192.0.2.7", "--limit", "0", "--for", "2s",
             "--reason", "x")
    suite["limiter"].kill()
    assert suite.get("/a", SPENT).status == 429, "it is still in force"
    wait_for(lambda: suite.get("/a", SPENT).status == 200, 5, "the policy's own limit")
    assert spend(suite) == 4
    assert "of 5" in valvectl(suite, "limit", "show", "tier-free", "client:192.0.2.7")


def test_a_key_of_several_parts_has_a_limit_of_its_own(start, tmp_path, upstream):
    config = {"upstreams": [{"name": "app", "url": upstream.url}],
              "routes": [{"name": "a", "path": "/a", "upstream": "app"},
                         {"name": "b", "path": "/b", "upstream": "app"}],
              "limits": {"policies": [{
                  "name": "own", "key": ["client-address", "route", "header:X-Team"], "limit": 4,
                  "window_ms": 600000, "replaces": ["tier-free", "global"],
                  "overrides": [{"client_address": "192.0.2.7", "route": "b", "limit": 2,
                                 "headers": [{"name": "X-Team", "value": "the blues"}]}]}]}}
    (tmp_path / "valvechain.json").write_text(json.dumps(config))
    suite = start(CONFIG_FILE=tmp_path / "valvechain.json", UPSTREAM_URL="")
    team = {**SPENT, "X-Team": "the blues"}

    def spend_at(target):
        for passed in range(20):
            if suite.get(target, team).status == 429:
                return passed
        return 20

    assert spend_at("/b") == 2
    key = ("own", "client:192.0.2.7", "route:a", "header:X-Team=the blues")
    valvectl(suite, "limit", "set", *key, "--limit", "7", "--for", "1h", "--reason", "x")
    assert spend_at("/a") == 7
    assert "used 7 of 7" in valvectl(suite, "limit", "show", *key)
    assert "client:192.0.2.7 route:a header:x-team=(not shown)" in valvectl(suite, "limit", "top")
    assert "used 2 of 2" in valvectl(suite, "limit", "show", "own",
                                     "header:x-team=the blues route:b client:192.0.2.7")
    assert "in 1 policy" in valvectl(suite, "limit", "reset", *key)
    assert spend_at("/a") == 7 and spend_at("/b") == 0
    lacking = valvectl(suite, "limit", "set", *key[:3], "--limit", "7", "--for", "1h", "--reason", "x",
                       code=1)
    assert "does not count by such a key" in lacking
    unknown = valvectl(suite, "limit", "set", "own", "client:192.0.2.7", "route:c", key[3], "--limit", "7",
                       "--for", "1h", "--reason", "x", code=1)
    assert "there is no route 'c'; there are: a, b, app" in unknown
    unknown = valvectl(suite, "limit", "set", "owm", *key[1:], "--limit", "7", "--for", "1h", "--reason", "x",
                       code=1)
    assert "there is no policy 'owm'; there are: auth, tier-free" in unknown and "own" in unknown
    unexplained = valvectl(suite, "limit", "set", *key, "--limit", "7", "--for", "1h", "--reason", "", code=1)
    assert "--reason TEXT" in unexplained
    valvectl(suite, "limit", "set", *key, "--limit", "policy")
    assert "of 4" in valvectl(suite, "limit", "show", *key)


def test_a_limit_of_its_own_ends_by_itself(start):
    suite = start()
    valvectl(suite, "limit", "set", "tier-free", "client:192.0.2.7", "--limit", "0", "--for", "1s",
             "--reason", "x")
    assert suite.get("/a", SPENT).status == 429
    suite["limiter"].wait_event("limit.override_ended")
    wait_for(lambda: suite.get("/a", SPENT).status == 200, 5, "the policy's own limit")


def test_the_wait_of_a_ban_is_true_or_not_told(start):
    suite = start(GLOBAL_RATE_MAX=0)
    banned = suite.get("/a", SPENT)
    assert banned.status == 429 and banned.json()["policy"] == "global"
    assert banned.header("Retry-After") is None and "retry-after" not in banned.json()
    assert ";t=" not in banned.header("RateLimit")
    assert "used 0 of 0, 0 left, refuses every request" in valvectl(suite, "limit", "show", "global",
                                                                  "client:192.0.2.7")
    suite = start()
    assert "next free" not in valvectl(suite, "limit", "show", "tier-free", "client:192.0.2.7")
    valvectl(suite, "limit", "set", "tier-free", "client:192.0.2.7", "--limit", "0", "--for", "3s",
             "--reason", "x")
    banned = suite.get("/a", SPENT)
    at, retry = time.monotonic(), int(banned.header("Retry-After"))
    assert banned.status == 429 and 1 <= retry <= 3 and f";t={retry}" in banned.header("RateLimit")
    wait_for(lambda: time.monotonic() >= at + retry, 10, "Retry-After")
    assert suite.get("/a", SPENT).status == 200, "obeyed"


@pytest.mark.parametrize("arguments, says", [
    (("limit", "set", "tier-free", "client:192.0.2.7", "--limit", "13", "--for", "1h", "--reason", "x"),
     "count up to 12"),
    (("limit", "set", "tier-fre", "client:192.0.2.7", "--limit", "9", "--for", "1h", "--reason", "x"),
     "there is no policy 'tier-fre'"),
    (("limit", "set", "global", "subject:alice", "--limit", "9", "--for", "1h", "--reason", "x"),
     "global does not count by such a key"),
    (("limit", "set", "tier-free", "client:192.0.2.7", "--limit", "9", "--for", "1h"), "needs POLICY KEY"),
    (("limit", "set", "tier-free", "client:192.0.2.7", "--limit", "-1", "--for", "1h", "--reason", "x"),
     "allowed are 0 to"),
    (("limit", "set", "tier-free", "client:192.0.2.7", "--limit", "9", "--for", "soon", "--reason", "x"),
     "'soon' is no time"),
    (("limit", "set", "tier-free", "client:192.0.2.7", "--limit", "policy"), "no limit of its own"),
    (("limit", "reset", "client:nowhere"), "client: is followed by no"),
    (("limit", "reset", "auth", "subject:a"), "this policy does not count by such a key"),
    (("limit", "show", "key:x"), "a key is client:ADDRESS"),
    (("limit", "show"), "a key is missing"),
    (("deny", "add", "nowhere"), "'nowhere' is no address or CIDR block"),
    (("deny", "del", "192.0.2.0/24"), "is not in the list deny"),
    (("deny", "add"), "needs one address"),
])
def test_what_cannot_be_is_refused_with_the_reason(start, arguments, says):
    suite = start()
    assert says in valvectl(suite, *arguments, code=1)
    assert suite["limiter"].events("limit.changed") == []


def test_networks_are_denied_and_allowed_at_run_time(start):
    suite = start()
    valvectl(suite, "deny", "add", "192.0.2.0/24", "--for", "1h", "--reason", "attack")
    denied = suite.get("/a", SPENT)
    assert denied.status == 403 and denied.json()["code"] == "network_denied"
    assert suite.get("/a", {"X-Forwarded-For": "198.51.100.1"}).status == 200
    check = suite.get("/api/check", {"X-Original-URI": "/a", **SPENT})
    assert check.status == 403
    check = suite.get("/api/check?deny=401", {"X-Original-URI": "/a", **SPENT})
    assert check.status == 401 and check.header("X-Check-Refused") == "network_denied"
    assert re.fullmatch(r"192\.0\.2\.0/24 for \d+ s more\n", valvectl(suite, "deny", "list"))
    valvectl(suite, "allow", "add", "192.0.2.7")
    assert spend(suite) == 50, "allowed wins, and no limit binds"
    assert valvectl(suite, "allow", "list") == "192.0.2.7/32\n"
    valvectl(suite, "allow", "del", "192.0.2.7/32")
    suite["limiter"].kill()
    assert suite.get("/a", SPENT).status == 403, "it survives the limiter"
    suite["limiter"].start()
    valvectl(suite, "deny", "del", "192.0.2.0/24")
    assert suite.get("/a", SPENT).status == 200
    assert suite.metrics().sum("valvechain_network_denied_total") == 4


def test_a_denied_network_is_free_again_after_its_time(start):
    suite = start()
    valvectl(suite, "deny", "add", "192.0.2.7", "--for", "1s")
    assert suite.get("/a", SPENT).status == 403
    wait_for(lambda: suite.get("/a", SPENT).status == 200, 5, "the end of its time")
    wait_for(lambda: valvectl(suite, "deny", "list") == "", 5, "an empty list")


def test_networks_of_the_parameters(start):
    suite = start(DENY_NETWORKS="192.0.2.0/24", ALLOW_NETWORKS="192.0.2.8,2001:db8::/32")
    assert suite.get("/a", SPENT).status == 403
    assert spend(suite, {"X-Forwarded-For": "192.0.2.8"}) == 50
    assert spend(suite, {"X-Forwarded-For": "2001:db8::5"}) == 50
    assert spend(suite, {"X-Forwarded-For": "198.51.100.1"}) == 5


def test_bad_networks_are_refused_by_name():
    run = subprocess.run([binary("limiter"), "--check"], capture_output=True, text=True, check=False,
                         timeout=20, env={"DENY_NETWORKS": "192.0.2.0/24,moon"})
    assert run.returncode != 0
    assert "DENY_NETWORKS: 'moon' is no address" in run.stdout + run.stderr
    run = subprocess.run([binary("limiter"), "--check"], capture_output=True, text=True,
                         check=False, timeout=20,
                         env={"DENY_NETWORKS": "192.0.2.7/24,198.51.100.1",
                              "ALLOW_NETWORKS": "10.0.0.1,192.0.2.0/24"})
    assert run.returncode != 0
    assert "DENY_NETWORKS and ALLOW_NETWORKS both have 192.0.2.0/24" in run.stdout + run.stderr


def test_changes_are_events_on_the_bus(start):
    suite = start()
    env = {name: str(value) for name, value in suite.environment().items()}
    tap = subprocess.Popen([binary("valvectl"), "tap", "security."], stdout=subprocess.PIPE, text=True,
                           env={**env, "PATH": "/usr/bin"})
    try:
        lines = []

        def told():
            valvectl(suite, "deny", "add", "203.0.113.0/24", "--reason", "ticket 9")
            if select.select([tap.stdout], [], [], 0.3)[0]:
                lines.append(json.loads(tap.stdout.readline()))
            return lines

        wait_for(told, 15, "the event")
    finally:
        tap.terminate()
        tap.wait(10)
    assert lines[0]["topic"] == "security.admin"
    assert "203.0.113.0/24 is in the list deny" in lines[0]["message"]["detail"]
    assert "ticket 9" in lines[0]["message"]["detail"]


def test_a_flood_of_other_keys_does_not_hide_who_is_refused_most(start):
    suite = start(TIER_FREE_MAX=0, JWT_SECRET=SECRET)
    for number in range(150):
        suite.get("/a", SPENT if number % 3 == 0 else {"X-Forwarded-For": f"198.51.100.{number}"})
    top = stats(suite, bearer(token(sub="root", scope=["valvechain:admin"])))["topRefused"]
    most = next(entry for entry in top if entry["key"] == "client:192.0.2.7")
    assert most["refused"] - most["atMostTooMany"] <= 50 <= most["refused"]
    assert len(top) == 20


def test_a_limit_of_its_own_is_the_whole_ipv6_subnet_s(start):
    suite = start()
    subnet = [{"X-Forwarded-For": f"2001:db8::{i}"} for i in (1, 2)]
    for address, limit in (("2001:db8::1", "2"), ("2001:db8::2", "3")):
        valvectl(suite, "limit", "set", "tier-free", f"client:{address}", "--limit", limit, "--for", "1h",
                 "--reason", "x")
    assert spend(suite, subnet[0]) == 3, "the later word is what holds"
    valvectl(suite, "limit", "set", "tier-free", "client:2001:db8::3", "--limit", "policy")
    assert spend(suite, subnet[1]) == 2
    assert "no limit of its own" in valvectl(suite, "limit", "set", "tier-free", "client:2001:db8::1", "--limit",
                                            "policy", code=1)


def test_a_flood_of_new_keys_is_one_event_when_it_begins_and_one_when_it_is_over(start):
    suite = start(LIMIT_FLOOD_RATE=40, LIMIT_FLOOD_CALM=2000, GLOBAL_RATE_MAX=1000000,
                  LIMIT_TABLE_CELLS=4096, TIER_FREE_MAX=100)
    tap = Tap(suite, "limit.flood")
    table = stats(suite)["table"]
    assert table["flood"] == {"active": False, "count": 0, "newKeysPerSecond": 0}
    for number in range(150):  # known callers are none, however often they come
        suite.get("/a", {"X-Forwarded-For": f"192.0.2.{number % 3}"})
    sent = 0

    def flooded():
        nonlocal sent
        for _ in range(50):
            assert suite.get("/a", {"X-Forwarded-For": "192.0.2.9", "X-API-Key": f"key-{sent}"}).status == 200
            sent += 1
        return stats(suite)["table"]["flood"]["active"]

    wait_for(flooded, 60, "the flood to be noticed")
    known = {"X-Forwarded-For": "192.0.2.1"}
    assert suite.get("/a", known).status == 200
    over = tap.wait("limit.flood", where=lambda message: not message["begins"], seconds=60)[0]
    begins, ends = tap.messages("limit.flood")
    tap.close()
    assert begins["begins"] and begins["threshold_per_s"] == 40
    assert begins["keys_per_s"] > 0 and begins["peak_keys_per_s"] >= begins["keys_per_s"]
    assert 200 <= begins["new_keys"] + begins["shared_decisions"] <= sent + 4
    assert ends == over and ends["new_keys"] >= begins["new_keys"]
    assert ends["duration_ms"] >= begins["duration_ms"] > 0
    assert 0 < ends["live_cells"] <= ends["table_cells"]
    for event, message in (("limit.flood_begins", begins), ("limit.flood_over", ends)):
        [entry] = suite["limiter"].events(event)
        assert entry["new_keys"] == message["new_keys"] and entry["level"] == "warn"
    table = stats(suite)["table"]
    assert table["flood"]["count"] == 1 and not table["flood"]["active"]
    assert table["newKeys"] >= sent


def test_checks_of_new_keys_are_a_flood_too(start):
    suite = start(LIMIT_FLOOD_RATE=100, LIMIT_FLOOD_CALM=1000)
    limits = Limits(os.path.join(suite.socket_dir, "limiter.1.commands"), timeout_ms=20000)
    wait_for(lambda: stats(suite)["table"]["flood"]["active"] is False, 10, "the limiter's first look")
    limits.check_all([{"client": "192.0.2.7", "api_key": f"key-{i}"} for i in range(900)])
    begins = suite["limiter"].wait_event("limit.flood_begins", 20)
    assert begins["new_keys"] + begins["shared_decisions"] >= 900
    suite["limiter"].wait_event("limit.flood_over", 20)
    assert stats(suite)["table"]["newKeys"] >= 900
