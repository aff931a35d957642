"""The heads of request and answer share a connection's memory: what a client sends must neither spoil
a good answer nor count against the upstream."""

import os

import pytest

from support import raw_http
from support.suite import Suite, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

REFUSED = 431


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


@pytest.fixture(name="front", scope="module")
def one_front():
    with Upstream() as upstream:
        env = {"UPSTREAM_URL": upstream.url, "ADVANCED_RATE_LIMITING": "false",
               "CB_VOLUME_THRESHOLD": 5}
        with Suite(processes=("api-front",), env=env) as front:
            front.upstream = upstream
            yield front


def cookies(count, size):
    return [("Cookie", "; ".join(f"n{i}={'v' * size}" for i in range(count)))]


def test_twelve_kilobytes_of_cookies_and_a_normal_answer(front):
    front.upstream.answer(response(headers=[("Set-Cookie", "a" * 500)] * 10, body=b"fine"))
    assert front.get("/a", cookies(30, 400)).body == b"fine"


def test_a_head_that_leaves_no_room_is_refused_before_the_upstream_is_asked(front):
    front.upstream.answer(response(body=b"fine"))
    seen = len(front.upstream.requests)
    answer = front.get("/a", cookies(300, 20))
    assert answer.status == REFUSED
    assert b'"header_too_large"' in answer.body
    assert len(front.upstream.requests) == seen


def test_more_cookies_than_the_connection_s_memory_holds_end_only_that_connection(front):
    with pytest.raises(raw_http.Incomplete):
        front.get("/a", cookies(400, 20))
    front.upstream.answer(response(body=b"fine"))
    assert front.get("/a").body == b"fine"


@pytest.mark.parametrize("count, size", [(1, 13000), (30, 400), (100, 80), (200, 20), (1, 1)])
def test_any_answer_up_to_the_bound_arrives_and_larger_ones_are_502(front, count, size):
    # Nothing in between: an answer that the bound lets in has room with libmicrohttpd.
    statuses = []
    for kilobytes in range(6, 40):
        front.upstream.answer(response(headers=[(f"X-{i}", "h" * 1000) for i in range(kilobytes)]))
        statuses.append(front.get("/a", cookies(count, size)).status)
        if statuses[-1] == 503:
            break
    assert set(statuses) == {200, 502}, statuses
    assert statuses == sorted(statuses)


def test_answers_that_do_not_fit_leave_the_breaker_closed(front):
    front.upstream.answer(response(headers=[("X-Large", "h" * 1000)] * 20))
    for _ in range(20):
        assert front.get("/a", cookies(30, 400)).status == 502
    front.upstream.answer(response(body=b"fine"))
    assert front.get("/a").body == b"fine"


@pytest.mark.skipif("asan" in os.environ.get("VALVECHAIN_BUILD", ""), reason="a sanitizer's memory is not the program's")
def test_idle_clients_give_their_memory_back_and_go_on():
    count, each_kib = 200, 8
    with Upstream() as upstream:
        upstream.answer(OK)
        env = {"UPSTREAM_URL": upstream.url, "ADVANCED_RATE_LIMITING": "false"}
        with Suite(processes=("api-front",), env=env) as front:
            process = front["api-front"]
            assert front.get("/first").status == 200
            before = process.rss_kib()
            connections = [raw_http.Connection(front.port) for _ in range(count)]
            try:
                for _ in range(2):  # what was given back comes anew, and goes again
                    for number, connection in enumerate(connections):
                        connection.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n%05d" % number)
                        assert connection.read_response().body == b"ok"
                        assert upstream.requests[-1].body == b"%05d" % number
                    wait_for(lambda: process.rss_kib() < before + each_kib * count, 10, "the memory to be given back")
            finally:
                for connection in connections:
                    connection.close()
