"""Active probes of upstreams' endpoints: every kind against a real server, thresholds, who is left out, and
what becomes of it when the breaker process is gone."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager

import pytest

from support.certificates import Authority
from support.ports import reserve_port
from support.redis import HAVE_REDIS, Redis
from support.suite import Suite, binary, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

QUIET = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000}
FAST = {"interval_ms": 100, "timeout_ms": 2000, "healthy": 2, "unhealthy": 3}


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front", "breaker", "valvectl"))


def model(*urls, **probe):
    return {"upstreams": [{"name": "app", "urls": list(urls), "probe": {**FAST, **probe}}],
            "routes": [{"path": "/", "upstream": "app"}]}


def start(*urls, **probe):
    return Suite(processes=("breaker", "api-front"), env=QUIET, config=model(*urls, **probe))


def endpoints(suite):
    env = {**os.environ, **{name: str(value) for name, value in suite.environment().items()}}
    shown = subprocess.run([binary("valvectl"), "endpoints", "--json"], capture_output=True, text=True,
                           timeout=30, check=True, env=env)
    return {entry["endpoint"]: entry for entry in json.loads(shown.stdout)}


def wait_state(suite, url, state, seconds=20):
    wait_for(lambda: endpoints(suite)[url]["state"] == state, seconds, f"{url} to be {state}")
    return endpoints(suite)[url]


def check_of(suite, url):
    checks = {entry["name"]: entry for entry in json.loads(suite.get("/api/health").body)["checks"]}
    return checks[f"probe:app:{url}"]


def test_http_flips_by_its_thresholds_and_the_unhealthy_gets_no_calls():
    with Upstream() as one, Upstream() as two, start(one.url, two.url, kind="http", path="/up") as suite:
        wait_state(suite, one.url, "healthy")
        probe = [r for r in one.requests if r.target == b"/up"][-1]
        assert probe.header("User-Agent").startswith("valvechain-probe/")
        one.on("/up", response(503))
        entry = wait_state(suite, one.url, "unhealthy")
        assert entry["reason"] == "it answered 503" and entry["bad"] >= 3
        wait_for(lambda: suite.metrics().sum("valvechain_upstream_endpoints_unhealthy", upstream="app") == 1, 10,
                 "the gateway to know")
        before = sum(r.target == b"/x" for r in one.requests)
        assert [suite.get("/x").status for _ in range(30)] == [200] * 30
        assert sum(r.target == b"/x" for r in one.requests) == before
        check = check_of(suite, one.url)
        assert check["status"] == "degraded" and "it answered 503" in check["finding"]
        assert check_of(suite, two.url)["status"] == "healthy"
        metrics = suite.metrics()
        assert metrics.sum("valvechain_endpoint_probes_total", upstream="app", endpoint="0", result="bad") >= 3
        assert metrics.sum("valvechain_endpoint_healthy", upstream="app", endpoint="0") == 0
        assert metrics.sum("valvechain_endpoint_healthy", upstream="app", endpoint="1") == 1
        changes = [e["change"] for e in suite["breaker"].events("endpoint.changed") if e["endpoint"] == one.url]
        assert changes == ["healthy", "unhealthy"]
        one.on("/up", OK)
        wait_state(suite, one.url, "healthy")
        wait_for(lambda: suite.get("/y").status and any(r.target == b"/y" for r in one.requests), 10,
                 "calls to come back")


def test_when_all_are_unhealthy_all_are_used():
    with Upstream() as one, Upstream() as two, start(one.url, two.url, kind="http", path="/up") as suite:
        for backend in (one, two):
            backend.on("/up", response(500))
        wait_state(suite, one.url, "unhealthy")
        wait_state(suite, two.url, "unhealthy")
        wait_for(lambda: suite.metrics().sum("valvechain_upstream_panic", upstream="app") == 1, 10, "panic")
        assert [suite.get("/x").status for _ in range(20)] == [200] * 20


def test_a_breaker_process_that_is_gone_is_believed_for_a_while_only():
    with Upstream() as one, Upstream() as two:
        with start(one.url, two.url, kind="http", path="/up", timeout_ms=200) as suite:
            one.on("/up", response(500))
            wait_state(suite, one.url, "unhealthy")
            suite["breaker"].kill()
            suite["breaker"].start()  # what was found stands across a restart
            assert endpoints(suite)[one.url]["state"] == "unhealthy"
            suite["breaker"].kill()
            wait_state(suite, one.url, "unknown")
            wait_for(lambda: suite.get("/y").status and any(r.target == b"/y" for r in one.requests), 10,
                     "calls to come back")
            assert "breaker" in check_of(suite, one.url)["finding"]
            suite["breaker"].start()


def test_http_by_a_unix_socket(tmp_path):
    with Upstream(unix_path=f"{tmp_path}/up.sock") as one, start(one.url, kind="http", path="/up") as suite:
        wait_state(suite, one.url, "healthy")


def test_tcp():
    port = reserve_port()
    url = f"http://127.0.0.1:{port}"
    with start(url, kind="tcp") as suite:
        assert "refused" in wait_state(suite, url, "unhealthy")["reason"]
        with Upstream(port=port):
            wait_state(suite, url, "healthy")
        wait_state(suite, url, "unhealthy")


def test_a_silent_server_takes_too_long():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with start(url, kind="redis", timeout_ms=100) as suite:
            assert wait_state(suite, url, "unhealthy")["reason"] == "it took too long"


@pytest.mark.skipif(not HAVE_REDIS, reason="redis-server is not installed (packages.txt: test)")
def test_redis():
    server = Redis(password="s3cret").start()
    url = f"http://127.0.0.1:{server.port}"
    try:
        with start(url, kind="redis", password="s3cret") as suite:
            wait_state(suite, url, "healthy")
        with start(url, kind="redis") as suite:
            assert "NOAUTH" in wait_state(suite, url, "unhealthy")["reason"]
    finally:
        server.stop()


def serve_smtp(listener, greeting):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb") as stream:
            stream.write(greeting[0])
            stream.flush()
            for line in stream:
                stream.write(b"250-sink\r\n250 HELP\r\n" if line.startswith(b"EHLO") else b"221 bye\r\n")
                stream.flush()
                seen.append(line)


seen = []


def test_smtp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        greeting = [b"220 sink\r\n"]
        threading.Thread(target=serve_smtp, args=(listener, greeting), daemon=True).start()
        url = f"http://127.0.0.1:{reserve_port()}"
        with start(url, kind="smtp", port=listener.getsockname()[1]) as suite:
            wait_state(suite, url, "healthy")
            wait_for(lambda: b"QUIT\r\n" in seen, 10, "a polite end")
            greeting[0] = b"554 not today\r\n"
            assert wait_state(suite, url, "unhealthy")["reason"] == "it said: 554 not today"
        listener.shutdown(socket.SHUT_RDWR)


def test_https_shows_the_certificate_of_the_upstream(tmp_path):
    authority, port = Authority(tmp_path), reserve_port()
    ours, theirs = authority.issue("gateway"), authority.issue("127.0.0.1")
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", theirs.certificate,
                               "-key", theirs.key, "-CAfile", str(authority.ca_file), "-Verify", "1",
                               "-verify_return_error", "-www", "-quiet"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"https://127.0.0.1:{port}"
    trust = {"ca_file": str(authority.ca_file)}
    try:
        for tls, state in (({**trust, "certificate": ours.certificate, "key": ours.key}, "healthy"),
                           (trust, "unhealthy")):
            config = model(url, kind="https")
            config["upstreams"][0]["tls"] = tls
            with Suite(processes=("breaker", "api-front"), env=QUIET, config=config) as suite:
                wait_state(suite, url, state)
    finally:
        server.kill()
        server.wait()


def test_https_against_openssl(tmp_path):
    cert, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", reserve_port()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", cert, "-key", key,
                               "-www", "-quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{reserve_port()}"
    try:
        with start(url, kind="https", port=port, ca_file=str(cert)) as suite:
            wait_state(suite, url, "healthy")
        with start(url, kind="https", port=port) as suite:  # nobody the machine knows has signed it
            assert "certificate" in wait_state(suite, url, "unhealthy")["reason"]
    finally:
        server.kill()
        server.wait()


POSTGRES = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
# As root its programs run as the package's user, who needs a /dev/null of the usual mode.
CAN_POSTGRES = bool(POSTGRES) and (os.geteuid() != 0 or os.stat("/dev/null").st_mode & 0o002)


@contextmanager
def postgres():
    """The port of a PostgreSQL of its own, and its process."""
    folder, port = tempfile.mkdtemp(prefix="vcpg-"), reserve_port()
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if who:
        shutil.chown(folder, "postgres", "postgres")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    data = os.path.join(folder, "data")
    subprocess.run([os.path.join(POSTGRES[-1], "initdb"), "-D", data, "-A", "trust", "--no-sync", "--locale=C"],
                   check=True, timeout=120, **quiet, **who)
    server = subprocess.Popen([os.path.join(POSTGRES[-1], "postgres"), "-D", data, "-k", folder, "-p", str(port), "-F",
                               "-h", "127.0.0.1"], **quiet, **who)
    try:
        yield port, server
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(not CAN_POSTGRES, reason="PostgreSQL cannot be started here (packages.txt: postgresql)")
def test_postgres():
    with postgres() as (port, server):
        url = f"http://127.0.0.1:{reserve_port()}"
        with start(url, kind="postgres", port=port) as suite:
            wait_state(suite, url, "healthy", 60)
            server.send_signal(signal.SIGINT)
            server.wait(60)
            assert wait_state(suite, url, "unhealthy", 60)["reason"] == "it did not answer"


def test_what_a_slow_ping_found_lasts_until_the_next():
    """libpq waits for two seconds at least, whatever timeout_ms says."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with start(url, kind="postgres", timeout_ms=100, unhealthy=1) as suite:
            found = wait_state(suite, url, "unhealthy")
            states = set()

            def next_is_there():
                entry = endpoints(suite)[url]
                states.add(entry["state"])
                return entry["bad"] > found["bad"]

            wait_for(next_is_there, 20, "another ping to give up")
            assert states == {"unhealthy"}


