"""Distributed limits with real Redis: the sum over suites, deaths of everybody, Sentinel."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "python"))

import distributed  # noqa: E402  (tests/bench/distributed.py)
from support.ports import reserve_port  # noqa: E402
from support.redis import HAVE_REDIS, HAVE_SENTINEL, Redis, Sentinel  # noqa: E402
from support.suite import Load, binary  # noqa: E402
from support.wait import wait_for  # noqa: E402
from valvechain_limits import Limits  # noqa: E402

pytestmark = pytest.mark.skipif(not HAVE_REDIS, reason="redis-server is missing")
PROCESSES = ("limiter", "api-front")


@pytest.fixture
def redis():
    with Redis() as server:
        yield server


@pytest.fixture
def start(make_suite):
    def start(store=None, wait=True, **env):
        env = {"REDIS_ENABLED": "true", "TIER_FREE_MAX": 1000, "GLOBAL_RATE_MAX": 65535,
               "TIER_RATE_WINDOW": 60000, **({"REDIS_PORT": store.port} if store else {}), **env}
        suite = make_suite(processes=PROCESSES, env=env)
        if wait:
            wait_for(lambda: is_up(suite), 20, "Redis seen")
        return suite

    return start


def is_up(suite):
    return suite.metrics().sum("valvechain_redis_up") == 1


def spend(suite, most, client="203.0.113.1", target="/x"):
    """How many of `most` requests are admitted."""
    return sum(suite.get(target, {"X-Forwarded-For": client}).status == 404 for _ in range(most))


def sums(store, policy="tier-free"):
    return [int(store.call("HGET", key, "sum") or 0)
            for key in store.call("KEYS", f"*{{{policy}:*:leases")]


@pytest.mark.parametrize("skew, runs", [("even", 2), ("skewed", 2)])
def test_four_suites_admit_the_limit_and_never_more(redis, skew, runs):
    suites = distributed.start_suites(redis)
    try:
        results = distributed.series(redis, suites, runs, skew)
    finally:
        for suite in suites:
            suite.stop()
    for admitted, scripts in results:
        assert admitted <= distributed.LIMIT
        assert admitted >= 0.99 * distributed.LIMIT
        assert scripts <= 0.02 * admitted


def test_a_small_limit_is_exact_and_says_when_it_fits_again(redis, start):
    one, other = start(redis, TIER_FREE_MAX=5), start(redis, TIER_FREE_MAX=5)
    assert spend(one, 3) == 3
    assert spend(other, 9) == 2
    refused = one.get("/x", {"X-Forwarded-For": "203.0.113.1"})
    assert refused.status == 429
    assert 50 <= int(refused.header("Retry-After")) <= 61
    assert "counted in Redis for all machines, limit 5; without it here 0" in ask(
        one, "show", "tier-free", "client:203.0.113.1")
    assert spend(other, 1, client="203.0.113.2") == 1, "another key"


def test_checks_of_programs_wait_for_tokens_each_for_its_own(redis, start):
    one, other = (start(redis, TIER_FREE_MAX=5) for _ in range(2))
    ask, ask_other = (Limits(os.path.join(suite.socket_dir, "limiter.1.commands"), timeout_ms=10000) for suite in (one, other))
    checks = [{"client": client} for _ in range(7) for client in ("203.0.113.1", "nobody", "203.0.113.2")]
    verdicts = ask.check_all(checks)
    assert sum(verdict["admitted"] for verdict in verdicts[::3]) == 5
    assert sum(verdict["admitted"] for verdict in verdicts[2::3]) == 5
    assert all("client must be" in verdict["error"] for verdict in verdicts[1::3])
    refused = ask_other.check(client="203.0.113.1")
    assert not refused["admitted"] and refused["policy"] == "tier-free" and refused["retry_after_ms"] > 0
    assert ask_other.check(client="203.0.113.3")["admitted"], "another key"


def year(tmp_path, limit):
    config = {"limits": {"policies": [{
        "name": "year", "key": ["client-address"], "limit": limit, "window_ms": 31622400000,
        "scope": "distributed", "cost": 20000, "replaces": ["tier-free", "global"]}]}}
    (tmp_path / "valvechain.json").write_text(json.dumps(config))
    return {"CONFIG_FILE": str(tmp_path / "valvechain.json")}


def test_a_year_and_sixteen_million(redis, start, tmp_path):
    limit = 16777215
    most = limit // 20000
    one, other = (start(redis, **year(tmp_path, limit)) for _ in range(2))
    admitted = 0
    for suite in (one, other) * 15:
        admitted += spend(suite, 40)
    assert most - 8 <= admitted <= most, "a lease may end with too few tokens for one more request"
    refused = other.get("/x", {"X-Forwarded-For": "203.0.113.1"})
    assert refused.status == 429 and f"q={limit};w=31622400" in refused.header("RateLimit-Policy")
    assert 31622400 <= int(refused.header("Retry-After")) <= 31622400 * 1.002 + 500
    [key] = redis.call("KEYS", "*{year:*:leases")
    assert admitted * 20000 <= int(redis.call("HGET", key, "sum")) <= limit
    assert redis.call("PTTL", key) > 31622400000
    for suite in (one, other):
        suite["limiter"].kill()
        suite["limiter"].start()
        wait_for(lambda suite=suite: is_up(suite), 20, "Redis seen again")
        admitted += spend(suite, 3)
    assert admitted <= most, "Redis knows what was admitted"


def reset(suite, *key, code=0):
    return ask(suite, "reset", *key, "--reason", "ticket 7", code=code)


def ask(suite, *words, code=0):
    env = {name: str(value) for name, value in suite.environment().items()}
    run = subprocess.run([binary("valvectl"), "limit", *words],
                         capture_output=True, text=True, timeout=20, check=False,
                         env={**env, "PATH": "/usr/bin"})
    assert run.returncode == code, (run.stdout, run.stderr)
    return run.stdout if code == 0 else run.stderr


def test_a_reset_key_begins_anew_everywhere(redis, start):
    one, other = start(redis, TIER_FREE_MAX=5), start(redis, TIER_FREE_MAX=5)
    assert spend(one, 3) == 3 and spend(other, 9) == 2 and spend(one, 2) == 0
    assert "begins anew in 5 policies, in Redis, too" in reset(one, "client:203.0.113.1")
    assert sums(redis) == []
    assert spend(one, 9) == 5, "at once where it was asked for"
    [changed] = one["limiter"].events("limit.changed")
    assert changed["change"] == "reset" and changed["why"] == "ticket 7"
    assert "in 1 policy" in reset(one, "tier-free", "client:203.0.113.1")
    wait_for(lambda: spend(other, 1) == 1, 20, "the other machine to have asked again")


def test_a_reset_without_redis_is_refused_and_changes_nothing(redis, start):
    suite = start(redis, TIER_FREE_MAX=5)
    assert spend(suite, 9) == 5
    freeze(redis)
    wait_for(lambda: not is_up(suite), 10, "the outage seen")
    told = reset(suite, "client:203.0.113.1", code=1)
    assert "Redis is away" in told and "nothing was changed" in told
    assert suite["limiter"].events("limit.changed") == []
    redis.signal(signal.SIGCONT)
    wait_for(lambda: is_up(suite), 20, "Redis seen again")
    assert sums(redis) == [5]
    assert spend(suite, 3) == 0


def test_successful_logins_give_their_attempt_back(redis, start, upstream):
    suite = start(redis, AUTH_RATE_MAX=2, AUTH_COUNT="failed", UPSTREAM_URL=upstream.url)
    for _ in range(6):
        assert suite.get("/login").status == 200
        wait_for(lambda: sum(sums(redis, "auth")) == 0, 5, "the attempt given back")


def test_a_terminated_limiter_returns_what_is_left(redis, start):
    suite = start(redis)
    admitted = spend(suite, 150)
    assert admitted == 150
    suite["limiter"].terminate()
    assert sums(redis) == [150], "all that was granted and not spent went back"


def test_tokens_of_a_killed_limiter_come_back_by_the_leases_end(redis, start):
    suite = start(redis)
    assert spend(suite, 150) == 150
    suite["limiter"].kill()
    suite["limiter"].start()
    wait_for(lambda: is_up(suite), 20, "Redis seen again")
    wait_for(lambda: sums(redis) == [150], 10, "the successor returned the rest")


def test_tokens_outlive_a_killed_gateway(redis, start):
    suite = start(redis)
    assert spend(suite, 150) == 150
    suite["api-front"].kill()
    suite["api-front"].start()
    suite.wait_ready()
    admitted = spend(suite, 850)  # a busy machine was seen to refuse one of them before its time
    assert 842 <= admitted <= 850
    assert admitted + spend(suite, 20) <= 850


def kill(store):
    store.kill()


def freeze(store):
    store.signal(signal.SIGSTOP)


@pytest.mark.parametrize("harm", [kill, freeze])
@pytest.mark.parametrize("mode", ["local", "open"])
def test_no_request_fails_while_redis_is_gone(redis, start, harm, mode):
    suite = start(redis, LIMITS_ON_STORE_FAILURE=mode, TIER_FREE_MAX=60000)
    with Load(suite.port, "/x", connections=2, accept=(404,)) as load:
        load.wait_for_requests(200)
        harm(redis)
        wait_for(lambda: not is_up(suite), 10, "the outage seen")
        load.wait_for_requests(200)
        if harm is kill:
            redis.start()
        else:
            redis.signal(signal.SIGCONT)
        wait_for(lambda: is_up(suite), 20, "Redis seen again")
        load.wait_for_requests(200)
    assert load.failures == []
    before = suite.metrics().sum("valvechain_leases_total")
    assert spend(suite, 3, client="203.0.113.9") == 3
    wait_for(lambda: suite.metrics().sum("valvechain_leases_total") > before, 10, "leases again")


@pytest.mark.parametrize("harm", [kill, freeze])
def test_closed_refuses_with_503_and_knows_when_the_limit_is_used_up(redis, start, harm):
    suite = start(redis, LIMITS_ON_STORE_FAILURE="closed", TIER_FREE_MAX=3)
    assert spend(suite, 4, client="203.0.113.7") == 3
    harm(redis)
    wait_for(lambda: not is_up(suite), 10, "the outage seen")
    used_up = suite.get("/x", {"X-Forwarded-For": "203.0.113.7"})
    refused = suite.get("/x", {"X-Forwarded-For": "203.0.113.8"})
    assert (used_up.status, refused.status) == (429, 503), (used_up, refused)
    assert int(refused.header("Retry-After")) >= 1
    assert "store" in refused.text and "limits_unavailable" in refused.text
    if harm is kill:
        redis.start()
    else:
        redis.signal(signal.SIGCONT)
    wait_for(lambda: is_up(suite), 20, "Redis seen again")
    assert spend(suite, 4, client="203.0.113.10") == 3


def test_the_local_mode_admits_no_more_than_it_says(redis, start):
    suites = [start(redis, TIER_FREE_MAX=50), start(redis, TIER_FREE_MAX=50)]
    first = sum(spend(suite, 60) for suite in suites)
    assert first == 50
    other = "203.0.113.5"
    before = sum(spend(suite, 10, client=other) for suite in suites)
    redis.kill()
    for suite in suites:
        wait_for(lambda s=suite: not is_up(s), 10, "the outage seen")
    during = sum(spend(suite, 80, client=other) for suite in suites)
    assert before == 20 and during <= 50 - before + 2 * 50, (before, during)
    assert during >= 2 * 50


def test_a_limiter_that_is_gone_is_a_store_that_is_away(redis, start):
    suite = start(redis, LIMITS_ON_STORE_FAILURE="closed", LEASE_TIMEOUT=300)
    suite["limiter"].kill()
    wait_for(lambda: suite.get("/x", {"X-Forwarded-For": "203.0.113.20"}).status == 503, 10,
             "503 without a limiter")
    suite["limiter"].start()
    wait_for(lambda: is_up(suite), 20, "Redis seen again")
    # On a busy machine an answer may take longer than LEASE_TIMEOUT.
    wait_for(lambda: spend(suite, 2, client="203.0.113.21") == 2, 20, "admitted again")


def test_a_flushed_script_is_sent_again(redis, start):
    suite = start(redis)
    redis.call("SCRIPT", "FLUSH")
    assert spend(suite, 5, client="203.0.113.30") == 5
    assert suite.metrics().sum("valvechain_redis_outages_total") == 0


def test_user_password_and_database(start):
    with Redis(password="s3cret") as store:
        store.call("ACL", "SETUSER", "app", "on", ">pw", "~vc:*", "+@all")
        suite = start(store, REDIS_URL=f"redis://app:pw@127.0.0.1:{store.port}/3",
                      REDIS_KEY_PREFIX="vc:")
        assert spend(suite, 2) == 2
        assert "db3" in store.call("INFO", "keyspace")


def test_a_wrong_password_is_named_and_never_shown(start):
    with Redis(password="s3cret") as store:
        suite = start(store, wait=False, REDIS_PASSWORD="gu3ss")
        event = suite["limiter"].wait_event("limit.store_away")
        assert "WRONGPASS" in event["why"] or "invalid" in event["why"], event
        assert "gu3ss" not in suite["limiter"].text
        health = suite.get("/api/health").text
        assert "Redis is away" in health


def test_health_says_what_keeps_redis_away_now(start):
    with Redis(password="s3cret") as store:
        suite = start(store, REDIS_PASSWORD="s3cret")
        store.call("CONFIG", "SET", "requirepass", "another")
        store.password = "another"
        store.call("CLIENT", "KILL", "TYPE", "normal")
        suite["limiter"].wait_event("limit.store_away")
        wait_for(lambda: "WRONGPASS" in suite.get("/api/health").text, 20, "the reason of the tries since then")
        assert len(suite["limiter"].events("limit.store_away")) == 1, "not for each try"


class Cable:
    """TCP to the server that can be cut: no byte passes then, and no end of connection either."""

    def __init__(self, to_port):
        self.port, self.to_port = reserve_port(), to_port
        self.whole = threading.Event()
        self.whole.set()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to_port))
            except OSError:
                return
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, a, b):
        try:
            while data := a.recv(65536):
                self.whole.wait()
                b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            end.close()


def test_a_cut_network_is_an_outage_and_comes_back(redis, start):
    cable = Cable(redis.port)
    suite = start(None, REDIS_PORT=cable.port)
    with Load(suite.port, "/x", connections=2, accept=(404, 429)) as load:
        load.wait_for_requests(100)
        cable.whole.clear()
        wait_for(lambda: not is_up(suite), 10, "the outage seen")
        load.wait_for_requests(100)
        cable.whole.set()
        wait_for(lambda: is_up(suite), 20, "Redis seen again")
        load.wait_for_requests(100)
    cable.listener.close()
    assert load.failures == []


@pytest.mark.skipif(not HAVE_SENTINEL, reason="redis-sentinel is missing")
def test_sentinel_names_the_master_and_its_successor(start):
    with Redis() as master, Redis(replica_of=master) as replica:
        wait_for(lambda: "master_link_status:up" in replica.call("INFO", "replication"), 20,
                 "the replica in step")
        with Sentinel(master) as sentinel:
            wait_for(lambda: str(replica.port) in str(sentinel.call("SENTINEL", "replicas", "limits")),
                     30, "the replica known to the Sentinel")
            suite = start(None, TIER_FREE_MAX=100, LIMITS_ON_STORE_FAILURE="closed",
                          REDIS_URL=f"redis+sentinel://127.0.0.1:{sentinel.port}/limits")
            assert spend(suite, 40) == 40
            wait_for(lambda: sums(replica) and sums(replica) == sums(master), 10, "replicated")
            master.kill()
            wait_for(lambda: replica.call("ROLE")[0] == "master", 60, "the failover")
            wait_for(lambda: is_up(suite), 30, "the new master seen")
            wait_for(lambda: suite.get("/x", {"X-Forwarded-For": "203.0.113.60"}).status == 404, 10,
                     "admitted by the new master")
            # What was replicated counts: of 100, 40 are spent. Leases that were out may be lost.
            rest = spend(suite, 100)
            assert 40 <= rest <= 60, rest
