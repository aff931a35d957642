"""Upstreams that answer at odd moments or in odd ways, and shortages of the gateway itself: api-front
alone in front of a scripted upstream."""

import pytest

from support import raw_http
from support.suite import Suite, require_binaries
from support.upstream import Upstream
from support.wait import wait_for

PIECE = bytes(range(256)) * 64
PIECES = 40  # 640 KiB: more than a ring and more than BODY_DISCARD_BYTES


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
