"""Kinds of upstreams and what happens at their edges: addresses, failover, full pools, reload, limits
of connections, the admin port, sockets handed over by a service manager."""

import os
import socket
import subprocess
import threading

import pytest

from support import raw_http
from support.ports import reserve_port
from support.suite import Suite, binary, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

QUIET = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000}


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


def start(url=None, config=None, **env):
    settings = {**QUIET, **env}
    if url:
        settings["UPSTREAM_URL"] = url
    return Suite(processes=("api-front",), env=settings, config=config)


def model(*endpoints, **upstream):
    return {
        "upstreams": [{"name": "app", "urls": list(endpoints), **upstream}],
        "routes": [{"path": "/", "upstream": "app"}],
    }


def test_unix_socket(tmp_path):
    with Upstream(unix_path=f"{tmp_path}/up.sock") as upstream, start(upstream.url) as front:
        assert front.get("/a").body == b"ok"
        assert upstream.requests[-1].target == b"/a"


def test_http_1_0_without_a_host_gets_the_endpoint_s():
    with Upstream() as upstream, start(upstream.url) as front:
        with raw_http.Connection(front.port) as connection:
            connection.send(b"GET /a HTTP/1.0\r\n\r\n")
            assert connection.read_until_closed().endswith(b"\r\n\r\nok")
        assert upstream.requests[-1].header("Host") == f"127.0.0.1:{upstream.port}"
        assert upstream.requests[-1].target == b"/a"


def test_ipv6():
    with Upstream(host="::1") as upstream, start(upstream.url) as front:
        assert front.get("/a").body == b"ok"


def test_a_name_with_several_addresses():
    # localhost is ::1 and 127.0.0.1 here; only one of them answers.
    with Upstream() as upstream, start(f"http://localhost:{upstream.port}") as front:
        wait_for(lambda: front.get("/a").status == 200, 10, "the name to resolve")
        for _ in range(10):
            assert front.request("POST", "/a", [("Content-Length", "2")], b"hi").status == 200


def test_a_name_that_does_not_resolve_is_502():
    with start("http://no-such-host.invalid:80") as front:
        got = front.get("/a")
        assert got.status == 502 and got.header("Content-Type") == "application/problem+json"
        assert "invalid" not in got.text


def test_a_dead_endpoint_costs_no_request():
    dead = reserve_port()
    with Upstream() as upstream, start(config=model(f"http://127.0.0.1:{dead}", upstream.url)) as front:
        for number in range(20):
            assert front.request("POST", f"/{number}", [("Content-Length", "2")], b"hi").status == 200
        assert len(upstream.requests) == 20


def test_nobody_there_is_502():
    with start(f"http://127.0.0.1:{reserve_port()}") as front:
        assert front.get("/a").status == 502


def test_a_full_pool_is_503_and_recovers():
    release = threading.Event()

    def hold(_request, _connection):
        release.wait(20)
        return OK

    with Upstream() as upstream, start(config=model(upstream.url, max_connections=2)) as front:
        upstream.answer(hold)
        held = [raw_http.Connection(front.port) for _ in range(2)]
        for connection in held:
            connection.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        upstream.wait_for_requests(2)
        got = front.get("/refused")
        assert got.status == 503 and got.header("Retry-After")
        release.set()
        for connection in held:
            assert connection.read_response().status == 200
        assert front.get("/again").status == 200


def test_connections_are_kept_and_given_up_when_idle():
    with Upstream() as upstream, start(config=model(upstream.url, keepalive_idle_ms=300)) as front:
        for _ in range(10):
            assert front.get("/a").status == 200
        assert upstream.connections == 1
        wait_for(lambda: not upstream.raw_connections, 5, "the idle connection to be closed")
        assert front.get("/a").status == 200


def test_idle_and_total_timeouts():
    def half(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000)
        closed.append(connection.is_closed_by_peer(20))

    def never(_request, connection):
        closed.append(connection.is_closed_by_peer(20))

    closed = []
    with Upstream() as upstream, start(config=model(upstream.url, idle_timeout_ms=300, total_timeout_ms=2000,
                                                    first_byte_timeout_ms=60000)) as front:
        upstream.answer(never)
        assert front.get("/total", timeout=10).status == 504
        upstream.answer(half)
        with raw_http.Connection(front.port) as connection:  # begun already: cut, not completed
            connection.send(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
            data = b""
            try:
                while piece := connection.sock.recv(65536):
                    data += piece
            except ConnectionResetError:
                pass
            assert b"200 OK" in data and len(data) < 150000
        wait_for(lambda: len(closed) == 2, 25, "the end of both calls")
        assert closed == [True, True]


def test_a_reload_leaves_requests_in_flight_alone():
    release = threading.Event()

    def hold(_request, _connection):
        release.wait(20)
        return response(body=b"old")

    with Upstream() as old, Upstream() as new:
        new.answer(response(body=b"new"))
        old.answer(hold)
        with start(config=model(old.url)) as front, raw_http.Connection(front.port) as connection:
            connection.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            old.wait_for_requests(1)
            front.write_config(model(new.url))
            front["api-front"].signal(1)
            front["api-front"].wait_event("config.reloaded")
            assert front.get("/a").body == b"new"
            release.set()
            assert connection.read_response().body == b"old"


def test_limits_of_connections():
    with Upstream() as upstream, start(upstream.url, TRUSTED_PROXIES="none", MAX_CONNECTIONS_PER_ADDRESS=3) as front:
        # The probe for readiness may still be closing: each place is taken when an answer came.
        held = []

        def take():
            connection = raw_http.Connection(front.port)
            try:
                connection.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.read_response().status == 200
                held.append(connection)
            except (raw_http.Incomplete, OSError):
                connection.close()
                return False
            return True

        wait_for(lambda: take() and len(held) == 3, 10, "three connections")
        with raw_http.Connection(front.port) as refused:
            assert refused.read_until_closed() == b""
        with raw_http.Connection(front.port, source="127.0.0.9") as other:
            other.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            assert other.read_response().status == 200
        for connection in held:
            connection.close()
        wait_for(take, 10, "a place to be free again")


def test_the_admin_port_takes_the_system_endpoints():
    port = reserve_port()
    with Upstream() as upstream:
        suite = start(upstream.url, ADMIN_PORT=port)
        suite.wait_ready = lambda seconds=20: None
        with suite as front:
            assert raw_http.request(port, "GET", "/readyz").status == 200
            assert raw_http.request(port, "GET", "/metrics").status == 200
            assert front.get("/metrics").body == b"ok"  # the upstream's now
            assert raw_http.request(port, "GET", "/a").status == 404


def test_a_socket_from_the_service_manager():
    """LISTEN_FDS: the socket is there before the process and after it; nothing in its queue is lost."""
    with Upstream() as upstream, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        suite = start(upstream.url)
        environment = {**os.environ, **{k: str(v) for k, v in suite.environment().items()}, "LISTEN_FDS": "1",
                       "PORT": str(reserve_port())}
        early = raw_http.Connection(port)  # waits in the queue
        early.send(b"GET /early HTTP/1.1\r\nHost: a\r\n\r\n")

        def hand_over():
            os.dup2(listener.fileno(), 3)
            os.environ["LISTEN_PID"] = str(os.getpid())

        child = subprocess.Popen(["/bin/sh", "-c", f'LISTEN_PID=$$ exec "{binary("api-front")}"'], env=environment,
                                 pass_fds=(3,), preexec_fn=hand_over, stdout=subprocess.DEVNULL)
        try:
            assert early.read_response().status == 200
            child.terminate()
            assert child.wait(20) == 0
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            suite.stop()
