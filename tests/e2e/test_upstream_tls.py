"""HTTPS upstreams by libcurl: who is trusted, that bodies, cancelling and repetition are as over plain
HTTP (the very tests of plain HTTP, run once more), and HTTP/2 with a real nginx behind."""

import functools
import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading

import pytest

from support import raw_http
from support.certificates import Authority
from support.ports import reserve_port
from support.suite import Suite, binary, require_binaries
from support.upstream import OK, Upstream, response
from support.wait import wait_for

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import test_proxy_odd_upstreams as odd  # noqa: E402
import test_proxy_streaming as streaming  # noqa: E402

# The same cases with this module's `front` and `upstream`.
from test_proxy_odd_upstreams import (  # noqa: E402, F401
    test_an_answer_begun_early_takes_nothing_from_the_body,
    test_an_answer_complete_early_never_ends_the_cut_body,
    test_an_answer_that_ends_within_its_head_is_broken_not_late,
    test_bytes_on_a_kept_connection_are_no_answer_to_a_later_request,
    test_interim_answers_win_no_time_for_the_final_one,
    test_unasked_bytes_are_no_answer_to_a_get,
)
from test_proxy_streaming import (  # noqa: E402, F401
    test_a_client_that_reads_slowly_stops_the_upstream,
    test_a_farewell_ends_when_the_client_falls_silent,
    test_a_kept_connection_that_was_reset_costs_no_request,
    test_a_stale_kept_connection_costs_no_request,
    test_an_answer_cut_by_the_upstream_is_cut_for_the_client,
    test_an_early_answer_states_the_length_it_has,
    test_an_early_answer_stops_the_body,
    test_an_upstream_that_reads_slowly_stops_the_client,
    test_answer_body_of_2_gib as test_answer_body_of_200_mib,
    test_chunked_request_body_is_binary_exact,
    test_client_gone_cancels_the_call,
    test_expect_100_continue,
    test_request_body_of_2_gib as test_request_body_of_200_mib,
)

QUIET = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000000}
MIB = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    require_binaries(("api-front",))
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(authority):
    return authority.server(authority.issue("127.0.0.1"))


@pytest.fixture(scope="module")
def upstream(tls):
    with Upstream(read_body=False, tls=tls) as server:
        yield server


@pytest.fixture(scope="module")
def front(upstream, authority):
    with Suite(processes=("api-front",), **upstream.reach(authority.ca_file, streaming.ENV)) as suite:
        yield suite


@pytest.fixture(autouse=True)
def cases_of_plain_http(monkeypatch, authority, tls):
    """Their bodies are smaller here (TLS and a client in one Python: slow), their own upstreams and
    suites HTTPS."""
    def start(url, **env):
        model = {"upstreams": [{"name": "app", "url": url, "tls": {"ca_file": authority.ca_file}}],
                 "routes": [{"path": "/", "upstream": "app"}]}
        return Suite(processes=("api-front",), config=model,
                     env={**QUIET, "BODY_DISCARD_BYTES": 100000, **env})

    monkeypatch.setattr(streaming, "BIG", int(os.environ.get("STREAM_BYTES", 200 * MIB)))
    monkeypatch.setattr(streaming, "HELD", 80 * MIB)
    monkeypatch.setattr(odd, "Upstream", functools.partial(Upstream, tls=tls))
    monkeypatch.setattr(odd, "start", start)


def start_with(upstream, ca_file=None, env=None, **fields):
    return Suite(processes=("api-front",), config=upstream.model(ca_file, **fields), env={**QUIET, **(env or {})})


def results(front, result):
    return front.metrics().sum("valvechain_upstream_calls_total", result=result)


# ---- trust ----------------------------------------------------------------------------------------


def untrusted_upstreams(authority, folder):
    os.makedirs(f"{folder}/other", exist_ok=True)
    other = Authority(f"{folder}/other", "Other")
    return {
        "another authority's": other.server(other.issue("127.0.0.1")),
        "another name": authority.server(authority.issue("elsewhere.test")),
        "expired": authority.server(authority.issue("127.0.0.1", expired=True)),
    }


