"""The fallback `queue`: kept by the breaker process, delivered later, told at /api/operations."""

import json
import os
import signal
import stat
import subprocess

import pytest

from support.upstream import OK, Upstream, response
from support.ports import reserve_port
from support.suite import binary
from support.wait import wait_for

PROCESSES = ("api-front", "breaker")


def config_of(url, **queue):
    return {"upstreams": [{"name": "mail", "url": url}],
            "routes": [{"path": "/mail", "upstream": "mail",
                        "fallbacks": [{"kind": "queue", **queue}, {"kind": "error"}]}]}


@pytest.fixture
def start(make_suite):
    def start(config, **env):
        env = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 2, "CB_RESET_TIMEOUT": 200,
               "CB_TIMEOUT": 1000, "OUTBOX_BACKOFF": 50, "OUTBOX_BACKOFF_MAX": 200,
               "OUTBOX_REPLAY_RATE": 1000, **env}
        return make_suite(processes=PROCESSES, env=env, config=config)

    return start


def valvectl(suite, *words):
    return subprocess.run([binary("valvectl"), *words], env=suite["breaker"].environment(),
                          capture_output=True, text=True, timeout=30, check=False)


def post(suite, body=b"hello", key="k1", target="/mail/send", headers=(), method="POST"):
    headers = list(headers) + ([("Idempotency-Key", f'"{key}"')] if key else [])
    return suite.request(method, target, headers, body)


def operation(suite, location, headers=()):
    return json.loads(suite.get(location, headers).body)


def wait_state(suite, location, state, seconds=10):
    wait_for(lambda: operation(suite, location)["state"] == state, seconds,
             f"{location} to be {state}")
    return operation(suite, location)


def test_kept_while_away_and_delivered_once_it_is_back(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}"))
    answer = post(suite, b'{"to":"a@b"}', headers=[("Content-Type", "application/json"),
                                                  ("Authorization", "Bearer secret")])
    assert answer.status == 202, answer
    assert answer.header("Valvechain-Fallback") == "queue"
    location = answer.header("Location")
    assert location == "/api/operations/" + answer.json()["id"]
    database = suite["breaker"].suite.dir + "/outbox.db"
    assert stat.S_IMODE(os.stat(database).st_mode) == 0o600
    assert suite.get(location).status == 404, "it is another caller's"
    mine = [("Authorization", "Bearer secret")]
    assert operation(suite, location, mine)["state"] == "queued"
    with Upstream(port=port, answer=response(201, "Created", [("Content-Type", "text/plain")], b"done")) as upstream:
        wait_for(lambda: operation(suite, location, mine)["state"] == "done", 10, "delivery")
        got = upstream.requests[0]
        assert (got.method, got.target, got.body) == (b"POST", b"/mail/send", b'{"to":"a@b"}')
        assert got.header("Content-Type") == "application/json"
        assert got.header("Idempotency-Key") == '"k1"'
        assert got.header("Valvechain-Operation") == answer.json()["id"]
        assert not got.all("Expect") and len(got.all("Content-Length")) == 1
        assert len(upstream.requests) == 1
        told = operation(suite, location, mine)
        assert told["result"] == {"status": 201, "contentType": "text/plain", "body": "done"}
        assert told["attempts"] >= 1


def test_the_rules_of_the_idempotency_key(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}"))
    assert post(suite, key=None).json()["code"] == "idempotency_key_missing"
    assert post(suite, key=None).status == 400
    assert post(suite, key="a" * 256).json()["code"] == "idempotency_key_bad"
    first = post(suite, b"one")
    assert first.status == 202
    # While an attempt is on its way it is 409.
    again = wait_for(lambda: next((a for a in [post(suite, b"one")] if a.status != 409), None), 5,
                     "an answer between two attempts")
    assert (again.status, again.header("Location")) == (202, first.header("Location"))
    other = post(suite, b"two")
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert post(suite, key=None, method="PUT").status == 202, "idempotent by its method"
    stranger = post(suite, b"two", headers=[("Authorization", "Bearer x")])
    assert stranger.status == 202, "each caller has keys of his own"
    with Upstream(port=port, answer=response(200, "OK", body=b"result")) as upstream:
        wait_state(suite, first.header("Location"), "done")
    wait_for(lambda: post(suite, b"one").header("Idempotent-Replayed") == "true", 10, "the answer")
    replayed = post(suite, b"one")
    assert (replayed.status, replayed.body) == (200, b"result")


