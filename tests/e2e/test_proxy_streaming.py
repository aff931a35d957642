"""Bodies of any size both ways with bounded memory, backpressure, cancel, cut answers, slow clients,
drain, TLS: api-front alone in front of a scripted upstream."""

import hashlib
import os
import socket
import ssl
import subprocess
import threading

import pytest

from support import raw_http
from support.suite import Suite, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

BIG = int(os.environ.get("STREAM_BYTES", 2 << 30))
HELD = 256 << 20  # more than all buffers on the way hold
RSS_KIB_MAX = 64 * 1024
PIECE = bytes(range(256)) * 1024  # 256 KiB
IS_SANITIZED = "asan" in os.environ.get("VALVECHAIN_BUILD", "")
ENV = {
    "ADVANCED_RATE_LIMITING": "false",
    "CB_VOLUME_THRESHOLD": 1000000,  # the breaker never opens here
    "CB_TIMEOUT": 5000,
    "MAX_CONNECTIONS_PER_ADDRESS": 4,
    "HEADER_TIMEOUT": 500,
    "BODY_RATE_PERIOD": 500,
    "BODY_MIN_RATE": 1000,
    "BODY_DISCARD_BYTES": 100000,
}


@pytest.fixture(scope="module")
def upstream():
    with Upstream(read_body=False) as server:
        yield server


@pytest.fixture(scope="module")
def front(upstream):
    require_binaries(("api-front",))
    with Suite(processes=("api-front",), env={"UPSTREAM_URL": upstream.url, **ENV}) as suite:
        yield suite


def length_of(request):
    return int(request.header("Content-Length", "0"))


def sink(request, connection):
    """Takes a body of stated length and answers its digest."""
    digest, left = hashlib.sha256(), length_of(request)
    while left > 0:
        data = connection.take(min(left, 65536)) if connection.buffer else connection.sock.recv(min(left, 1 << 20))
        if not data:
            return None
        digest.update(data)
        left -= len(data)
    return response(body=digest.hexdigest().encode())


def chunk_sink(request, connection):
    digest = hashlib.sha256()
    while True:
        size = int(connection.take_line().split(b";")[0], 16)
        digest.update(connection.take(size))
        connection.take_line()
        if size == 0:
            return response(body=digest.hexdigest().encode())


def send_pieces(sock, total, digest=None):
    left = total
    while left > 0:
        data = PIECE[:min(left, len(PIECE))]
        sock.sendall(data)
        if digest:
            digest.update(data)
        left -= len(data)


def rss_is_small(front):
    assert IS_SANITIZED or front["api-front"].rss_kib() < RSS_KIB_MAX


