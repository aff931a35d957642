"""Routes with the real gateway: by host, with the prefix stripped or rewritten, and upstreams whose
name gets another address."""

import os
import subprocess

import pytest

from support.ports import reserve_port
from support.suite import Suite, require_binaries
from support.upstream import Upstream, response
from support.wait import wait_for


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


def start(config, **options):
    return Suite(processes=("api-front",), config=config, env={"ADVANCED_RATE_LIMITING": "false"}, **options)


def seen(front, upstream, target, headers=()):
    """The target that the upstream got."""
    assert front.get(target, headers).status == 200
    return upstream.requests[-1].target.decode()


def test_a_host_chooses_its_upstream():
    with Upstream() as one, Upstream() as two:
        one.answer(response(body=b"one"))
        two.answer(response(body=b"two"))
        config = {"upstreams": [{"name": "one", "url": one.url}, {"name": "two", "url": two.url}],
                  "routes": [{"path": "/a", "host": "one.example", "upstream": "one"},
                             {"path": "/a", "upstream": "two"}]}
        with start(config) as front:
            for host, body in (("one.example", b"one"), ("ONE.example:8080", b"one"), ("other.example", b"two"),
                               ("one.example.org", b"two"), ("xone.example", b"two")):
                assert front.get("/a/x", [("Host", host)]).body == body, host
            assert front.get("/b", [("Host", "one.example")]).status == 404
            assert one.requests[-1].header("Host") == "ONE.example:8080"


def test_prefixes_are_kept_stripped_and_rewritten():
    with Upstream() as upstream:
        config = {"upstreams": [{"name": "app", "url": upstream.url}],
                  "routes": [{"path": "/kept", "upstream": "app"},
                             {"path": "/stripped", "upstream": "app", "strip_path": True},
                             {"path": "/old/api", "upstream": "app", "rewrite": "/new"},
                             {"path": "/to-root", "upstream": "app", "rewrite": "/"}]}
        with start(config) as front:
            for target, got in (("/kept/a?b=c", "/kept/a?b=c"), ("/stripped/a/b?c=%20d", "/a/b?c=%20d"),
                                ("/stripped", "/"), ("/stripped/", "/"), ("/stripped?x", "/?x"),
                                ("/old/api/users/1?q", "/new/users/1?q"), ("/old/api", "/new"),
                                ("/to-root/a", "/a"), ("/to-root", "/")):
                assert seen(front, upstream, target) == got, target
            before = len(upstream.requests)
            for target in ("/strippedx/a", "/old/apix", "/old"):  # no segment boundary
                assert front.get(target).status == 404, target
            assert len(upstream.requests) == before


def test_a_name_that_gets_another_address_is_followed(tmp_path):
    """The gateway has a hosts file of its own, in a mount namespace."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.2 moving.example\n")
    inside = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"]), "sh", "-c",
              f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    tried = subprocess.run([*inside, "getent", "hosts", "moving.example"], capture_output=True, text=True, check=False)
    if "127.0.0.2" not in tried.stdout:
        pytest.skip(f"no mount namespace here: {tried.stderr.strip()}")
    port = reserve_port()
    with Upstream(host="127.0.0.2", port=port) as old, Upstream(host="127.0.0.3", port=port) as new:
        old.answer(response(body=b"old"))
        new.answer(response(body=b"new"))
        config = {"upstreams": [{"name": "app", "url": f"http://moving.example:{port}", "resolve_interval_ms": 200}],
                  "routes": [{"path": "/", "upstream": "app"}]}
        front = start(config)
        front["api-front"].wrapper = inside
        with front:
            wait_for(lambda: front.get("/a").status == 200, 10, "the first address")
            assert front.get("/a").body == b"old"
            hosts.write_text("127.0.0.3 moving.example\n")  # in place: the mount shows this very file
            wait_for(lambda: front.get("/a").body == b"new", 10, "the second address")
            old.stop()
            assert [front.get("/a").status for _ in range(10)] == [200] * 10
            hosts.write_text("")  # no answer: the last good address stays
            asked = len(new.requests)
            new.drop_connections()
            assert front.get("/a").body == b"new" and len(new.requests) == asked + 1
