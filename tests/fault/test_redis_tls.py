"""examples/redis-tls: one distributed limit over real stunnel to a real Redis that speaks TLS only."""

import os
import shutil
import socket
import ssl
import subprocess

import pytest

from support.ports import reserve_port
from support.redis import HAVE_REDIS, Redis
from support.suite import ROOT
from support.wait import wait_for

STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
pytestmark = pytest.mark.skipif(not HAVE_REDIS or not STUNNEL, reason="redis-server or stunnel4 is missing")
EXAMPLE = os.path.join(ROOT, "examples", "redis-tls", "stunnel.conf")


def openssl(*arguments, folder):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def issue(folder, name, host):
    """A key and a certificate of the CA in `folder`."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}", folder=folder)
    (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt", folder=folder)


@pytest.fixture
def keys(tmp_path):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=a CA of the tests",
            folder=tmp_path)
    issue(tmp_path, "redis", "redis.internal")
    issue(tmp_path, "other", "redis.elsewhere")
    issue(tmp_path, "client", "limiter")
    return tmp_path


class TlsRedis(Redis):
    """Speaks TLS only, to clients with a certificate of the CA only."""

    def __init__(self, keys, name):
        super().__init__()
        self.keys = keys
        self.options |= {"port": 0, "tls-port": self.port, "tls-ca-cert-file": keys / "ca.crt",
                         "tls-cert-file": keys / f"{name}.crt", "tls-key-file": keys / f"{name}.key"}

    def call(self, *words):
        context = ssl.create_default_context(cafile=self.keys / "ca.crt")
        context.check_hostname = False
        context.load_cert_chain(self.keys / "client.crt", self.keys / "client.key")
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain, \
                context.wrap_socket(plain) as wrapped, wrapped.makefile("rwb") as file:
            self._send(file, *words)
            return self._read(file)


class Tunnel:
    """stunnel with the example's file; only ports, the address and the places of files differ."""

    def __init__(self, keys, redis):
        with open(EXAMPLE, encoding="utf-8") as file:
            text = file.read()
        self.port = reserve_port()
        for example, ours in (("127.0.0.1:6380\nconnect", f"127.0.0.1:{self.port}\nconnect"),
                              ("connect = redis.internal:6379", f"connect = 127.0.0.1:{redis.port}"),
                              ("/etc/valvechain/redis-ca.crt", str(keys / "ca.crt")),
                              ("/etc/valvechain/redis-client.crt", str(keys / "client.crt")),
                              ("/etc/valvechain/redis-client.key", str(keys / "client.key"))):
            assert example in text
            text = text.replace(example, ours)
        (keys / "stunnel.conf").write_text(text)
        self.log = open(keys / "stunnel.log", "wb")
        self.child = subprocess.Popen([STUNNEL, keys / "stunnel.conf"], stdin=subprocess.DEVNULL,
                                      stdout=self.log, stderr=self.log, cwd=keys)
        wait_for(self.is_listening, 20, "stunnel to listen")

    def is_listening(self):
        assert self.child.poll() is None, "it did not start"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(10)
        self.log.close()


def suite_over(make_suite, tunnel):
    return make_suite(processes=("limiter", "api-front"), env={
        "REDIS_ENABLED": "true", "REDIS_PORT": tunnel.port, "TIER_FREE_MAX": 5, "GLOBAL_RATE_MAX": 1000,
        "LIMITS_ON_STORE_FAILURE": "closed"})


def is_up(suite):
    return suite.metrics().sum("valvechain_redis_up") == 1


def spend(suite, most):
    return sum(suite.get("/x").status == 404 for _ in range(most))


def answers_plainly(redis):
    try:
        with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as plain:
            plain.sendall(b"PING\r\n")
            return b"PONG" in plain.recv(100)
    except ConnectionError:
        return False


def test_a_limit_is_shared_through_the_tunnel(keys, make_suite):
    with TlsRedis(keys, "redis") as redis, Tunnel(keys, redis) as tunnel:
        one, other = suite_over(make_suite, tunnel), suite_over(make_suite, tunnel)
        for suite in (one, other):
            wait_for(lambda suite=suite: is_up(suite), 20, "Redis seen")
        assert spend(one, 3) == 3
        assert spend(other, 9) == 2
        assert not answers_plainly(redis)


def test_a_server_of_another_name_is_not_believed(keys, make_suite):
    with TlsRedis(keys, "other") as redis, Tunnel(keys, redis) as tunnel:
        suite = suite_over(make_suite, tunnel)
        wait_for(lambda: b"Subject checks failed" in (keys / "stunnel.log").read_bytes(), 20,
                 "the tunnel to refuse it")
        assert not is_up(suite)
        assert suite.get("/x").status == 503, "closed, as configured"
        assert "evalsha" not in redis.call("INFO", "commandstats")