def test_a_body_larger_than_one_message(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}"))
    body = bytes(i % 251 for i in range(1_500_000))
    answer = post(suite, body)
    assert answer.status == 202, answer
    folder = suite.dir + "/outbox.db.d"
    assert len(os.listdir(folder)) == 1
    with Upstream(port=port) as upstream:
        wait_state(suite, answer.header("Location"), "done")
        assert upstream.requests[0].body == body
    wait_for(lambda: os.listdir(folder) == [], 5, "the body's file to go")
    too_large = post(suite, b"x" * 17_000_000, key="k2")
    assert too_large.status == 413, too_large


def test_full_away_and_read_only(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}"), OUTBOX_MAX_ITEMS=1)
    assert post(suite).status == 202
    full = post(suite, key="k2")
    assert (full.status, full.json()["code"]) == (503, "outbox_full")
    assert int(full.header("Retry-After")) >= 1
    assert suite.metrics().sum("valvechain_outbox_refused_total", reason="full") == 1
    suite["breaker"].kill()
    away = post(suite, key="k3")
    assert (away.status, away.json()["code"]) == (503, "outbox_unavailable")
    assert away.header("Retry-After")


def test_lanes_keep_their_order(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}", order_by=["X-Account"]))
    last = None
    for i in range(30):
        answer = post(suite, b"%d" % i, key=f"k{i}", headers=[("X-Account", f"a{i % 3}")])
        assert answer.status == 202
        last = answer.header("Location")
    failures = iter([True, False] * 5)

    def sometimes(request, connection):
        if next(failures, False):
            return response(503, "Service Unavailable", body=b"")
        return OK

    with Upstream(port=port, answer=sometimes) as upstream:
        wait_state(suite, last, "done", 20)
        wait_for(lambda: suite.metrics().sum("valvechain_outbox_operations", upstream="mail", state="queued") == 0, 10, "all")
        delivered, seen = {}, set()
        for request in upstream.requests:
            delivered.setdefault(request.header("X-Account"), [])
            if request.body not in delivered[request.header("X-Account")]:
                delivered[request.header("X-Account")].append(request.body)
            seen.add(request.body)
        assert len(seen) == 30
        for lane in delivered.values():
            assert lane == sorted(lane, key=int)


def test_lanes_by_members_of_a_json_body(start):
    """The recipe of docs/outbox.md: an account's transactions on a chain, one after the other."""
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}", order_by=["json:/params/0/chainId", "json:/params/0/from"],
                            rpc_methods=["eth_sendTransaction"]))

    def send(number, sender, chain):
        body = {"jsonrpc": "2.0", "id": number, "method": "eth_sendTransaction",
                "params": [{"from": sender, "chainId": chain, "nonce": hex(number)}]}
        answer = suite.request("POST", "/mail/rpc", [("Content-Type", "application/json")], json.dumps(body).encode())
        assert answer.status == 202, answer
        return answer.json()["error"]["data"]["id"]

    ids = [send(i, f"0x{i % 2}", f"0x{i % 3 % 2}") for i in range(24)]
    shown = valvectl(suite, "outbox", "show", ids[0])
    assert 'json:/params/0/chainId="0x0" json:/params/0/from="0x0"' in shown.stdout, shown
    failures = iter([True, False, False] * 4)

    def sometimes(_request, _connection):
        return (response(503, "Service Unavailable", body=b"") if next(failures, False)
                else response(body=b'{"jsonrpc":"2.0","id":0,"result":"0x1"}'))

    with Upstream(port=port, answer=sometimes) as upstream:
        for id in ids:
            wait_state(suite, f"/api/operations/{id}", "done", 20)
        lanes = {}
        for request in upstream.requests:
            call = json.loads(request.body)["params"][0]
            nonces = lanes.setdefault((call["from"], call["chainId"]), [])
            if call["nonce"] not in nonces:
                nonces.append(call["nonce"])
        assert len(lanes) == 4 and sum(map(len, lanes.values())) == 24
        for nonces in lanes.values():
            assert nonces == sorted(nonces, key=lambda nonce: int(nonce, 16))


