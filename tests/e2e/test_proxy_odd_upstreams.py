"""Upstreams that answer at odd moments or in odd ways, and shortages of the gateway itself: api-front
alone in front of a scripted upstream."""

import os
import resource
import shlex
import signal
import socket

import pytest

from support import raw_http
from support.suite import Suite, binary, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

IS_SANITIZED = "asan" in os.environ.get("VALVECHAIN_BUILD", "")
PIECE = bytes(range(256)) * 320  # more than the 64 KiB that are read ahead of the call
PIECES = 8  # 640 KiB: more than a ring and more than BODY_DISCARD_BYTES


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


def start(url=None, config=None, **env):
    settings = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000, "BODY_DISCARD_BYTES": 100000,
                **({"UPSTREAM_URL": url} if url else {}), **env}
    return Suite(processes=("api-front",), env=settings, config=config)


def upload(chunked):
    """The head of an upload, its pieces, its end."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (PIECES * len(PIECE))
    piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    return b"POST /up HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n", piece, b"0\r\n\r\n" if chunked else b""


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("head", [b"Content-Length: 9", b"Transfer-Encoding: chunked", b"Content-Length: 200000"])
def test_an_answer_begun_early_takes_nothing_from_the_body(head, chunked):
    got = {}

    def early(request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        got["body"], _ = connection.read_body(request.raw_head)
        if head.startswith(b"Transfer"):
            return b"9\r\nall of it\r\n0\r\n\r\n"
        return b"all of it".ljust(int(head.split()[1]), b".")

    with Upstream(read_body=False) as upstream, start(upstream.url) as front:
        upstream.answer(early)
        begin, piece, end = upload(chunked)
        with raw_http.Connection(front.port) as connection:
            for number in range(2):  # the connections live on
                connection.send(begin + piece)
                upstream.wait_for_requests(number + 1)
                before = upstream.bytes_received
                for _ in range(PIECES - 1):  # what was sent before it arrives: the answer's head is there
                    before = upstream.bytes_received
                    connection.send(piece)
                    wait_for(lambda: upstream.bytes_received > before, 10, "a piece to pass", poll_seconds=0.002)
                connection.send(end)
                answer = connection.read_response()
                assert answer.status == 200 and answer.body.startswith(b"all of it")
                assert got.pop("body") == PIECE * PIECES
        assert upstream.connections == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_complete_early_never_ends_the_cut_body(chunked):
    """The rest of the body is dropped: the upstream must not take its part for the whole."""
    seen = {}

    def complete(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
        seen["closed"] = connection.is_closed_by_peer(10)
        seen["bytes"] = bytes(connection.buffer)

    with Upstream(read_body=False) as upstream, start(upstream.url) as front:
        upstream.answer(complete)
        begin, piece, end = upload(chunked)
        with raw_http.Connection(front.port) as connection:
            connection.send(begin + piece)
            wait_for(lambda: seen, 15, "the end of the upstream's connection")
            connection.send(piece + end)
            answer = connection.read_response()
            assert (answer.status, answer.body) == (200, b"early")
        assert seen["closed"] and not seen["bytes"].endswith(b"0\r\n\r\n")


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


def test_interim_answers_win_no_time_for_the_final_one():
    def hints(_request, connection):
        connection.sock.sendall(INTERIM)
        closed.append(connection.is_closed_by_peer(20))

    closed = []
    with Upstream() as upstream, start(upstream.url, CB_TIMEOUT=300) as front:
        upstream.answer(hints)
        assert front.get("/a", timeout=5).status == 504
        wait_for(lambda: closed, 25, "the end of the call")
        assert closed == [True]
        upstream.answer(INTERIM * 16 + OK)
        assert front.get("/a").body == b"ok"
        upstream.answer(INTERIM * 17 + OK)
        assert front.get("/a").status == 502


def test_an_answer_that_ends_within_its_head_is_broken_not_late():
    def cut(_request, connection):
        connection.sock.sendall(head)
        connection.close()

    with Upstream() as upstream, start(upstream.url, CB_TIMEOUT=30000) as front:
        upstream.answer(cut)
        for head in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200", INTERIM):
            got = front.request("POST", "/a", body=b"x", timeout=20)
            assert (got.status, got.json()["code"]) == (502, "upstream_bad_answer"), head
        assert front.metrics().sum("valvechain_upstream_calls_total", result="reset") == 4


@pytest.mark.parametrize("method", [b"PUT", b"POST"])  # repeatable and not
def test_bytes_on_a_kept_connection_are_no_answer_to_a_later_request(method):
    """The front is stopped while both the request and the unasked answer arrive."""
    kept = []

    def warm(_request, connection):
        kept.append(connection.sock)
        return OK

    with Upstream() as upstream, start(upstream.url) as front:
        upstream.on("/warm", warm)
        upstream.on("/put", response(body=b"asked"))
        for number in range(20):
            assert front.get("/warm").status == 200
            with raw_http.Connection(front.port) as connection:
                connection.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.read_response().status == 200
                front["api-front"].freeze()
                try:
                    connection.send(method + b" /put HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
                    kept[number].sendall(response(body=b"stale"))
                finally:
                    front["api-front"].signal(signal.SIGCONT)
                upstream_has_it = lambda: any(r.target == b"/put" for r in upstream.requests[number * 3:])
                connection.send(b"hi")
                wait_for(upstream_has_it, 10, "the request at the upstream")
                assert connection.read_response().body == b"asked"


def test_unasked_bytes_are_no_answer_to_a_get():
    """Both are there when the front looks: the GET, and bytes on the kept connection that it would take."""
    kept = []

    def warm(_request, connection):
        kept.append(connection.sock)
        return OK

    with Upstream() as upstream, start(upstream.url) as front:
        upstream.on("/warm", warm)
        upstream.on("/get", response(body=b"asked"))
        for number in range(30):
            with raw_http.Connection(front.port) as connection:
                connection.send(b"GET /warm HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.read_response().status == 200
                front["api-front"].freeze()
                try:
                    if number % 2:
                        kept[number].sendall(response(body=b"stale"))
                    connection.send(b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n")
                    if not number % 2:
                        kept[number].sendall(response(body=b"stale"))
                finally:
                    front["api-front"].signal(signal.SIGCONT)
                assert connection.read_response().body == b"asked", number


def test_a_silent_endpoint_costs_its_connect_timeout_and_no_request():
    with Upstream() as upstream, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        fillers = []
        try:
            for _ in range(4):  # once its queue is full, Linux answers no SYN
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(silent.getsockname())
                fillers.append(filler)
            config = {
                "upstreams": [{"name": "app", "urls": [f"http://127.0.0.1:{silent.getsockname()[1]}", upstream.url],
                               "connect_timeout_ms": 200, "keepalive_connections": 0}],
                "routes": [{"path": "/", "upstream": "app"}],
            }
            with start(config=config, CB_TIMEOUT=5000) as front:
                for number in range(12):
                    assert front.request("POST", f"/{number}", [("Content-Length", "2")], b"hi").status == 200
                assert len(upstream.requests) == 12
                config["upstreams"][0]["urls"].pop()
                front.write_config(config)
                front["api-front"].signal(signal.SIGHUP)
                front["api-front"].wait_event("config.reloaded")
                assert front.get("/nobody").status == 504
        finally:
            for filler in fillers:
                filler.close()


def test_a_slow_client_is_no_timeout_of_the_upstream():
    config = {
        "upstreams": [{"name": "app", "urls": [], "total_timeout_ms": 400, "breaker": {"volume_threshold": 1}}],
        "routes": [{"path": "/", "upstream": "app"}],
    }
    with Upstream() as upstream:
        config["upstreams"][0]["urls"] = [upstream.url]
        with start(config=config, BODY_MIN_RATE=0) as front:
            for _ in range(3):
                with raw_http.Connection(front.port) as connection:
                    connection.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"h" * 80000)
                    answer = connection.read_response()
                    assert (answer.status, answer.json()["code"]) == (408, "body_too_slow")
            assert front.get("/a").status == 200  # the breaker is closed


def lowest_free_descriptor(pid):
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def test_no_descriptor_left_is_no_failure_of_the_upstream():
    config = {
        "upstreams": [{"name": "app", "urls": [], "keepalive_connections": 0, "breaker": {"volume_threshold": 1}}],
        "routes": [{"path": "/", "upstream": "app"}],
    }
    with Upstream() as upstream:
        config["upstreams"][0]["urls"] = [upstream.url]
        with start(config=config) as front, raw_http.Connection(front.port) as connection:
            def ask():
                connection.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
                return connection.read_response()

            assert ask().status == 200
            pid = front["api-front"].pid
            wait_for(lambda: not upstream.raw_connections, 10, "the upstream's connection to be closed")
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free_descriptor(pid), before[1]))
            for _ in range(3):
                assert ask().status == 503
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            assert ask().status == 200  # and not circuit_open


def test_max_connections_is_lowered_to_what_the_descriptors_hold(tmp_path, monkeypatch):
    wrapper = tmp_path / "front"
    wrapper.write_text(f"#!/bin/sh\nulimit -n 240\nexec {shlex.quote(binary('api-front'))} \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr("support.suite.binary", lambda _process: str(wrapper))
    with Upstream() as upstream, start(upstream.url, MAX_CONNECTIONS=1000, TRUSTED_PROXIES="loopback") as front:
        event = front["api-front"].wait_event("front.descriptors")
        assert event["max_connections"] == 1000 and 0 < event["lowered_to"] < 240
        held = [raw_http.Connection(front.port) for _ in range(event["lowered_to"] + 40)]
        try:
            wait_for(lambda: sum(c.is_closed_within(0.001) for c in held[-20:]) == 20, 10, "the rest to be closed")
            held[0].send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            assert held[0].read_response().status == 200  # a descriptor for the upstream is there
        finally:
            for connection in held:
                connection.close()


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer's allocator does not live with an address space bound")
def test_no_memory_for_a_body_is_503_and_no_cut_answer():
    with Upstream() as upstream, start(upstream.url, BODY_BUFFER_BYTES=16777216) as front:
        pid = front["api-front"].pid
        upstream.on("/none", b"HTTP/1.1 204 No Content\r\n\r\n")
        assert front.get("/none").status == 204
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        before = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (now + (4 << 20), before[1]))
        assert front.get("/a").status == 503
        for framing in (("Content-Length", "2"), ("Transfer-Encoding", "chunked")):
            body = b"hi" if framing[0] == "Content-Length" else b"2\r\nhi\r\n0\r\n\r\n"
            assert front.request("POST", "/a", [framing], body).status == 503
        resource.prlimit(pid, resource.RLIMIT_AS, before)
        assert front.get("/a").body == b"ok"
