"""Random clients meet random upstreams: whatever each does, every request ends, every connection is
closed, every permit comes back, and nobody gets a status that no one gave."""

import json
import os
import random
import threading
import time

import pytest

from support import raw_http
from support.suite import Suite, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

SECONDS = float(os.environ.get("CHAOS_SECONDS", 8))
EXPECTED = {200, 304, 400, 408, 413, 502, 504}
ENV = {
    "ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000, "CB_TIMEOUT": 1000,
    "HEADER_TIMEOUT": 500, "BODY_RATE_PERIOD": 500, "BODY_MIN_RATE": 1000, "BODY_DISCARD_BYTES": 50000,
    "BODY_BUFFER_BYTES": 16384, "MAX_BODY_BYTES": 2900000, "DRAIN_TIMEOUT_MS": 3000,
}


def behave(lot, connection):
    """One of the ways an upstream answers."""
    kind = lot.randrange(12)
    if kind == 0:
        connection.reset()
    if kind == 1:
        connection.sock.sendall(OK)
        connection.reset()
    if kind == 2:
        connection.is_closed_by_peer(lot.random() * 0.8)
        return OK
    cut = (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
           b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    if 3 <= kind <= 5:
        connection.close()
        return cut[kind - 3]
    whole = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", b"garbage\r\n\r\n",
             response(body=bytes(lot.randrange(200000))), b"HTTP/1.1 304 N\r\n\r\n",
             b"HTTP/1.1 100 C\r\n\r\n" + OK, OK)
    return whole[kind - 6]


def upstream_of(lot):
    def answer(request, connection):
        length = int(request.header("Content-Length", "0"))
        if length and lot.random() < 0.3:  # answers before it has read the body
            connection.close()
            return behave(lot, connection)
        connection.take(length)
        return behave(lot, connection)

    return answer


def speak(lot, connection):
    """Sends one of the things clients send; how many answers it asks for."""
    kind = lot.randrange(10)
    get = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
    if kind < 4:
        connection.send(get)
    elif kind == 4:
        connection.send(get * 3)
        return 3
    elif kind < 7:
        length = lot.choice((1, 10, 5000, 100000, 3000000))
        connection.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        connection.send(b"x" * (length if lot.random() < 0.7 else length // 2))
    elif kind == 7:
        end = b"\r\n" * lot.choice((1, 1, 1, 2))  # twice is malformed
        connection.send(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + b"y" * 4096 +
                        end + b"0\r\n\r\n")
    elif kind == 8:
        connection.send(b"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n")
    else:
        connection.send(b"GET /x HT")
        return 0
    return 1


def client(lot, port, end, statuses):
    while time.monotonic() < end:
        try:
            with raw_http.Connection(port, timeout=5) as connection:
                for _ in range(lot.randrange(1, 6)):
                    answers = speak(lot, connection)
                    leave = lot.randrange(20)
                    if leave < 3:
                        connection.reset()
                        break
                    if leave < 5:
                        break
                    if leave == 5:
                        connection.sock.shutdown(1)
                    for _ in range(answers):
                        statuses.add(connection.read_response().status)
        except (OSError, raw_http.Incomplete, ValueError, IndexError):
            pass  # cut connections are part of it


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_ends(seed):
    require_binaries(("api-front",))
    statuses = set()
    with Upstream(read_body=False) as upstream:
        upstream.answer(upstream_of(random.Random(seed)))
        with Suite(processes=("api-front",), env={"UPSTREAM_URL": upstream.url, **ENV}) as front:
            end = time.monotonic() + SECONDS
            threads = [threading.Thread(target=client, args=(random.Random(seed * 100 + n), front.port, end, statuses))
                       for n in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(SECONDS + 30)
            upstream.answer(OK)

            def at_rest():
                breakers = json.loads(front.get("/api/circuit-breaker/stats").body)["circuitBreakers"]
                open_now = front.metrics().sum("valvechain_active_connections")
                return breakers["app"]["inFlight"] == 0 and open_now <= 1

            wait_for(at_rest, 10, "every call and every connection to end", poll_seconds=0.2)
            assert front.get("/a").status == 200
    assert 200 in statuses and statuses <= EXPECTED, statuses