def test_servers_that_hang_keep_nobody_else_waiting():
    """PQping blocks a thread for seconds; names are looked up, and the outbox commits, in the same ones."""
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)]
        well = stack.enter_context(Upstream())
        hanging = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in silent]
        config = model(f"http://localhost:{well.port}", kind="tcp")
        config["upstreams"].append({"name": "hanging", "urls": hanging,
                                    "probe": {**FAST, "kind": "postgres"}})
        config["routes"].append({"path": "/hanging", "upstream": "hanging"})
        with Suite(processes=("breaker", "api-front"), env=QUIET, config=config) as suite:
            name = f"http://localhost:{well.port}"
            wait_for(lambda: sum(endpoints(suite)[url]["bad"] for url in hanging) >= 2, 30, "pings to give up")
            assert endpoints(suite)[name]["good"] >= 5


def test_what_is_found_of_many_that_hang_lasts():
    """More of them than libuv's threads, each of which holds one for two seconds."""
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(12)]
        hanging = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in silent]
        with start(*hanging, kind="postgres", timeout_ms=100, unhealthy=1) as suite:
            def all_have(n):
                entries = endpoints(suite).values()
                seen.update(entry["state"] for entry in entries)
                return all(entry["bad"] >= n for entry in entries)

            seen = set()
            wait_for(lambda: all_have(1), 30, "all to be found unhealthy")
            seen.clear()
            wait_for(lambda: all_have(4), 60, "three more rounds")
            assert seen == {"unhealthy"}


def test_a_reload_changes_what_is_probed():
    with Upstream() as one, Upstream() as two, start(one.url, kind="http", path="/up") as suite:
        wait_state(suite, one.url, "healthy")
        suite.write_config(model(two.url, kind="http", path="/up"))
        suite["breaker"].signal(signal.SIGHUP)
        suite["breaker"].wait_event("config.reloaded")
        wait_for(lambda: set(endpoints(suite)) == {two.url}, 10, "the other endpoint alone")
        wait_state(suite, two.url, "healthy")
