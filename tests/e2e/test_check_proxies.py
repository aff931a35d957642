"""The configurations of examples/ in front of an application: real nginx and HAProxy; for Traefik and
Envoy, which Debian has not, the requests that they send, by the addresses in their examples."""

import os
import re
import shutil
import subprocess

import pytest

from support import raw_http
from support.ports import reserve_port
from support.suite import ROOT
from support.wait import wait_for

EXAMPLES = os.path.join(ROOT, "examples")
FRONT = ("api-front",)


class Proxy:
    """nginx or HAProxy with an example's configuration; only ports and the places of files differ."""

    def __init__(self, folder, suite, app_port, tmp_path, command, patch, env=None):
        self.port = reserve_port()
        shutil.copytree(os.path.join(EXAMPLES, folder), tmp_path / folder)
        conf = next((tmp_path / folder).glob("*.c*"))
        text = conf.read_text()
        for example, ours in (("127.0.0.1:3000", f"127.0.0.1:{suite.port}"), ("8080", str(app_port)),
                              ("8000", str(self.port))):
            assert example in text or folder == "haproxy"
            text = text.replace(example, ours)
        conf.write_text(patch(text))
        self.log = open(tmp_path / "proxy.log", "wb")
        self.child = subprocess.Popen(command(conf), cwd=tmp_path / folder, stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})})
        wait_for(self.is_up, 10, f"{folder} to listen\n{(tmp_path / 'proxy.log').read_text()}")

    def is_up(self):
        assert self.child.poll() is None, "it did not start"
        try:
            raw_http.Connection(self.port).close()
            return True
        except OSError:
            return False

    def get(self, target, headers=(), **options):
        return raw_http.request(self.port, "GET", target, headers, **options)

    def stop(self):
        self.child.terminate()
        self.child.wait(10)
        self.log.close()


@pytest.fixture
def suite(make_suite):
    return make_suite(processes=FRONT, env={
        "TIER_FREE_MAX": 3, "AUTH_RATE_MAX": 1, "AUTH_PATHS": "/login", "GLOBAL_RATE_MAX": 1000})


def nginx(suite, upstream, tmp_path):
    def patch(text):
        places = " ".join(f"{name}_temp_path {tmp_path}/{name};"
                          for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return text.replace("http {", f"http {{ access_log off; {places}", 1)

    def command(conf):
        return ["/usr/sbin/nginx", "-c", conf, "-g",
                f"daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/error.log;"]

    return Proxy("nginx", suite, upstream.port, tmp_path, command, patch)


def haproxy(suite, upstream, tmp_path):
    return Proxy("haproxy", suite, upstream.port, tmp_path,
                 lambda conf: ["/usr/sbin/haproxy", "-db", "-f", conf], lambda text: text,
                 {"VALVECHAIN_CHECK": f"http://127.0.0.1:{suite.port}/api/check"})


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
def proxy(request, suite, upstream, tmp_path):
    running = request.param(suite, upstream, tmp_path)
    running.program = request.param.__name__
    yield running
    running.stop()


def test_a_caller_is_admitted_up_to_his_limit_and_told_when_to_come_back(proxy, suite, upstream):
    for left in (2, 1, 0):
        answer = proxy.get("/a?b=c")
        assert answer.status == 200 and answer.body == b"ok"
        assert f'"tier-free";r={left};' in answer.header("RateLimit")
        assert '"tier-free";q=3;w=900' in answer.header("RateLimit-Policy")
    refused = proxy.get("/a")
    assert refused.status == 429
    assert 1 <= int(refused.header("Retry-After")) <= 900
    assert '"tier-free";r=0;' in refused.header("RateLimit")
    assert "no-store" in refused.header("Cache-Control")
    assert len(upstream.requests) == 3
    assert upstream.requests[0].target == b"/a?b=c"
    assert suite.metrics().sum("valvechain_checks_total", result="denied") == 1


def test_the_limits_of_the_original_path_and_method_count(proxy, upstream):
    login = raw_http.request(proxy.port, "POST", "//login/x", body=b"user=a")
    assert login.status == 200 and upstream.requests[-1].body == b"user=a"
    assert proxy.get("/login").status == 429
    assert proxy.get("/logins").status == 200


def test_clients_cannot_speak_for_themselves(proxy):
    told = {"X-Forwarded-For": "203.0.113.9", "X-Original-URI": "/free", "X-Forwarded-Uri": "/free",
            "X-API-Tier": "enterprise", "Forwarded": "for=203.0.113.9"}
    assert [proxy.get("/login", told).status for _ in range(2)] == [200, 429]
    assert [proxy.get("/a", told).status for _ in range(3)] == [200, 200, 429]


def test_a_path_that_can_be_read_in_two_ways_is_refused_as_what_it_is(proxy, upstream):
    assert proxy.get("/a%2Fb").status == 400
    assert upstream.requests == []


def test_without_valvechain_requests_are_admitted(proxy, suite):
    suite["api-front"].terminate()
    for _ in range(5):
        assert proxy.get("/a").status == 200


def test_an_applications_own_403_passes(proxy, upstream):
    upstream.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    answer = proxy.get("/a")
    assert (answer.status, answer.body) == (403, b"no")


def example(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        return file.read()


def test_what_traefik_sends(suite):
    path = re.search(r'address: "http://127.0.0.1:3000(/\S*)"', example("traefik/dynamic.yaml")).group(1)

    def ask(method, uri, client):
        return suite.get(path, {
            "Host": "127.0.0.1:3000", "User-Agent": "Go-http-client/1.1", "X-Forwarded-Method": method,
            "X-Forwarded-Proto": "http", "X-Forwarded-Host": "app.example", "X-Forwarded-Uri": uri,
            "X-Forwarded-For": client, "Accept-Encoding": "gzip"})

    assert ask("POST", "/login?next=/", "192.0.2.1").status == 200
    refused = ask("POST", "/login", "192.0.2.1")
    assert refused.status == 429 and refused.header("Retry-After")
    assert refused.json()["violated-policies"] == ["auth"]
    assert ask("POST", "/login", "192.0.2.2").status == 200


def test_what_envoy_sends(suite):
    prefix = re.search(r"path_prefix: (\S+)", example("envoy/envoy.yaml")).group(1)

    def ask(method, path, client):
        return suite.request(method, prefix + path, {
            "Host": "app.example", "Content-Length": "0", "X-Envoy-Internal": "true",
            "X-Forwarded-For": f"{client},127.0.0.1", "X-Envoy-Expected-Rq-Timeout-Ms": "500"})

    assert ask("POST", "/login?deny=403&cost=0", "192.0.2.1").status == 200
    refused = ask("PUT", "/login?deny=403&cost=0", "192.0.2.1")
    assert refused.status == 429, "the query is the client's and no option"
    assert refused.json()["violated-policies"] == ["auth"]
    assert ask("DELETE", "/login", "192.0.2.2").status == 200
    assert ask("GET", "/", "192.0.2.3").status == 200
