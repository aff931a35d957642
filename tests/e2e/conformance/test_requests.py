"""Runs the table of raw requests against the real api-front (table.py says what each must do)."""

import os
import sys

import pytest

from support import raw_http
from support.certificates import Authority
from support.suite import Suite, require_binaries
from support.upstream import Upstream

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from table import PASSES, REFUSED  # noqa: E402


@pytest.fixture(scope="module", params=["http", "https"])
def front(request, tmp_path_factory):
    require_binaries(("api-front",))
    authority = Authority(tmp_path_factory.mktemp("tls"))
    tls = authority.server(authority.issue("127.0.0.1")) if request.param == "https" else None
    with Upstream(tls=tls) as upstream:
        suite = Suite(processes=("api-front",), **upstream.reach(authority.ca_file, {
            "ADVANCED_RATE_LIMITING": "false", "CIRCUIT_BREAKERS": "false", "HEADER_TIMEOUT": 3000,
        }))
        with suite:
            suite.upstream = upstream
            yield suite


@pytest.fixture(autouse=True)
def fresh(front):
    front.upstream.requests.clear()


def test_the_table_is_as_large_as_promised():
    assert len(PASSES) + len(REFUSED) >= 60
    names = [case.name for case in PASSES + REFUSED]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", PASSES, ids=lambda case: case.name)
def test_passes(front, case):
    with raw_http.Connection(front.port, timeout=10) as connection:
        connection.send(case.data)
        answer = connection.read_response()
    assert answer.status == 200, (answer, answer.text)
    assert answer.body == b"ok"
    [seen] = front.upstream.requests
    assert seen.method == case.method
    assert seen.target == case.target
    assert seen.body == case.body
    for name in {name for name, _ in case.carries}:
        assert seen.all(name) == [value for key, value in case.carries if key == name]
    for name in case.lacks:
        assert seen.header(name) is None
    assert_clean_head(seen)


def assert_clean_head(seen):
    """What goes upstream is written anew: no folding, no bare LF or CR, one framing, one host."""
    head = seen.raw_head
    assert b"\n" not in head.replace(b"\r\n", b"") and b"\r" not in head.replace(b"\r\n", b"")
    assert b"\r\n " not in head and b"\r\n\t" not in head
    assert b"\0" not in head
    assert len(seen.all("Host")) == 1
    assert len(seen.all("Content-Length")) + len(seen.all("Transfer-Encoding")) <= 1
    assert seen.version == b"HTTP/1.1"
    assert len(seen.all("X-Request-Id")) == 1
    assert seen.header("X-Forwarded-For").split(",")[-1].strip() == "127.0.0.1"
    assert b"trailer" not in head.lower()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused(front, case):
    with raw_http.Connection(front.port, timeout=10) as connection:
        try:
            connection.send(case.data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while we were still sending
        try:
            answer = connection.read_response()
        except raw_http.Incomplete as nothing:
            assert case.silent and connection.closed, nothing
        else:
            assert answer.status in case.statuses, (answer, answer.text)
            if answer.header("Content-Type") == "application/problem+json":
                body = answer.json()
                assert body["status"] == answer.status
                assert body["requestId"]
            else:
                assert case.silent, answer  # only libmicrohttpd's own refusals have another body
            if case.closes:
                assert connection.is_closed_within(5), "the rest of the bytes could be read as a request"
    # The next request of somebody else is the only one that the upstream sees.
    assert front.get("/sync").status == 200
    assert [seen.target for seen in front.upstream.requests] == [b"/sync"]


def test_smuggled_bytes_behind_a_refused_request_are_never_answered(front):
    """After a refusal with untrusted framing exactly one answer comes on the connection."""
    for case in (case for case in REFUSED if case.closes and not case.silent):
        responses, rest, closed = raw_http.send_and_close(front.port, case.data, timeout=5)
        assert len(responses) == 1 and rest == b"" and closed, (case.name, responses, rest)
    assert front.upstream.requests == []


def test_a_higher_minor_version_is_read_as_ours_or_refused(front):
    """RFC 9110 2.5 allows to read 1.2 as 1.1 and to refuse it with 505; it is never passed on."""
    [answer] = raw_http.exchange(front.port, b"GET /v HTTP/1.2\r\nHost: a\r\n\r\n")
    assert answer.status in (200, 505)
    seen = front.upstream.requests
    assert [request.version for request in seen] == ([b"HTTP/1.1"] if answer.status == 200 else [])


def test_pipelined_requests_are_answered_in_order(front):
    front.upstream.on("/one", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
    front.upstream.on("/two", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
    front.upstream.on("/three", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree")
    data = (b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
            b"GET /three HTTP/1.1\r\nHost: a\r\n\r\n")
    answers = raw_http.exchange(front.port, data, methods=("GET", "POST", "GET"))
    assert [answer.body for answer in answers] == [b"one", b"two", b"three"]
    assert [seen.target for seen in front.upstream.requests] == [b"/one", b"/two", b"/three"]
    assert front.upstream.requests[1].body == b"body"


def test_a_request_in_pieces_is_one_request(front):
    with raw_http.Connection(front.port) as connection:
        for byte in b"POST /p/pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
            connection.send(bytes([byte]))
        assert connection.read_response().status == 200
    assert front.upstream.requests[0].body == b"abc"


def test_keep_alive_and_close(front):
    with raw_http.Connection(front.port) as connection:
        for _ in range(3):
            connection.send(b"GET /p/k HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.read_response().status == 200
        connection.send(b"GET /p/k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert connection.read_response().status == 200
        assert connection.is_closed_within(5)
    with raw_http.Connection(front.port) as connection:
        connection.send(b"GET /p/k HTTP/1.0\r\n\r\n")
        assert connection.read_response().status == 200
        assert connection.is_closed_within(5)


def test_expect_continue_is_asked_for_before_the_body(front):
    with raw_http.Connection(front.port) as connection:
        connection.send(b"POST /p/e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        while b"\r\n\r\n" not in connection.buffer:
            connection._fill(__import__("time").monotonic() + 10)
        assert connection.buffer.startswith(b"HTTP/1.1 100 ")
        connection.send(b"body")
        answer = connection.read_response()
    assert answer.status == 200 and front.upstream.requests[0].body == b"body"


def test_expect_continue_is_not_granted_to_what_is_refused(front):
    with raw_http.Connection(front.port) as connection:
        connection.send(b"POST /p/../e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        answer = connection.read_response()
    assert answer.status == 400 and answer.interim == []
