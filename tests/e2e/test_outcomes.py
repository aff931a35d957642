"""What answers mean to the breaker, by the `outcomes` of an upstream and by Retry-After."""

import json
import socket
import threading

import pytest

from support.upstream import OK, response
from support.wait import wait_for

FRONT = ("api-front",)


@pytest.fixture
def start(make_suite, upstream):
    def start(outcomes, **env):
        env = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 4, "CB_RESET_TIMEOUT": 200, **env}
        config = {"upstreams": [{"name": "app", "url": upstream.url, "outcomes": outcomes}],
                  "routes": [{"path": "/", "upstream": "app"}]}
        return make_suite(processes=FRONT, env=env, config=config)

    return start


def breaker(suite):
    return json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"]["app"]


def ask(suite, call):
    return suite.request("POST", "/rpc", headers=[("Content-Type", "application/json")],
                         body=json.dumps(call).encode())


def rpc(code, number=1):
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": "x"}}


def answer_json(upstream, value):
    upstream.answer(response(headers=[("Content-Type", "application/json")], body=json.dumps(value).encode()))


def test_statuses(start, upstream):
    suite = start({"failure": ["429"], "ignored": ["501", "520..530"], "success": ["500"], "timeout": ["504"]},
                  CB_VOLUME_THRESHOLD=100)
    for status in (429, 429, 501, 525, 500, 503, 504, 404):
        upstream.answer(response(status, "X"))
        assert suite.get("/a").status == status
    window = breaker(suite)["window"]
    assert (window["successes"], window["failures"], window["timeouts"]) == (2, 3, 1)


def test_rpc_errors_inside_good_answers_open(start, upstream):
    suite = start({"rpc_failure": ["-32099..-32000"], "rpc_ignored": ["-32603"]}, CB_RESET_TIMEOUT=60000)
    answer_json(upstream, rpc(-32602))
    assert ask(suite, {}).status == 200  # the caller's fault
    answer_json(upstream, rpc(-32603))
    assert ask(suite, {}).status == 200  # not counted
    answer_json(upstream, rpc(-32000))
    assert suite.get("/a").status == 200  # of a POST only
    for value in (rpc(-32000), [rpc(-32005, 1), {"jsonrpc": "2.0", "id": 2, "result": 1}]):
        answer_json(upstream, value)
        answer = ask(suite, {})
        assert answer.status == 200 and json.loads(answer.body) == value, "it passes as it is"
    state = breaker(suite)
    assert state["state"] == "OPEN"
    assert state["totals"]["failures"] == 2 and state["totals"]["successes"] == 2
    assert ask(suite, {}).status == 503


def test_a_long_answer_is_not_held_up_and_counts_by_its_status(start, upstream):
    suite = start({"rpc_failure": ["-32000"]}, CB_VOLUME_THRESHOLD=100)
    go_on = threading.Event()
    first = json.dumps(rpc(-32000)).encode()[:-1] + b',"data":"' + b"x" * 50000

    def serve(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (first, b"y" * 50000):
            connection.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            assert go_on.wait(20)
        return b'2\r\n"}\r\n0\r\n\r\n'

    upstream.answer(serve)
    with socket.create_connection(("127.0.0.1", suite.port), timeout=20) as client:
        client.sendall(b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        seen = b""
        while len(seen) < len(first):  # the upstream has not gone on
            seen += client.recv(65536)
        go_on.set()
        while piece := client.recv(65536):
            seen += piece
    assert seen.count(b"y") >= 50000 and seen.endswith(b"0\r\n\r\n")
    wait_for(lambda: breaker(suite)["window"]["successes"] == 1, 10, "the end of the call")
    window = breaker(suite)["window"]
    assert (window["successes"], window["failures"]) == (1, 0)


def test_a_probe_is_judged_by_the_error_in_its_body(start, upstream):
    suite = start({"rpc_failure": ["-32000"]})
    answer_json(upstream, rpc(-32000))
    for _ in range(4):
        ask(suite, {})
    assert breaker(suite)["state"] == "OPEN"
    wait_for(lambda: ask(suite, {}).status == 200, 10, "the probe")
    wait_for(lambda: breaker(suite)["totals"]["opens"] >= 2, 10, "its failure")
    answer_json(upstream, {"jsonrpc": "2.0", "id": 1, "result": 1})

    def has_recovered():
        ask(suite, {})
        return breaker(suite)["state"] == "CLOSED"

    wait_for(has_recovered, 20, "recovery")


def test_retry_after_lengthens_the_open_time(start, upstream):
    suite = start({}, CB_RESET_TIMEOUT_MAX=100000)
    upstream.answer(response(503, "Service Unavailable", [("Retry-After", "50")]))
    for _ in range(4):
        assert suite.get("/a").status == 503
    refused = suite.get("/a")
    assert json.loads(refused.body)["code"] == "circuit_open"
    assert 40 <= int(refused.header("Retry-After")) <= 51
    assert 40000 < breaker(suite)["retryInMs"] < 51000


def test_and_not_beyond_its_bound(start, upstream):
    suite = start({}, CB_RESET_TIMEOUT_MAX=400)
    upstream.answer(response(503, "Service Unavailable", [("Retry-After", "3600")]))
    for _ in range(4):
        assert suite.get("/a").status == 503
    assert breaker(suite)["retryInMs"] < 1000
    upstream.answer(OK)
    wait_for(lambda: suite.get("/a").status == 200, 10, "recovery")