@pytest.mark.parametrize("case", ["another authority's", "another name", "expired"])
def test_a_certificate_that_is_not_trusted_is_502_and_a_failure(authority, tmp_path, case):
    with Upstream(tls=untrusted_upstreams(authority, tmp_path)[case]) as upstream, start_with(
            upstream, authority.ca_file, breaker={"volume_threshold": 2}) as front:
        for _ in range(2):
            got = front.get("/a")
            assert (got.status, got.json()["code"]) == (502, "upstream_tls_failed")
        assert results(front, "tls_failed") == 2
        assert upstream.requests == [], "nothing was sent to it"
        assert "certificate" in front["api-front"].wait_event("upstream.tls")["reason"]
        assert front.get("/a").json()["code"] == "circuit_open"


def test_the_machine_s_authorities_are_not_asked_beside_a_ca_file_nor_without(authority, upstream):
    with start_with(upstream) as front:  # the machine knows nothing of ours
        assert front.get("/a").json()["code"] == "upstream_tls_failed"


def test_tls_1_1_is_too_old(authority):
    context = authority.server(authority.issue("127.0.0.1"))
    context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Upstream(tls=context) as upstream, start_with(upstream, authority.ca_file) as front:
        assert front.get("/a").json()["code"] == "upstream_tls_failed"


def test_the_server_name_is_asked_for_and_looked_for(authority):
    names = []
    context = authority.server(authority.issue("inner.test"))
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    with Upstream(tls=context) as upstream:
        tls = {"ca_file": authority.ca_file, "server_name": "inner.test"}
        with Suite(processes=("api-front",), config=upstream.model(tls=tls), env=QUIET) as front:
            assert front.get("/a", [("Host", "outer.test")]).body == b"ok"
        assert names == ["inner.test"]
        assert upstream.requests[-1].header("Host") == "outer.test"


def test_a_host_name_is_asked_for_and_its_port_left_out_of_host(authority):
    names = []
    context = authority.server(authority.issue("localhost"))
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    with Upstream(tls=context) as upstream, start_with(
            upstream, authority.ca_file, url=f"https://localhost:{upstream.port}/base") as front:
        wait_for(lambda: front.get("/a").status == 200, 10, "the name to resolve")
        assert names[-1] == "localhost"
        assert upstream.requests[-1].target == b"/base/a"
        with raw_http.Connection(front.port) as connection:
            connection.send(b"GET /b HTTP/1.0\r\n\r\n")
            assert connection.read_until_closed().endswith(b"ok")
        assert upstream.requests[-1].header("Host") == f"localhost:{upstream.port}"


def test_a_client_certificate(authority):
    context = authority.server(authority.issue("127.0.0.1"), asks_clients=True)
    own = authority.issue("gateway")
    with Upstream(tls=context) as upstream:
        with start_with(upstream, authority.ca_file) as front:
            # With TLS 1.3 the refusal comes after the handshake, and a reset may overtake it.
            codes = {front.request(method, "/a", body=b"x").json()["code"] for method in ("GET", "POST") for _ in range(10)}
            assert "upstream_tls_failed" in codes and codes <= {"upstream_tls_failed", "upstream_bad_answer"}
            assert upstream.requests == []
        tls = {"ca_file": authority.ca_file, "certificate": own.certificate, "key": own.key}
        with Suite(processes=("api-front",), config=upstream.model(tls=tls), env=QUIET) as front:
            assert front.get("/a").body == b"ok"


def test_files_are_read_anew_by_a_reload(authority, tmp_path):
    context = authority.server(authority.issue("127.0.0.1"), asks_clients=True)
    serials = []

    def note(_request, connection):
        serials.append(int(connection.sock.getpeercert()["serialNumber"], 16))
        return OK

    with Upstream(tls=context) as upstream:
        upstream.answer(note)
        own = authority.issue("gateway")
        tls = {"ca_file": authority.ca_file, "certificate": own.certificate, "key": own.key}
        with Suite(processes=("api-front",), config=upstream.model(tls=tls), env=QUIET) as front:
            assert front.get("/a").status == front.get("/a").status == 200
            assert upstream.connections == 1
            authority.issue("gateway", into=own)
            front["api-front"].signal(1)
            front["api-front"].wait_event("config.reloaded")
            assert front.get("/a").status == 200
            assert serials[0] == serials[1] != serials[2]


