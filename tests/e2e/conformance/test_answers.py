"""What becomes of an upstream's answer, byte by byte: oddities pass, broken ones are 502, never more."""

import pytest

from support import raw_http
from support.certificates import Authority
from support.suite import Suite, require_binaries
from support.wait import wait_for
from support.upstream import OK, Upstream, response


@pytest.fixture(scope="module", params=["http", "https"])
def front(request, tmp_path_factory):
    require_binaries(("api-front",))
    authority = Authority(tmp_path_factory.mktemp("tls"))
    tls = authority.server(authority.issue("127.0.0.1")) if request.param == "https" else None
    with Upstream(tls=tls) as upstream:
        suite = Suite(processes=("api-front",), **upstream.reach(authority.ca_file, {
            "ADVANCED_RATE_LIMITING": "false",
            "CB_VOLUME_THRESHOLD": 1000000, "CB_TIMEOUT": 2000,  # the breaker never opens here
        }))
        with suite:
            suite.upstream = upstream
            yield suite


@pytest.fixture(autouse=True)
def fresh(front):
    front.upstream.requests.clear()


def ask(front, answer, method="GET", target="/a"):
    front.upstream.answer(answer)
    return front.request(method, target)


def closing(data):
    """An answer after which the upstream closes."""

    def handler(_request, connection):
        connection.close()
        return data

    return handler


PASSES = [
    ("content-length", response(body=b"body"), 200, b"body"),
    ("empty body", response(body=b""), 200, b""),
    ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n", 200, b"abcd"),
    ("chunked with trailers", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n", 200, b"a"),
    ("until closed", closing(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), 200, b"until the end"),
    ("HTTP/1.0 until closed", closing(b"HTTP/1.0 200 OK\r\n\r\nten"), 200, b"ten"),
    ("every byte", response(body=bytes(range(256)) * 16), 200, bytes(range(256)) * 16),
    ("an unknown status", response(299, "Odd", body=b"x"), 299, b"x"),
    ("no reason phrase", b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
    ("404 is passed on", response(404, "Not Found", body=b"theirs"), 404, b"theirs"),
    ("500 is passed on", response(500, "Oops", body=b"theirs"), 500, b"theirs"),
    ("redirect", response(302, "Found", [("Location", "/b")]), 302, b""),
]


@pytest.mark.parametrize("name,answer,status,body", PASSES, ids=[case[0] for case in PASSES])
def test_passes(front, name, answer, status, body):
    got = ask(front, answer)
    assert (got.status, got.body) == (status, body)
    assert got.trailers == []


def test_headers_are_kept_apart_and_in_order(front):
    got = ask(front, response(headers=[("Set-Cookie", "a=1; Path=/"), ("X-A", "1"), ("Set-Cookie", "b=2"), ("X-A", "2")]))
    assert got.all("Set-Cookie") == ["a=1; Path=/", "b=2"]
    assert got.all("X-A") == ["1", "2"]


def test_hop_by_hop_headers_of_the_upstream_end_here(front):
    got = ask(front, response(headers=[("Connection", "keep-alive, X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"),
                                       ("Proxy-Authenticate", "Basic"), ("X-Kept", "1")]))
    assert got.header("X-Kept") == "1"
    for name in ("X-Private", "Keep-Alive"):
        assert got.header(name) is None


def test_response_headers_of_32_kib_pass(front):
    headers = [(f"X-{i}", "v" * 1000) for i in range(32)]
    got = ask(front, response(headers=headers, body=b"x"))
    assert got.status == 200 and got.body == b"x"
    assert [got.header(name) for name, _ in headers] == [value for _, value in headers]


@pytest.mark.parametrize("status,length", [(204, b""), (304, b""), (304, b"Content-Length: 1234\r\n")])
def test_answers_without_a_body(front, status, length):
    with raw_http.Connection(front.port) as connection:
        for _ in range(2):
            front.upstream.answer(b"HTTP/1.1 %d X\r\n%sETag: \"e\"\r\n\r\n" % (status, length))
            connection.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            got = connection.read_response()
            assert got.status == status and got.header("ETag") == '"e"'
            assert got.header("Transfer-Encoding") is None
            # The upstream's, else libmicrohttpd writes 0 of its own accord (no client reads it).
            assert got.header("Content-Length") == ("1234" if length else "0" if status == 304 else None)
        front.upstream.answer(OK)
        connection.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_response().body == b"ok"


def test_head_has_the_length_and_no_body(front):
    with raw_http.Connection(front.port) as connection:
        front.upstream.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
        connection.send(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n")
        got = connection.read_response("HEAD")
        assert got.header("Content-Length") == "1234"
        front.upstream.answer(OK)
        connection.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_response().body == b"ok"


def test_interim_answers_do_not_end_the_request(front):
    got = ask(front, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert (got.status, got.body) == (200, b"ok")


BROKEN = [
    ("not HTTP", b"SSH-2.0-OpenSSH_9\r\n\r\n"),
    ("HTTP/2 preface", b"HTTP/2.0 200 OK\r\n\r\n"),
    ("no header end", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"),
    ("header without a colon", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("length and coding", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("bad length", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
    ("status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
    ("nothing", b""),
]


@pytest.mark.parametrize("name,data", BROKEN, ids=[case[0] for case in BROKEN])
def test_broken_answers_are_502_without_inner_detail(front, name, data):
    got = ask(front, closing(data))
    assert got.status == 502, (got, got.text)
    assert got.header("Content-Type") == "application/problem+json"
    problem = got.json()
    assert problem["status"] == 502 and problem["requestId"]
    for inner in (str(front.upstream.port), "127.0.0.1", "errno"):
        assert inner not in got.text


def test_an_upgrade_that_nobody_asked_for_is_502(front):
    assert ask(front, closing(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n")).status == 502


CUT = [
    ("within Content-Length", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
    ("within a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"),
    ("before the last chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
]


@pytest.mark.parametrize("name,data", CUT, ids=[case[0] for case in CUT])
def test_a_cut_body_is_never_passed_off_as_whole(front, name, data):
    front.upstream.answer(closing(data))
    try:
        got = front.get("/a")
    except raw_http.Incomplete:
        return  # cut for the client, too: it can tell
    assert got.status == 502


def test_header_injection_through_an_answer_is_impossible(front):
    got = ask(front, b"HTTP/1.1 200 OK\r\nX-A: a\r\n folded\r\nContent-Length: 2\r\n\r\nok")
    assert got.status in (200, 502)
    assert b"\r\n " not in got.raw_head


def test_bytes_behind_an_answer_never_answer_the_next_request(front):
    """An upstream that sends more than it said: the connection must not be used again."""
    front.upstream.answer(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    assert front.get("/first").body == b"ok"
    front.upstream.answer(OK)
    for _ in range(5):
        assert front.get("/next").body == b"ok"


def test_silence_is_504(front):
    closed = []

    def silent(_request, connection):
        closed.append(connection.is_closed_by_peer(30))

    front.upstream.answer(silent)
    got = front.get("/slow", timeout=20)
    wait_for(lambda: closed, 35, "the end of the call")
    assert closed == [True], "the call was not given up"
    assert got.status == 504 and got.header("Content-Type") == "application/problem+json"