def test_request_body_of_2_gib(front, upstream):
    upstream.answer(sink)
    digest = hashlib.sha256()
    with raw_http.Connection(front.port, timeout=300) as connection:
        connection.send(b"PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BIG)
        send_pieces(connection.sock, BIG, digest)
        got = connection.read_response()
    assert (got.status, got.text) == (200, digest.hexdigest())
    rss_is_small(front)


@pytest.mark.parametrize("chunked", [False, True])
def test_answer_body_of_2_gib(front, upstream, chunked):
    def source(_request, connection):
        if not chunked:
            connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
            send_pieces(connection.sock, BIG)
            return None
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(BIG // len(PIECE)):
            connection.sock.sendall(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
        return b"0\r\n\r\n"

    upstream.answer(source)
    got = subprocess.run(["curl", "-sS", "-m", "300", "-o", "-", f"http://127.0.0.1:{front.port}/big"],
                         stdout=subprocess.PIPE, check=False, bufsize=0) if BIG <= 1 << 26 else None
    digest, size = hashlib.sha256(), 0
    if got is not None:
        assert got.returncode == 0
        digest.update(got.stdout)
        size = len(got.stdout)
    else:
        with subprocess.Popen(["curl", "-sS", "-m", "300", f"http://127.0.0.1:{front.port}/big"],
                              stdout=subprocess.PIPE) as curl:
            while data := curl.stdout.read(1 << 20):
                digest.update(data)
                size += len(data)
            assert curl.wait() == 0
    expected = hashlib.sha256()
    for _ in range(BIG // len(PIECE)):
        expected.update(PIECE)
    assert (size, digest.hexdigest()) == (BIG, expected.hexdigest())
    rss_is_small(front)


def test_chunked_request_body_is_binary_exact(front, upstream):
    upstream.answer(chunk_sink)
    digest = hashlib.sha256()
    with raw_http.Connection(front.port, timeout=60) as connection:
        connection.send(b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for size in (1, 2, 1000, 65535, 65536, 300000, 3):
            data = os.urandom(size)
            digest.update(data)
            connection.send(b"%x;ext=1\r\n%s\r\n" % (size, data))
        connection.send(b"0\r\nX-Trailer: dropped\r\n\r\n")
        got = connection.read_response()
        assert (got.status, got.text) == (200, digest.hexdigest())
        upstream.answer(OK)  # the connection lives on
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_response().body == b"ok"


def test_a_client_that_reads_slowly_stops_the_upstream(front, upstream):
    sent = [0]

    def source(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        while sent[0] < 1 << 30:
            sent[0] += connection.sock.send(PIECE)
        return None

    upstream.answer(source)
    with raw_http.Connection(front.port) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        last = [-1]

        def stands_still():
            before, last[0] = last[0], sent[0]
            return sent[0] > 0 and before == sent[0]

        wait_for(stands_still, 20, "the upstream to be held back", poll_seconds=0.5)
        assert sent[0] < 64 << 20
    rss_is_small(front)


def test_an_upstream_that_reads_slowly_stops_the_client(front, upstream):
    release = threading.Event()

    def lazy(request, connection):
        release.wait(30)
        return sink(request, connection)

    upstream.answer(lazy)
    total = HELD
    with raw_http.Connection(front.port, timeout=60) as connection:
        connection.send(b"PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
        sent = [0]

        def push():
            while sent[0] < total:
                sent[0] += connection.sock.send(PIECE[:min(len(PIECE), total - sent[0])])

        thread = threading.Thread(target=push, daemon=True)
        thread.start()
        last = [-1]

        def stands_still():
            before, last[0] = last[0], sent[0]
            return sent[0] > 0 and before == sent[0]

        # It is the upstream's pace, not the client's: no 408 for it.
        wait_for(stands_still, 20, "the client to be held back", poll_seconds=0.7)
        assert sent[0] < 64 << 20
        release.set()
        thread.join(60)
        assert connection.read_response().status == 200
    rss_is_small(front)


def test_expect_100_continue(front, upstream):
    upstream.answer(sink)
    with raw_http.Connection(front.port) as connection:
        connection.send(b"PUT /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(b"hello")
        assert connection.read_response().text == hashlib.sha256(b"hello").hexdigest()


@pytest.mark.parametrize("half", [False, True])
def test_client_gone_cancels_the_call(front, upstream, half):
    cancelled = threading.Event()

    def slow(_request, connection):
        if half:
            connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        if connection.is_closed_by_peer(4.0):
            cancelled.set()
        return None

    upstream.answer(slow)
    before = len(upstream.requests)
    with raw_http.Connection(front.port) as connection:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        upstream.wait_for_requests(before + 1)
        if half:
            assert connection.sock.recv(10)
    assert cancelled.wait(3.5), "the upstream's connection was not closed"


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_an_answer_cut_by_the_upstream_is_cut_for_the_client(front, upstream, framing):
    begun = threading.Event()

    def cut(_request, connection):
        body = b"12345" if b"Length" in framing else b"5\r\n12345\r\n"
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n%s" % (framing, body))
        begun.wait(10)
        connection.close()
        return None

    upstream.answer(cut)
    with raw_http.Connection(front.port) as connection:
        connection.send(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while b"12345" not in data:
            data += connection.sock.recv(65536)
        begun.set()
        rest = b""
        try:
            while piece := connection.sock.recv(65536):
                rest += piece
        except ConnectionResetError:
            pass
        assert b"0\r\n" not in rest


def test_a_stale_kept_connection_costs_no_request(front, upstream):
    upstream.answer(sink)
    for method in (b"GET", b"POST", b"PUT"):
        for _ in range(20):
            with raw_http.Connection(front.port) as connection:
                connection.send(method + b" /s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
                assert connection.read_response().status == 200
                upstream.drop_connections()
                connection.send(method + b" /s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
                assert connection.read_response().status == 200


def test_a_kept_connection_that_was_reset_costs_no_request(front, upstream):
    def answer_and_reset(request, connection):
        connection.take(length_of(request))
        connection.sock.sendall(OK)
        connection.reset()

    upstream.answer(answer_and_reset)
    posts = []
    for number in range(90):
        method, body = ((b"GET", b""), (b"PUT", b"x" * 3000), (b"POST", b"x" * 3000))[number % 3]
        with raw_http.Connection(front.port) as connection:
            connection.send(method + b" /r%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (number, len(body)) + body)
            status = connection.read_response().status
        # A POST that was written when the reset came may have been carried out: never once more.
        assert status == 200 or (method == b"POST" and status == 502), (number, method)
        posts += [b"/r%d" % number] if method == b"POST" else []
    seen = [request.target for request in upstream.requests]
    assert all(seen.count(target) <= 1 for target in posts)


def test_an_early_answer_stops_the_body(front, upstream):
    def refuse(_request, _connection):
        return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"

    upstream.answer(refuse)
    with raw_http.Connection(front.port) as connection:  # what is left is small: it is read and dropped
        connection.send(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 160000\r\n\r\n" + b"x" * 70000)
        upstream.wait_for_requests(len(upstream.requests))
        connection.send(b"x" * 90000)
        assert connection.read_response().status == 403
    with raw_http.Connection(front.port) as connection:  # what is left is large: the answer is the end
        connection.send(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n" + b"x" * 70000)
        assert connection.read_response().status == 403
        assert connection.sock.recv(1) == b""


def upload_then_read(port, target, seconds=0.0):
    """A client that reads nothing before it has sent all of 32 MiB, however long ago it was answered."""
    pieces, pace = 128, threading.Event()
    with raw_http.Connection(port, timeout=30) as connection:
        connection.send(b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (target, pieces * len(PIECE)))
        for _ in range(pieces):
            connection.send(PIECE)
            pace.wait(seconds / pieces)
        return connection.read_response()


def test_an_answer_to_a_large_upload_is_not_taken_away_by_a_reset(upstream):
    upstream.answer(lambda _request, _connection: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    config = {"upstreams": [{"name": "app", "url": upstream.url}],
              "routes": [{"path": "/up", "upstream": "app"}, {"path": "/small", "upstream": "app", "max_body_bytes": 9}]}
    with Suite(processes=("api-front",), env=ENV, config=config) as front:
        for target, status in ((b"/up", 403), (b"/small", 413), (b"/none", 404)):
            for seconds in (0.0, 3.0):
                assert upload_then_read(front.port, target, seconds).status == status, (target, seconds)


def test_a_farewell_ends_when_the_client_falls_silent(front, upstream):
    upstream.answer(lambda _request, _connection: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    with raw_http.Connection(front.port) as connection:
        connection.send(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n" + b"x" * 70000)
        assert connection.read_response().status == 403
        wait_for(lambda: front.metrics().sum("valvechain_active_connections") == 1, 10, "it to be closed")


@pytest.mark.parametrize("method, answer, length", [
    ("PUT", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    ("PUT", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
    ("PUT", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", "77"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", "77"),
    ("HEAD", b"HTTP/1.1 403 Forbidden\r\n\r\n", None),
    ("PUT", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "2"),
])
def test_an_early_answer_states_the_length_it_has(front, upstream, method, answer, length):
    """With so much of the body to come it is written past libmicrohttpd."""
    upstream.answer(lambda _request, _connection: answer)
    with raw_http.Connection(front.port) as connection:
        connection.send(f"{method} /early HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n".encode()
                        + b"x" * 70000)
        got = connection.read_response(method)
        assert got.status == int(answer.split()[1])
        assert got.header("Content-Length") == length and got.header("Transfer-Encoding") is None
        assert connection.read_until_closed() == b"", "nothing behind the answer"


def test_a_body_over_its_bound_is_413(upstream):
    upstream.answer(chunk_sink)
    env = {"UPSTREAM_URL": upstream.url, **ENV, "MAX_BODY_BYTES": 1000}
    with Suite(processes=("api-front",), env=env) as front:
        with raw_http.Connection(front.port) as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001)
            got = connection.read_response()
            assert got.status == 413 and got.json()["code"] == "body_too_large"
        with raw_http.Connection(front.port) as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
            assert connection.read_response().status == 413  # at once, without 100
        with raw_http.Connection(front.port) as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + b"x" * 500 +
                            b"\r\n1f5\r\n" + b"x" * 501 + b"\r\n0\r\n\r\n")
            assert connection.read_response().status == 413


def test_slow_clients_are_cut(front, upstream):
    upstream.answer(sink)
    cut = front.metrics().sum("valvechain_slow_clients_cut_total")
    with raw_http.Connection(front.port) as connection:  # a header that never ends
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
        assert connection.read_until_closed() == b""
    with raw_http.Connection(front.port) as connection:  # nothing at all
        assert connection.read_until_closed() == b""
    with raw_http.Connection(front.port) as connection:  # a body that stands still
        connection.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nx")
        got = connection.read_response()
        assert got.status == 408 and got.header("Content-Type") == "application/problem+json"
    wait_for(lambda: front.metrics().sum("valvechain_slow_clients_cut_total") >= cut + 3, 5, "three cuts counted")


def test_drain_finishes_what_is_in_flight(upstream):
    answer_now = threading.Event()

    def slow(_request, _connection):
        answer_now.wait(20)
        return OK

    upstream.answer(slow)
    front = Suite(processes=("api-front",), env={"UPSTREAM_URL": upstream.url, **ENV, "DRAIN_DELAY_MS": 300})
    with front:
        before = len(upstream.requests)
        idle = raw_http.Connection(front.port)
        busy = raw_http.Connection(front.port)
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        upstream.wait_for_requests(before + 1)
        front["api-front"].signal(15)
        front["api-front"].wait_event("drain.begin")
        assert front.get("/readyz").status == 503  # served still, and said not to be ready
        wait_for(lambda: not accepts(front.port), 10, "the port to be closed")
        answer_now.set()
        got = busy.read_response()
        assert got.body == b"ok" and got.header("Connection") == "close"
        assert idle.read_until_closed() == b""
        assert front["api-front"].child.wait(10) == 0


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}"], check=True, stderr=subprocess.DEVNULL)


def test_tls_and_its_reload(upstream, tmp_path):
    upstream.answer(sink)
    make_certificate(tmp_path, "one.example")
    env = {"UPSTREAM_URL": upstream.url, **ENV, "TLS_CERT": f"{tmp_path}/cert.pem", "TLS_KEY": f"{tmp_path}/key.pem"}
    suite = Suite(processes=("api-front",), env=env, config={})
    suite.wait_ready = lambda seconds=20: None  # /readyz is asked for without TLS there
    with suite as front:
        def ask(name, body=b""):
            context = ssl.create_default_context(cafile=f"{tmp_path}/cert.pem")
            with raw_http.Connection(front.port, tls=context, server_name=name) as connection:
                connection.send(b"PUT /t HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return connection.read_response()

        def reload(config):
            front.write_config({"parameters": config})
            before = len(front["api-front"].events("config.reloaded")) + len(front["api-front"].events("config.refused"))
            front["api-front"].signal(1)
            wait_for(lambda: len(front["api-front"].events("config.reloaded")) +
                     len(front["api-front"].events("config.refused")) > before, 10, "the reload")

        assert ask("one.example", b"x" * 200000).text == hashlib.sha256(b"x" * 200000).hexdigest()
        assert upstream.requests[-1].header("X-Forwarded-Proto") == "https"
        first = (tmp_path / "cert.pem").read_text()
        make_certificate(tmp_path, "two.example")
        second = (tmp_path / "cert.pem").read_text()
        reload({"SYSTEM_ALLOW": "nowhere"})  # refused: nothing of it is in force, the certificate neither
        (tmp_path / "cert.pem").write_text(first)  # what `ask` believes
        assert ask("one.example").status == 200
        (tmp_path / "cert.pem").write_text(second)
        reload({"SYSTEM_ALLOW": "loopback"})
        assert ask("two.example").status == 200


def test_the_access_log_has_one_line_a_request_and_no_secret(front, upstream):
    upstream.answer(OK)
    token = "eyJhbGciOiJub25lIn0.e30."
    got = front.get("/logged?key=hidden", headers=[("Authorization", f"Bearer {token}"), ("X-Request-Id", "log-1")])
    assert got.status == 200 and got.header("X-Request-Id") == "log-1"
    line = front["api-front"].wait_event("request", where=lambda e: e["request_id"] == "log-1")
    assert (line["path"], line["status"], line["source"], line["method"]) == ("/logged", 200, "upstream", "GET")
    assert len([e for e in front["api-front"].events("request") if e["request_id"] == "log-1"]) == 1
    assert token not in front["api-front"].text and "hidden" not in front["api-front"].text


def test_the_access_log_names_who_sent_what_was_refused(front):
    assert front.get("/a/../b").status == 400
    line = front["api-front"].wait_event("request", where=lambda e: e.get("code") == "target_dot_segment")
    assert line["client"] == "127.0.0.1"
