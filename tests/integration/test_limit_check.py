"""limit.check, limit.check.batch and limit.refund on the limiter's commands socket, through the
client of examples/python; and protobuf's own bytes where JSON would hide them."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import zmq

from support import mmdb
from support.suite import ROOT, binary
from support.wait import wait_for

sys.path.insert(0, os.path.join(ROOT, "examples", "python"))
from valvechain_limits import Limits, Refused  # noqa: E402

CLIENT = "192.0.2.7"


@pytest.fixture
def start(make_suite):
    def start(processes=("limiter",), config=None, **env):
        suite = make_suite(processes=processes, config=config, env={
            "TIER_FREE_MAX": 5, "TIER_PREMIUM_MAX": 100, "GLOBAL_RATE_MAX": 1000, "AUTH_RATE_MAX": 2,
            "AUTH_PATHS": "/login", **env})
        suite.commands = os.path.join(suite.socket_dir, "limiter.1.commands")
        suite.limits = Limits(suite.commands, timeout_ms=5000)
        return suite

    return start


def series(suite, name, **labels):
    out = valvectl(suite, "metrics", name)
    return sum(int(float(line.split()[-1])) for line in out.splitlines()
               if all(f'{key}="{value}"' in line for key, value in labels.items()))


def valvectl(suite, *arguments):
    env = {name: str(value) for name, value in suite.environment().items()}
    return subprocess.run([binary("valvectl"), *arguments], capture_output=True, text=True, timeout=20,
                          check=True, env={**env, "PATH": "/usr/bin"}).stdout


def test_a_caller_is_admitted_up_to_the_limit(start):
    suite = start()
    for left in (4, 3, 2, 1, 0):
        verdict = suite.limits.check(client=CLIENT, path="/a")
        assert verdict["admitted"] and verdict["policy"] == "tier-free"
        assert (verdict["limit"], verdict["remaining"], verdict["window_ms"]) == (5, left, 900000)
        assert verdict["retry_after_ms"] == 0
    denied = suite.limits.check(client=CLIENT)
    assert not denied["admitted"] and denied["policy"] == "tier-free" and denied["remaining"] == 0
    assert 0 < denied["retry_after_ms"] == denied["reset_ms"] <= 901000
    assert suite.limits.check(client="192.0.2.8")["admitted"]
    assert series(suite, "valvechain_limit_checks_total", result="denied") == 1
    assert series(suite, "valvechain_limit_check_hits_total", policy="tier-free") == 1


def test_a_long_batch_keeps_its_order_whatever_decides(start):
    suite = start(DENY_NETWORKS="203.0.113.0/24")
    kinds = ({"client": CLIENT}, {"client": "nobody"}, {"client": "203.0.113.9"})
    verdicts = suite.limits.check_all([kinds[i % 3] for i in range(99)])
    assert len(verdicts) == 99
    assert all("client must be" in verdict["error"] for verdict in verdicts[1::3])
    assert all(verdict["policy"] == "deny" and not verdict["admitted"] for verdict in verdicts[2::3])
    assert [verdict["admitted"] for verdict in verdicts[::3]] == [True] * 5 + [False] * 28
    assert [verdict["remaining"] for verdict in verdicts[:15:3]] == [4, 3, 2, 1, 0]
    assert series(suite, "valvechain_limit_checks_total", result="admitted") == 5
    assert series(suite, "valvechain_limit_checks_total", result="denied") == 28 + 33
    assert series(suite, "valvechain_limit_checks_total", result="refused") == 33


def test_identity_path_and_cost_are_those_of_the_check(start):
    suite = start()
    check = suite.limits.check
    assert check(client=CLIENT, subject="alice", cost=5)["remaining"] == 0
    assert not check(client="192.0.2.99", subject="alice")["admitted"], "one subject, any address"
    assert check(client=CLIENT, api_key="alice")["admitted"], "a key is no subject"
    assert check(client=CLIENT, subject="bob", tier="premium")["limit"] == 100
    assert check(client=CLIENT, subject="c", path="/login", method="POST")["policy"] == "auth"
    assert check(client=CLIENT, subject="d", path="/login/x")["remaining"] == 0
    assert check(client=CLIENT, subject="e", path="/login")["policy"] == "auth"
    assert not check(client=CLIENT, subject="f", cost=6)["admitted"]


def test_a_check_without_region_is_looked_up_as_gateways_do(start, tmp_path):
    path = tmp_path / "geo.mmdb"
    mmdb.write(path, {"203.0.113.0/24": {"country": {"iso_code": "JP"}, "continent": {"code": "AS"}}})
    suite = start(config={"limits": {"regions": [{"region": "europe", "networks": ["10.0.0.0/8"]}],
                                     "tiers": [{"name": "start-up", "limit": 4}]}},
                  REGIONAL_RATE_LIMITING="true", GEOIP_DB=path)

    def regions(**check):
        verdict = suite.limits.check(explain=True, **check)
        return {part["policy"] for part in verdict["parts"] if part["policy"].startswith("region-")}

    assert regions(client="203.0.113.9") == {"region-asia"}
    assert regions(client="10.9.9.9") == {"region-europe"}
    assert regions(client="192.0.2.1") == {"region-us-east"}
    assert regions(client="203.0.113.9", region="US_West") == {"region-us-west"}, "what is said comes first"
    assert suite.limits.check(client=CLIENT, tier="START_UP")["limit"] == 4, "as a header says it"
    mmdb.write(path, {"192.0.2.0/24": {"country": {"iso_code": "DE"}, "continent": {"code": "EU"}}})
    suite["limiter"].signal(signal.SIGHUP)
    wait_for(lambda: regions(client="192.0.2.1") == {"region-europe"}, 10, "the new database")


def test_a_database_that_is_none_is_refused(tmp_path):
    path = tmp_path / "geo.mmdb"
    path.write_bytes(b"not one")
    done = subprocess.run([binary("limiter"), "--check"], capture_output=True, text=True, timeout=20,
                          env={"GEOIP_DB": str(path), "PATH": os.environ["PATH"]}, check=False)
    assert done.returncode != 0 and "GEOIP_DB" in done.stdout + done.stderr


def test_a_peek_charges_nothing(start):
    suite = start()
    for _ in range(7):
        assert suite.limits.check(client=CLIENT, peek=True)["remaining"] == 5
    suite.limits.check(client=CLIENT, cost=5)
    assert not suite.limits.check(client=CLIENT, peek=True)["admitted"]


def test_explain_names_every_policy(start):
    suite = start()
    verdict = suite.limits.check(client=CLIENT, path="/login", explain=True)
    parts = {part["policy"]: part for part in verdict["parts"]}
    assert set(parts) == {"auth", "tier-free", "global"}
    assert parts["auth"]["remaining"] == 1 and parts["global"]["remaining"] == 999
    assert not any(part["denied"] for part in verdict["parts"])


def test_a_token_gives_back_once(start):
    suite = start()
    verdicts = [suite.limits.check(client=CLIENT, refundable=True) for _ in range(5)]
    assert not suite.limits.check(client=CLIENT, refundable=True)["token"]
    assert suite.limits.refund(*verdicts[:2]) == {"refunded": 2, "refused": []}
    assert suite.limits.check(client=CLIENT)["remaining"] == 1
    again = suite.limits.refund(verdicts[0])
    assert again == {"refunded": 0, "refused": ["it was used before"]}
    forged = bytearray.fromhex(verdicts[2]["token"])
    forged[-1] ^= 1
    assert "no token" in suite.limits.call("limit.refund", tokens=[forged.hex()])["refused"][0]
    assert "no token" in suite.limits.call("limit.refund", tokens=["00"])["refused"][0]
    assert suite.limits.check(client=CLIENT, peek=True)["remaining"] == 1
    assert series(suite, "valvechain_limit_refunds_total", result="refunded") == 2
    assert series(suite, "valvechain_limit_refunds_total", result="refused") == 3


def test_a_token_grows_old_and_does_not_outlive_its_limiter(start):
    suite = start(LIMIT_REFUND_TIME=300)
    verdict = suite.limits.check(client=CLIENT, refundable=True)
    end = time.monotonic() + 0.4
    wait_for(lambda: time.monotonic() > end, 5, "the token to be old")
    assert suite.limits.refund(verdict)["refused"] == ["it is too old"]
    verdict = suite.limits.check(client=CLIENT, refundable=True)
    suite["limiter"].kill()
    suite["limiter"].start()
    assert "restart" in suite.limits.refund(verdict)["refused"][0]


def test_a_batch_is_answered_in_order_and_a_bad_check_costs_nobody_else(start):
    suite = start()
    verdicts = suite.limits.check_all([
        {"client": CLIENT, "cost": 5}, {"client": "nowhere"}, {"client": CLIENT}, {"client": "2001:db8::1"}])
    assert [verdict["admitted"] for verdict in verdicts] == [True, False, False, True]
    assert verdicts[1]["error"] == "client must be an IPv4 or IPv6 address"
    assert verdicts[2]["error"] == "" and verdicts[2]["policy"] == "tier-free"
    assert suite.limits.check_all([]) == []
    assert len(suite.limits.check_all([{"client": CLIENT}] * 1000)) == 1000
    with pytest.raises(Refused, match="at most 1000"):
        suite.limits.check_all([{"client": CLIENT}] * 1001)


@pytest.mark.parametrize("fields, reason", [
    ({}, "client must be"),
    ({"client": "192.0.2"}, "client must be"),
    ({"client": CLIENT, "tier": "emperor"}, "tier must be"),
    ({"client": CLIENT, "region": "moon"}, "region must be"),
    ({"client": CLIENT, "cost": 1000001}, "at most 1000000"),
    ({"client": CLIENT, "cost": -1}, "cost: allowed is a number from 0"),
    ({"client": CLIENT, "cost": "1"}, "cost: allowed is a number from 0"),
    ({"client": CLIENT, "path": "login"}, "path must begin"),
    ({"client": CLIENT, "path": "/a/../login"}, "path must begin"),
    ({"client": CLIENT, "path": "//login"}, "path must begin"),
    ({"client": CLIENT, "path": "/login/."}, "path must begin"),
    ({"client": CLIENT, "subject": "x" * 5000}, "at most 4096"),
    ({"client": CLIENT, "price": 1}, "LimitCheck has no field 'price'"),
    ({"client": 7}, "client: allowed is a text"),
    ({"client": CLIENT, "peek": 1}, "peek: allowed is true or false"),
])
def test_what_is_not_understood_is_refused_with_the_reason(start, fields, reason):
    suite = start()
    with pytest.raises(Refused, match=reason):
        suite.limits.check(**fields)
    assert suite.limits.check(client=CLIENT, peek=True)["remaining"] == 5


def raw(suite, *frames):
    socket = zmq.Context.instance().socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(f"ipc://{suite.commands}")
    socket.send_multipart(list(frames))
    assert socket.poll(5000)
    reply = socket.recv_multipart()
    socket.close()
    return reply


def test_bytes_that_are_no_message_are_refused_and_counted(start):
    suite = start()
    topic, reply = raw(suite, b"limit.check", b"\xff\xff")
    assert topic == b"refused" and b"no LimitCheck" in reply
    topic, reply = raw(suite, b"limit.check", b"{\"client\":")
    assert topic == b"refused" and b"no JSON" in reply
    topic, reply = raw(suite, b"limit.check.batch", b"\x0a\x00" * 500000)
    assert topic == b"refused", "half a million empty checks are not decoded"
    topic, reply = raw(suite, b"limit.chess", b"{}")
    assert topic == b"refused" and b"does not serve" in reply
    assert series(suite, "valvechain_limit_checks_total", result="refused") == 2
    topic, reply = raw(suite, b"limit.check", b"\x0a\x09192.0.2.7")
    assert topic == b"limit.check" and b"tier-free" in reply, "protobuf's own bytes"
    topic, reply = raw(suite, b"ping", b"{}")
    assert topic == b"ping" and b'"version":' in reply, "every request may be JSON"


def test_checks_and_requests_share_one_allowance(start, upstream):
    suite = start(processes=("limiter", "api-front"), UPSTREAM_URL=upstream.url)
    assert suite.limits.check(client="127.0.0.1", cost=3)["admitted"]
    assert [suite.get("/a").status for _ in range(3)] == [200, 200, 429]


def test_a_flood_starves_neither_others_nor_the_sweep(start):
    suite = start()
    stop = threading.Event()

    def flood():
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{suite.commands}")
        batch = b"".join(b"\x0a\x0b\x0a\x09192.0.2.9" for _ in range(1000))
        while not stop.is_set():
            try:
                socket.send_multipart([b"", b"limit.check.batch", batch], zmq.DONTWAIT)
            except zmq.Again:
                stop.wait(0.001)
            while socket.poll(0):
                socket.recv_multipart()
        socket.close()

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        before = series(suite, "valvechain_limit_sweep_steps_total")
        for number in range(20):
            assert suite.limits.check(client=f"198.51.100.{number}")["admitted"]
        wait_for(lambda: series(suite, "valvechain_limit_sweep_steps_total") >= before + 5, 10,
                 "the sweep to go on")
        assert series(suite, "valvechain_limit_checks_total", result="denied") > 1000
    finally:
        stop.set()
        thread.join(10)