def test_an_upstream_that_a_reload_took_away_keeps_its_operations(start):
    port = reserve_port()
    config = config_of(f"http://127.0.0.1:{port}")
    suite = start(config)
    location = post(suite, b"kept").header("Location")
    breaker = suite["breaker"]

    def reload(to):
        suite.write_config(to)
        for process in (breaker, suite["api-front"]):
            before = len(process.events("config.reloaded"))
            process.signal(signal.SIGHUP)
            wait_for(lambda process=process, before=before: len(process.events("config.reloaded")) > before, 10,
                     f"the reload of {process}")

    reload({"upstreams": [{"name": "other", "url": f"http://127.0.0.1:{port}"}],
            "routes": [{"path": "/other", "upstream": "other"}]})
    assert breaker.wait_event("outbox.no_upstream")["upstream"] == "mail"
    with Upstream(port=port) as upstream:
        # An attempt that was under way may end after the reload; then it waits again.
        wait_for(lambda: operation(suite, location)["state"] == "queued", 10, "it to wait")
        assert "queued" in valvectl(suite, "outbox", "list").stdout
        assert valvectl(suite, "outbox", "retry", location.rsplit("/", 1)[1]).returncode == 0
        wrong = valvectl(suite, "outbox", "retry", "nope")
        assert wrong.returncode == 1 and "'nope' is no id" in wrong.stderr and "dead and parked" in wrong.stderr
        assert suite.get("/other/x").status == 200
        assert operation(suite, location)["state"] == "queued"
        assert not [request for request in upstream.requests if request.method == b"POST"]
        breaker.kill()  # a new owner does not forget it either, and says so
        breaker.start()
        wait_for(lambda: len(breaker.events("outbox.no_upstream")) >= 2, 10, "the new owner to tell")
        reload(config)
        wait_state(suite, location, "done")
        assert [request.body for request in upstream.requests if request.method == b"POST"] == [b"kept"]


def test_reads_do_not_wait_for_the_writes_of_their_lane(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}", order_by=["X-Account"]))
    mine = [("X-Account", "a")]
    assert post(suite, headers=mine).status == 202
    assert valvectl(suite, "outbox", "pause", "mail").returncode == 0
    with Upstream(port=port):
        wait_for(lambda: suite.get("/mail/list", mine).status == 200, 10, "the breaker to let it pass")
        assert post(suite, key="k2", headers=mine).status == 202, "a write waits its turn"
        assert post(suite, key="k3", headers=[("X-Account", "b")]).status == 200


def test_json_rpc_reads_do_not_wait_for_the_writes_of_their_lane(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}", order_by=["X-Sender"], rpc_methods=["eth_sendTransaction"]))
    mine = [("X-Sender", "a")]

    def call(method, id):
        return '{"jsonrpc":"2.0","id":%d,"method":"%s","params":[]}' % (id, method)

    def ask(body):
        return suite.request("POST", "/mail", mine, body.encode())

    assert ask(call("eth_sendTransaction", 1)).status == 202
    assert valvectl(suite, "outbox", "pause", "mail").returncode == 0
    with Upstream(port=port) as upstream:
        wait_for(lambda: ask(call("eth_call", 2)).status == 200, 10, "the breaker to let it pass")
        assert ask("[%s,%s]" % (call("eth_call", 3), call("eth_chainId", 4))).status == 200
        assert ask(call("eth_sendTransaction", 1)).status == 202, "a write waits its turn"
        seen = len(upstream.requests)
        ask("[%s,%s]" % (call("eth_call", 5), call("eth_sendTransaction", 6)))
        assert len(upstream.requests) == seen, "a batch with a write does not overtake"
    metrics = suite.metrics()
    assert metrics.sum("valvechain_outbox_accepted_total", upstream="mail") == 1
    assert metrics.sum("valvechain_outbox_repeats_total", upstream="mail") == 1


def test_an_operation_is_judged_by_the_outcomes_of_its_upstream(start):
    port = reserve_port()
    config = config_of(f"http://127.0.0.1:{port}")
    config["upstreams"][0]["outcomes"] = {"failure": ["404"]}
    suite = start(config)
    location = post(suite).header("Location")
    with Upstream(port=port, answer=response(404, "Not Found", body=b"not yet")) as upstream:
        wait_for(lambda: operation(suite, location)["attempts"] >= 2, 10, "another attempt")
        upstream.answer(OK)
        wait_state(suite, location, "done")


def test_permanent_errors_die_and_an_operator_revives_them(start):
    port = reserve_port()
    suite = start(config_of(f"http://127.0.0.1:{port}"))
    location = post(suite, headers=[("Authorization", "Bearer hush"), ("X-Api-Token", "hush2")],
                    target="/mail/send?token=hush3").header("Location")
    id = location.rsplit("/", 1)[1]
    mine = [("Authorization", "Bearer hush")]
    with Upstream(port=port, answer=response(400, "Bad Request", body=b"no")) as upstream:
        wait_for(lambda: operation(suite, location, mine)["state"] == "dead", 10, "its death")
        listed = valvectl(suite, "outbox", "list", "dead")
        assert listed.returncode == 0 and id in listed.stdout
        shown = valvectl(suite, "outbox", "show", id)
        assert "answered 400" in shown.stdout
        assert "hush" not in shown.stdout + listed.stdout
        upstream.answer(OK)
        assert valvectl(suite, "outbox", "retry", id).returncode == 0
        wait_for(lambda: operation(suite, location, mine)["state"] == "done", 10, "its delivery")
    assert suite.metrics().sum("valvechain_outbox_dead_total", upstream="mail") == 1
