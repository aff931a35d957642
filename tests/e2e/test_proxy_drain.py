"""Leaving: every request that was accepted is answered, and nothing is waited for in vain."""

import signal
import time

import pytest

from support import raw_http
from support.suite import Suite, require_binaries
from support.upstream import OK, Upstream
from support.wait import wait_for

GET = b"GET /slow HTTP/1.1\r\nHost: test.example\r\n\r\n"
CLIENTS = 60


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


def start(url, **env):
    settings = {"UPSTREAM_URL": url, "ADVANCED_RATE_LIMITING": "false",
                "CB_VOLUME_THRESHOLD": 1000000, **env}
    return Suite(processes=("api-front",), env=settings)


def late(seconds):
    def answer(_request, _connection):
        time.sleep(seconds)  # the slowness of the upstream is the point, not a wait for an event
        return OK

    return answer


def kept_open(port):
    connection = raw_http.Connection(port)
    connection.send(GET.replace(b"/slow", b"/quick"))
    assert connection.read_response().status == 200
    return connection


@pytest.mark.parametrize("first_after_seconds", [0.0, 0.01, 0.02])
def test_a_request_that_arrives_with_the_close_is_answered_or_not_taken(first_after_seconds):
    # The requests arrive all around the tick in which idle connections are closed.
    with Upstream() as upstream, start(upstream.url) as front:
        upstream.on("/slow", late(0.3))
        clients = [kept_open(front.port) for _ in range(CLIENTS)]
        front["api-front"].signal(signal.SIGTERM)
        begin = time.monotonic() + first_after_seconds
        for number, client in enumerate(clients):
            time.sleep(max(0.0, begin + number * 0.0005 - time.monotonic()))
            try:
                client.send(GET)
            except OSError:
                pass  # closed already: not accepted
        answered = 0
        for client in clients:
            try:
                answer = client.read_response(timeout=5)
            except (raw_http.Incomplete, OSError):
                assert client.buffer == b"", "cut in its answer"
            else:
                assert answer.status == 200
                answered += 1
            client.close()
        accepted = sum(request.target == b"/slow" for request in upstream.requests)
        assert answered == accepted
        assert front["api-front"].child.wait(10) == 0


def test_an_answer_begun_before_the_drain_does_not_hold_it_up():
    def two_parts(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        wait_for(lambda: draining, 10, "the drain")
        time.sleep(0.2)  # the drain's first ticks find the connection busy
        return b"half"

    draining = []
    with Upstream() as upstream, start(upstream.url, DRAIN_TIMEOUT_MS=15000) as front:
        upstream.answer(two_parts)
        with raw_http.Connection(front.port) as client:
            client.send(GET)
            wait_for(lambda: client.buffer or client._fill(time.monotonic() + 5) or client.buffer, 5,
                     "the first half")
            front["api-front"].signal(signal.SIGTERM)
            front["api-front"].wait_event("drain.begin")
            draining.append(True)
            assert client.read_response().body == b"halfhalf"
            assert front["api-front"].child.wait(5) == 0  # a second SIGTERM would end it at once


def test_a_request_after_a_long_idle_time_is_answered_or_not_taken():
    with Upstream() as upstream, start(upstream.url, KEEPALIVE_IDLE_MS=1000) as front:
        upstream.on("/slow", late(0.7))
        clients = [kept_open(front.port) for _ in range(CLIENTS)]
        begin = time.monotonic() + 0.9  # the closes come between 1.0 and 1.1 seconds
        for number, client in enumerate(clients):
            time.sleep(max(0.0, begin + number * 0.004 - time.monotonic()))
            try:
                client.send(GET)
            except OSError:
                pass
        answered = 0
        for client in clients:
            try:
                answered += client.read_response(timeout=5).status == 200
            except (raw_http.Incomplete, OSError):
                assert client.buffer == b""
            client.close()
        assert answered == sum(request.target == b"/slow" for request in upstream.requests)
