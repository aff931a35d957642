"""SIGKILL of one of two gateways on one port: its own open connections are lost, and nothing else."""

import os

import pytest

from support import raw_http
from support.suite import Load
from support.wait import wait_for

REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
ENV = {"TIER_RATE_WINDOW": 1000, "GLOBAL_RATE_WINDOW": 1000, "TIER_FREE_MAX": 65535, "GLOBAL_RATE_MAX": 65535}


def socket_inodes(pid):
    inodes = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes


def server_inodes(port):
    """{client port: inode of the server's end}, from /proc/net/tcp and tcp6."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if int(fields[1].rsplit(":", 1)[1], 16) == port:
                    found[int(fields[2].rsplit(":", 1)[1], 16)] = fields[9]
    return found


def owner_of(suite, connection):
    inode = server_inodes(suite.port)[connection.sock.getsockname()[1]]
    for front in (suite["api-front@1"], suite["api-front@2"]):
        if inode in socket_inodes(front.pid):
            return front
    raise AssertionError("nobody holds the connection")


@pytest.fixture
def pair(make_suite, upstream):
    return make_suite(env={"UPSTREAM_URL": upstream.url, **ENV}, fronts=2)


def test_only_its_own_connections_are_lost(pair):
    connections = []
    for _ in range(40):
        connection = raw_http.Connection(pair.port)
        connection.send(REQUEST)
        assert connection.read_response().status == 200
        connections.append((connection, owner_of(pair, connection)))
    victim, survivor = pair["api-front@1"], pair["api-front@2"]
    assert {owner for _, owner in connections} == {victim, survivor}, "the port is not shared"
    victim.kill()
    for connection, owner in connections:
        if owner is survivor:
            connection.send(REQUEST)
            assert connection.read_response().status == 200
        else:
            assert connection.is_closed_within(5)
    for _ in range(40):
        assert pair.get("/x").status == 200
    for connection, _ in connections:
        connection.close()


def test_counters_go_on_where_the_killed_one_stood(pair):
    for _ in range(20):
        assert pair.get("/x").status == 200
    before = pair.metrics()
    pair["api-front@1"].kill()
    assert pair.metrics().shrunk_since(before) == []
    pair["api-front@1"].start()
    after = pair.metrics()
    assert after.shrunk_since(before) == []
    assert after.sum("valvechain_http_requests_total") >= 20


def test_twenty_kills_under_load_lose_no_more_than_open_connections(pair):
    fronts = [pair["api-front@1"], pair["api-front@2"]]
    earlier = pair.metrics()
    with Load(pair.port, "/x", connections=4) as load:
        for number in range(20):
            load.wait_for_requests(40)
            failures = len(load.failures)
            fronts[number % 2].kill()
            load.wait_for_requests(40)
            # Each client thread has one connection: it can lose it once, and a new one that came to
            # the dying listener's queue once more.
            assert len(load.failures) - failures <= 8, load.failures[failures:]
            fronts[number % 2].start()
            now = pair.metrics()
            assert now.shrunk_since(earlier) == []
            earlier = now
    assert all("status" not in text for _, text in load.failures), load.failures


def test_a_killed_front_gives_its_limit_and_breaker_shares_back(make_suite, upstream):
    """Calls in flight of a killed gateway leave no permit behind: capacity is whole again."""
    from support.upstream import after

    suite = make_suite(env={"UPSTREAM_URL": upstream.url, "CB_APP_CAPACITY": 2, "CB_TIMEOUT": 20000}, fronts=2)
    upstream.on("/slow", after(30))
    held = []
    while {owner_of(suite, c) for c in held} != {suite["api-front@1"]} or len(held) < 2:
        connection = raw_http.Connection(suite.port)
        connection.send(REQUEST)
        assert connection.read_response().status == 200
        if owner_of(suite, connection) is suite["api-front@1"]:
            held.append(connection)
        else:
            connection.close()
    for connection in held:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    wait_for(lambda: len([r for r in upstream.requests if r.target == b"/slow"]) == 2, what="both slow calls")
    suite["api-front@1"].kill()
    wait_for(lambda: suite.get("/x").status == 200, what="capacity given back")
    assert [suite.get("/x").status for _ in range(10)] == [200] * 10