# ---- configuration ----------------------------------------------------------------------------------


def check(tmp_path, upstream, command=("api-front", "--check")):
    path = tmp_path / "valvechain.json"
    path.write_text(json.dumps({"upstreams": [{"name": "app", **upstream}], "routes": [{"path": "/", "upstream": "app"}]}))
    done = subprocess.run([binary(command[0]), *command[1:]], env={"CONFIG_FILE": str(path), "PATH": os.environ["PATH"]},
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def checks_of(tmp_path):
    return (("api-front", "--check"), ("breaker", "--check"),
            ("valvectl", "config", "check", str(tmp_path / "valvechain.json")))


def test_check_looks_at_the_files(authority, tmp_path):
    one, two = authority.issue("a"), authority.issue("b")
    (tmp_path / "text").write_text("no PEM")
    url = "https://a.test"
    good = {"ca_file": authority.ca_file, "certificate": one.certificate, "key": one.key}
    assert check(tmp_path, {"url": url, "tls": good})[0] == 0
    for tls, word in (
            ({**good, "key": two.key}, "does not belong to the key"),
            ({**good, "key": str(tmp_path / "none")}, "upstream 'app': tls.key"),
            ({**good, "certificate": str(tmp_path / "text")}, "upstream 'app': tls.certificate"),
            ({"ca_file": str(tmp_path / "none")}, "upstream 'app': tls.ca_file"),
            ({"ca_file": str(tmp_path / "text")}, "upstream 'app': tls.ca_file"),
            ({"certificate": one.certificate}, "allowed is both or none"),
    ):
        for command in checks_of(tmp_path):
            code, text = check(tmp_path, {"url": url, "tls": tls}, command)
            assert code != 0 and word in text, (command, text)
    probed = {"url": url, "probe": {"kind": "https", "ca_file": str(tmp_path / "text")}}
    for command in checks_of(tmp_path):
        assert check(tmp_path, {"url": url, "tls": good}, command)[0] == 0, command
        code, text = check(tmp_path, probed, command)
        assert code != 0 and "upstream 'app': probe.ca_file" in text, (command, text)
    for upstream, word in (
            ({"url": "http://a", "tls": good}, "allowed with https://"),
            ({"url": url, "http2": "prior-knowledge"}, "is for plain HTTP"),
            ({"urls": [url, "http://a"]}, "another scheme"),
    ):
        code, text = check(tmp_path, upstream)
        assert code != 0 and word in text, text


def test_a_variable_takes_https(authority, upstream):
    """The file says whom to trust, the environment where it is."""
    upstream.answer(OK)
    with Suite(processes=("api-front",), config=upstream.model(authority.ca_file, url="https://127.0.0.2:1"),
               env={**QUIET, "UPSTREAM_URL": upstream.url}) as front:
        assert front.get("/a").body == b"ok"


# ---- calls ------------------------------------------------------------------------------------------


def test_connections_are_kept_counted_and_given_up(authority, tls):
    with Upstream(tls=tls) as upstream, start_with(
            upstream, authority.ca_file, keepalive_connections=2, keepalive_idle_ms=300) as front:
        barrier = threading.Barrier(6)

        def together(_request, _connection):
            barrier.wait(10)
            return OK

        upstream.on("/together", together)
        clients = [raw_http.Connection(front.port) for _ in range(6)]
        for client in clients:
            client.send(b"GET /together HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [client.read_response().status for client in clients] == [200] * 6
        for client in clients:
            client.close()
        wait_for(lambda: len(upstream.raw_connections) == 2, 10, "what is not kept to be closed")
        made = upstream.connections
        for _ in range(10):
            assert front.get("/a").status == 200
        assert upstream.connections == made
        wait_for(lambda: not upstream.raw_connections, 10, "idle connections to be given up")
        wait_for(lambda: front.metrics().sum("valvechain_upstream_connections") == 0, 10, "them to be uncounted")
        assert front.get("/a").status == 200


def test_a_full_pool_and_timeouts(authority, tls):
    release = threading.Event()

    def slow(_request, _connection):
        release.wait(20)
        return OK

    def stuck(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        release.wait(20)

    with Upstream(tls=tls) as upstream, start_with(
            upstream, authority.ca_file, env={"CB_TIMEOUT": 400}, max_connections=1, idle_timeout_ms=300) as front:
        upstream.on("/slow", slow)
        upstream.on("/stuck", stuck)
        with raw_http.Connection(front.port) as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            upstream.wait_for_requests(1)
            assert front.get("/a").json()["code"] == "at_capacity"
            assert client.read_response().json()["code"] == "upstream_timeout"
        assert results(front, "first_byte_timeout") == 1
        with pytest.raises(raw_http.Incomplete):
            front.get("/stuck")
        assert results(front, "idle_timeout") == 1
        release.set()


def test_a_post_is_never_sent_twice(authority, tls):
    """The connection breaks when the request is there: libcurl would send it once more by itself."""
    def drop(request, connection):
        if request.target.startswith(b"/drop") and connection.number in dropped:
            connection.reset()
        dropped.add(connection.number)
        return OK

    dropped = set()
    with Upstream(tls=tls) as upstream, start_with(upstream, authority.ca_file) as front:
        upstream.answer(drop)
        for method, body, status in (("POST", b"x" * 100, 502), ("POST", b"", 502), ("PATCH", b"x", 502),
                                     ("GET", None, 200), ("PUT", b"x" * 3000, 200)):
            assert front.get("/warm").status == 200
            before = len(upstream.requests)
            got = front.request(method, "/drop", body=body)
            assert got.status == status, (method, got.text)
            arrived = [request.method for request in upstream.requests[before:]]
            assert arrived == [method.encode()] * (1 if status == 502 else 2)


def test_nothing_of_the_environment_s_or_of_libcurl_s(authority, tls):
    odd_answer = response(302, "Found", [("Location", "/else"), ("Content-Encoding", "gzip"), ("Set-Cookie", "a=1")], b"no gzip")
    with Upstream(tls=tls) as upstream, start_with(
            upstream, authority.ca_file, env={"https_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}) as front:
        upstream.answer(odd_answer)
        got = front.get("/a")
        assert (got.status, got.body, got.header("Content-Encoding")) == (302, b"no gzip", "gzip")
        front.request("POST", "/a", body=b"x")
        for seen in upstream.requests:
            for name in ("User-Agent", "Accept", "Accept-Encoding", "Cookie", "Expect", "Content-Type"):
                assert seen.header(name) is None, name
        front.get("/a", [("X-Empty", ""), ("Accept", "text/x"), ("X-Two", "1"), ("X-Two", "2")])
        seen = upstream.requests[-1]
        assert (seen.header("X-Empty"), seen.header("Accept"), seen.all("X-Two")) == ("", "text/x", ["1", "2"])


def test_a_dead_endpoint_costs_no_request(authority, tls):
    with Upstream(tls=tls) as upstream:
        model = upstream.model(authority.ca_file)
        model["upstreams"][0]["urls"] = [f"https://127.0.0.1:{reserve_port()}", model["upstreams"][0].pop("url")]
        with Suite(processes=("api-front",), config=model, env=QUIET) as front:
            assert [front.request("POST", "/a", body=b"x").status for _ in range(12)] == [200] * 12


def test_the_outbox_delivers_over_https(authority, tls):
    port = reserve_port()
    model = {"upstreams": [{"name": "mail", "url": f"https://127.0.0.1:{port}", "tls": {"ca_file": authority.ca_file}}],
             "routes": [{"path": "/", "upstream": "mail", "fallbacks": [{"kind": "queue"}]}]}
    with Suite(processes=("api-front", "breaker"), config=model, env={**QUIET, "OUTBOX_BACKOFF": 50,
                                                                      "OUTBOX_BACKOFF_MAX": 200}) as suite:
        got = suite.request("POST", "/send", [("Idempotency-Key", '"k1"')], b"hello")
        assert got.status == 202, got
        where = got.header("Location")
        with Upstream(port=port, tls=tls) as upstream:
            wait_for(lambda: suite.get(where).json()["state"] == "done", 20, "the delivery")
            assert [(request.target, request.body) for request in upstream.requests] == [(b"/send", b"hello")]


# ---- HTTP/2 -----------------------------------------------------------------------------------------

NGINX = """
user root; daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
events {{ }}
http {{
    access_log {dir}/access.log combined;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s; client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        location / {{ root {dir}; add_header X-Protocol $server_protocol; add_header X-Two 1; add_header X-Two 2; }}
        location /echo {{ proxy_pass http://127.0.0.1:{back}; proxy_request_buffering off; proxy_buffering off; proxy_set_header Host $host; }}
    }}
    server {{ listen 127.0.0.1:{plain} http2; location / {{ root {dir}; add_header X-Protocol $server_protocol; }} }}
}}
"""


@pytest.fixture(scope="module")
def nginx(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    os.chmod(folder, 0o755)
    pair = authority.issue("127.0.0.1")
    (folder / "small").write_bytes(b"small")
    with open(folder / "big", "wb") as file:
        for _ in range(200):
            file.write(os.urandom(MIB))
    with Upstream(read_body=False) as back:
        ports = {"port": reserve_port(), "plain": reserve_port(), "back": back.port}
        (folder / "conf").write_text(NGINX.format(dir=folder, certificate=pair.certificate, key=pair.key, **ports))
        with subprocess.Popen(["/usr/sbin/nginx", "-c", str(folder / "conf"), "-e", str(folder / "error.log")]) as process:
            try:
                def answers():
                    try:
                        raw_http.Connection(ports["port"]).close()
                        return True
                    except OSError:
                        return False

                wait_for(answers, 20, "nginx")
                process.back, process.folder = back, folder
                process.url, process.plain = f"https://127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['plain']}"
                yield process
            finally:
                process.terminate()


def behind(nginx, authority, url=None, **fields):
    upstream = {"name": "app", "url": url or nginx.url, **fields}
    if not url:
        upstream["tls"] = {"ca_file": authority.ca_file}
    return Suite(processes=("api-front",), config={"upstreams": [upstream], "routes": [{"path": "/", "upstream": "app"}]},
                 env=streaming.ENV)


@pytest.mark.parametrize("http2, protocol", [("auto", "HTTP/2.0"), ("off", "HTTP/1.1")])
def test_http2_where_both_want_it(nginx, authority, http2, protocol):
    with behind(nginx, authority, http2=http2) as front:
        for _ in range(3):
            got = front.get("/small")
            assert (got.status, got.body, got.header("X-Protocol")) == (200, b"small", protocol)
            assert got.all("X-Two") == ["1", "2"]
        assert front.request("HEAD", "/small").header("Content-Length") == "5"
        assert front.get("/none").status == 404
        got = front.get("/small", [("If-None-Match", got.header("ETag"))])
        assert (got.status, got.body) == (304, b"")


def test_http2_without_tls_when_asked_for(nginx, authority):
    with behind(nginx, authority, nginx.plain, http2="prior-knowledge") as front:
        assert front.get("/small").header("X-Protocol") == "HTTP/2.0"


def test_plain_http_behind_https_is_no_answer(nginx, authority):
    with behind(nginx, authority, nginx.plain.replace("http:", "https:")) as front:
        assert front.get("/small").json()["code"] == "upstream_tls_failed"


def test_http2_large_bodies_both_ways(nginx, authority):
    with behind(nginx, authority) as front:
        url, big, got = f"http://127.0.0.1:{front.port}", f"{nginx.folder}/big", f"{nginx.folder}/got"
        subprocess.run(["curl", "-sSf", "-m", "120", "-o", got, f"{url}/big"], check=True)
        subprocess.run(["cmp", got, big], check=True)
        nginx.back.answer(streaming.sink)
        digest = subprocess.run(["curl", "-sSf", "-m", "120", "-T", big, f"{url}/echo"], check=True, capture_output=True)
        with open(big, "rb") as file:
            assert digest.stdout.decode() == hashlib.file_digest(file, "sha256").hexdigest()
        streaming.rss_is_small(front)


def test_http2_a_slow_client_holds_up_nobody_else(nginx, authority):
    with behind(nginx, authority) as front:
        with raw_http.Connection(front.port) as slow:
            slow.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            assert slow.sock.recv(1000)
            for _ in range(50):
                assert front.get("/small", timeout=5).status == 200
        streaming.rss_is_small(front)
