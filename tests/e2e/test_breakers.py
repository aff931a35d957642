"""Breakers and fallbacks through the real gateway."""

import json
import socket
import threading

import pytest

from support import raw_http
from support.upstream import OK, Upstream, response
from support.wait import wait_for

FRONT = ("api-front",)
BROKEN = response(500, "Internal Server Error", body=b"broken")


@pytest.fixture
def start(make_suite, upstream):
    def start(config=None, **env):
        env = {"UPSTREAM_URL": upstream.url, "ADVANCED_RATE_LIMITING": "false",
               "CB_VOLUME_THRESHOLD": 4, "CB_RESET_TIMEOUT": 300, "CB_TIMEOUT": 300, **env}
        return make_suite(processes=FRONT, env=env, config=config)

    return start


def breaker(suite, name="app"):
    return json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"][name]


def trip(suite, times=4, target="/a"):
    for _ in range(times):
        suite.get(target)
    assert breaker(suite)["state"] == "OPEN"


def wait_until_due(suite):
    """The next call will be the probe. The figures are rounded, so zero ms left may be some us."""
    state = breaker(suite)
    due_ms = state["inStateMs"] + state["retryInMs"]
    wait_for(lambda: breaker(suite)["inStateMs"] > due_ms + 2, 5, "the deadline")


def test_it_opens_refuses_probes_and_closes(start, upstream):
    suite = start()
    upstream.answer(BROKEN)
    for _ in range(4):
        answer = suite.get("/a")
        assert (answer.status, answer.body) == (500, b"broken"), "an upstream's own 5xx passes"
    state = breaker(suite)
    assert state["state"] == "OPEN" and state["status"] == "unhealthy"
    assert state["totals"]["failures"] == 4 and state["totals"]["opens"] == 1
    seen = len(upstream.requests)
    refused = suite.get("/a")
    assert refused.status == 503
    assert int(refused.header("Retry-After")) >= 1
    problem = json.loads(refused.body)
    assert problem["status"] == 503 and problem["upstream"] == "app"
    assert len(upstream.requests) == seen, "an open breaker lets nothing through"
    assert breaker(suite)["totals"]["refusedOpen"] == 1

    upstream.answer(OK)
    wait_for(lambda: suite.get("/a").status == 200, 5, "recovery")
    assert breaker(suite)["state"] == "CLOSED"
    assert suite.get("/a").status == 200


def test_a_failed_probe_opens_again_for_longer(start, upstream):
    suite = start()
    upstream.answer(BROKEN)
    trip(suite)
    wait_for(lambda: suite.get("/a").status == 500, 5, "a probe")
    assert breaker(suite)["state"] == "OPEN"
    assert breaker(suite)["totals"]["opens"] == 2
    assert breaker(suite)["retryInMs"] > 300, "backoff"


def test_4xx_answers_open_nothing(start, upstream):
    suite = start()
    upstream.answer(response(404, "Not Found"))
    for _ in range(8):
        assert suite.get("/a").status == 404
    assert breaker(suite)["state"] == "CLOSED"


def test_health_tells(start, upstream):
    suite = start(DATABASE_UPSTREAM_URL=upstream.url)
    health = json.loads(suite.get("/api/health").body)
    assert health["circuitBreakers"]["app"] == {"status": "healthy", "state": "CLOSED"}
    assert set(health["circuitBreakers"]) >= {"database", "blockchain", "email"}
    upstream.answer(BROKEN)
    trip(suite)
    answer = suite.get("/api/health")
    health = json.loads(answer.body)
    assert answer.status == 200 and health["status"] == "degraded"
    assert health["circuitBreakers"]["app"] == {"status": "unhealthy", "state": "OPEN"}
    assert "breaker:app" in {check["name"] for check in health["checks"]}


def test_all_upstreams_open_is_unhealthy(start, upstream):
    suite = start(CB_RESET_TIMEOUT=60000)
    upstream.answer(BROKEN)
    trip(suite)
    answer = suite.get("/api/health")
    assert answer.status == 503 and json.loads(answer.body)["status"] == "unhealthy"


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_the_flag(start, upstream, enabled):
    suite = start(CIRCUIT_BREAKERS=enabled, CB_RESET_TIMEOUT=60000)
    upstream.answer(BROKEN)
    statuses = [suite.get("/a").status for _ in range(10)]
    expected = [500] * 4 + [503] * 6 if enabled == "true" else [500] * 10
    assert statuses == expected
    assert len(upstream.requests) == statuses.count(500)
    health = json.loads(suite.get("/api/health").body)
    assert health["features"]["circuitBreakers"] is (enabled == "true")


def test_without_breakers_a_silent_upstream_still_is_504(start, upstream):
    suite = start(CIRCUIT_BREAKERS="false")
    gate = threading.Event()
    upstream.answer(lambda _request, _connection: gate.wait(10) and OK)
    assert suite.get("/a").status == 504
    gate.set()


def test_no_answer_in_time_is_504_and_counts_as_timeout(start, upstream):
    suite = start()
    gate = threading.Event()
    upstream.answer(lambda _request, _connection: gate.wait(10) and OK)
    answer = suite.get("/a")
    gate.set()
    assert answer.status == 504
    assert answer.header("Content-Type") == "application/problem+json"
    assert breaker(suite)["window"]["timeouts"] == 1
    delta = suite.metrics()
    assert delta.sum("valvechain_upstream_calls_total", upstream="app",
                     result="first_byte_timeout") == 1


def test_nobody_there_is_502(start, upstream):
    suite = start()
    upstream.stop()
    answer = suite.get("/a")
    assert answer.status == 502
    assert json.loads(answer.body)["upstream"] == "app"
    assert breaker(suite)["window"]["failures"] == 1


def test_a_broken_answer_is_502(start, upstream):
    suite = start()
    upstream.answer(lambda _request, connection: connection.reset())
    assert suite.get("/a").status == 502


def test_capacity_refuses_here_and_does_not_blame_the_upstream(start, upstream):
    suite = start(CB_APP_CAPACITY=1, CB_TIMEOUT=5000)
    gate = threading.Event()
    upstream.answer(lambda _request, _connection: gate.wait(10) and OK)
    with raw_http.Connection(suite.port) as first:
        first.send(b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n")
        upstream.wait_for_requests(1)
        refused = suite.get("/a")
        assert refused.status == 503 and int(refused.header("Retry-After")) >= 1
        gate.set()
        assert first.read_response().status == 200
    state = breaker(suite)
    assert state["totals"]["refusedCapacity"] == 1 and state["totals"]["failures"] == 0


def test_two_gateways_share_one_breaker(make_suite, upstream):
    suite = make_suite(processes=FRONT, fronts=2,
                       env={"UPSTREAM_URL": upstream.url, "CB_VOLUME_THRESHOLD": 4,
                            "CB_RESET_TIMEOUT": 60000, "ADVANCED_RATE_LIMITING": "false"})
    upstream.answer(BROKEN)
    for _ in range(4):
        suite.get("/a")
    assert {suite.get("/a").status for _ in range(10)} == {503}
    assert len(upstream.requests) == 4


def chain_config(upstream):
    return {
        "upstreams": [{"name": "node", "url": upstream.url,
                       "breaker": {"volume_threshold": 2, "reset_timeout_ms": 60000,
                                   "timeout_ms": 300}}],
        "routes": [{
            "name": "chain", "path": "/rpc", "upstream": "node",
            "fallbacks": [
                {"kind": "mock", "methods": ["GET", "HEAD"],
                 "rpc_methods": ["eth_blockNumber", "eth_chainId"],
                 "body": '{"jsonrpc":"2.0","id":${rpc_id},"result":"0x0"}'},
                {"kind": "error"},
            ]}],
    }


def rpc(suite, method="eth_blockNumber", number=7, **more):
    body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": [], **more})
    return suite.request("POST", "/rpc", {"Content-Type": "application/json"}, body.encode())


@pytest.fixture
def chain(make_suite, upstream):
    return make_suite(processes=FRONT, config=chain_config(upstream),
                      env={"ADVANCED_RATE_LIMITING": "false"})


def test_a_json_rpc_read_is_mocked_with_the_callers_id(chain, upstream):
    upstream.answer(response(200, "OK", [("Content-Type", "application/json")], b'{"real":1}'))
    assert rpc(chain).body == b'{"real":1}'
    assert json.loads(upstream.requests[0].body)["method"] == "eth_blockNumber"
    upstream.answer(lambda _request, connection: connection.reset())
    answer = rpc(chain, number="abc")
    assert answer.status == 200
    assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": "abc", "result": "0x0"}
    assert answer.header("Valvechain-Fallback") == "mock"
    assert answer.header("Cache-Control") == "no-store"
    assert chain.metrics().sum("valvechain_fallbacks_total", kind="mock") == 1
    assert chain.metrics().sum("valvechain_answers_total", source="fallback") == 1


def test_mocks_stand_in_while_the_breaker_is_open(chain, upstream):
    upstream.answer(BROKEN)
    assert [rpc(chain).status for _ in range(2)] == [500, 500]
    assert breaker(chain, "node")["state"] == "OPEN"
    seen = len(upstream.requests)
    answer = rpc(chain, number=9)
    assert (answer.status, json.loads(answer.body)["id"]) == (200, 9)
    write = rpc(chain, "eth_sendRawTransaction")
    assert write.status == 503 and write.header("Valvechain-Fallback") is None
    batch = chain.request("POST", "/rpc", {}, json.dumps(
        [{"id": 1, "method": "eth_chainId"}, {"id": 2, "method": "eth_blockNumber"}]).encode())
    assert [call["id"] for call in json.loads(batch.body)] == [1, 2]
    mixed = chain.request("POST", "/rpc", {}, json.dumps(
        [{"id": 1, "method": "eth_chainId"}, {"id": 2, "method": "eth_sendRawTransaction"}]).encode())
    assert mixed.status == 503
    get = chain.get("/rpc/x")
    assert get.status == 200 and json.loads(get.body)["id"] is None
    head = chain.request("HEAD", "/rpc/x")
    assert head.status == 200 and head.body == b""
    assert len(upstream.requests) == seen


def test_bodies_read_ahead_pass_unchanged(chain, upstream):
    for size in (1, 65535, 65536, 65537, 300000):
        body = bytes(range(256)) * (size // 256 + 1)
        body = body[:size]
        assert chain.request("POST", "/rpc", {}, body).status == 200
        assert upstream.requests[-1].body == body
    chunked = b"".join(b"%x\r\n%s\r\n" % (5000, b"x" * 5000) for _ in range(20)) + b"0\r\n\r\n"
    answer = chain.request("POST", "/rpc", {"Transfer-Encoding": "chunked"}, chunked)
    assert answer.status == 200 and upstream.requests[-1].body == b"x" * 100000


def test_a_body_too_large_to_look_into_is_not_mocked(chain, upstream):
    upstream.answer(lambda _request, connection: connection.reset())
    answer = rpc(chain, padding="x" * 70000)
    assert answer.status == 502


def test_routes_answer_404_and_405(make_suite, upstream):
    suite = make_suite(processes=FRONT, config={
        "upstreams": [{"name": "app", "url": upstream.url}],
        "routes": [{"path": "/api", "upstream": "app", "methods": ["GET", "HEAD"]}]})
    assert suite.get("/api/x").status == 200
    assert suite.get("/apix").status == 404
    wrong = suite.request("DELETE", "/api/x")
    assert wrong.status == 405 and wrong.header("Allow") == "GET, HEAD"
    assert wrong.header("Content-Type") == "application/problem+json"
    assert len(upstream.requests) == 1


def test_without_an_upstream_the_root_names_the_variable(make_suite):
    suite = make_suite(processes=FRONT)
    answer = suite.get("/")
    assert answer.status == 404
    assert answer.header("Content-Type") == "application/problem+json"
    assert "UPSTREAM_URL" in json.loads(answer.body)["detail"]
    health = json.loads(suite.get("/api/health").body)
    assert "UPSTREAM_URL" in next(c for c in health["checks"] if c["name"] == "api-front")["finding"]


def test_the_database_upstream_feeds_specs_metrics(make_suite):
    with Upstream() as database:
        suite = make_suite(processes=FRONT, env={"DATABASE_UPSTREAM_URL": database.url})
        assert suite.metrics().sum("valvechain_database_connections") == 0
        assert suite.get("/api/db/rows").status == 200
        wait_for(lambda: suite.metrics().sum("valvechain_database_connections") == 1, 5,
                 "the pool's connection in the gauge")
        metrics = suite.metrics()
        assert metrics.sum("valvechain_database_query_duration_seconds_count") == 1
        assert metrics.sum("valvechain_upstream_connections", upstream="database") == 1


def test_a_probe_counts_at_the_head_of_a_long_answer(start, upstream):
    suite = start(CB_PROBE_LEASE=400)
    upstream.answer(BROKEN)
    trip(suite)
    end = threading.Event()

    def stream(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        end.wait(20)
        return b"0\r\n\r\n"

    upstream.on("/events", stream)
    upstream.answer(OK)
    wait_until_due(suite)
    with raw_http.Connection(suite.port) as client:
        client.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        data = b""
        while b"hi" not in data:
            data += client.sock.recv(4096)
        assert breaker(suite)["state"] == "CLOSED", "the call is not over, its outcome is known"
        assert breaker(suite)["inFlight"] == 1, "its share of the capacity is held"
        assert suite.get("/a").status == 200
        end.set()
        wait_for(lambda: breaker(suite)["inFlight"] == 0, 5, "the end of the call")
    assert breaker(suite)["totals"]["opens"] == 1


def begin_upload(suite, target=b"/up", sent=1):
    """A POST of a million bytes of which only the first come."""
    client = raw_http.Connection(suite.port)
    client.send(b"POST " + target + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * sent)
    return client


def test_slow_uploads_hold_no_capacity(start, upstream):
    suite = start(CB_APP_CAPACITY=2, CB_TIMEOUT=5000)
    clients = [begin_upload(suite) for _ in range(10)]
    try:
        for _ in range(20):
            assert suite.get("/a").status == 200
        assert breaker(suite)["inFlight"] == 0 and breaker(suite)["totals"]["refusedCapacity"] == 0
    finally:
        for client in clients:
            client.close()


def trickle(client, stop, bytes_per_s):
    """Sends on until told to stop, or cut."""
    def send():
        try:
            while not stop.wait(0.05):
                client.send(b"x" * (bytes_per_s // 20))
        except OSError:
            pass

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_a_trickling_upload_gives_way_when_calls_are_short(start, upstream):
    """Read ahead is over for all of them: each holds a call, at a rate that BODY_MIN_RATE allows."""
    suite = start(CB_APP_CAPACITY=4, CB_TIMEOUT=20000, BODY_MIN_RATE=0, UPLOAD_MIN_RATE=16384,
                  BODY_RATE_PERIOD=2000)
    stop = threading.Event()
    clients = [begin_upload(suite, sent=80000) for _ in range(2)]
    threads = [trickle(client, stop, 4000) for client in clients]
    try:
        wait_for(lambda: breaker(suite)["inFlight"] == 2, 5, "two calls")
        passed = upstream.bytes_received + 2 * 4000 * 2.5
        wait_for(lambda: upstream.bytes_received >= passed, 15, "what a period and more bring")
        assert breaker(suite)["inFlight"] == 2, "half of the calls: nobody is in need of them"
        fast = begin_upload(suite, sent=80000)
        clients.append(fast)
        threads.append(trickle(fast, stop, 200000))
        wait_for(lambda: suite.metrics().sum("valvechain_slow_clients_cut_total") == 1, 10, "one to give way")
        wait_for(lambda: breaker(suite)["inFlight"] == 2, 5, "its call to be free")
        answers = [answered(client) for client in clients]
        assert sorted(answers, key=str) == [408, None, None] and answers[2] is None, "the fast one goes on"
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        for client in clients:
            client.close()


def answered(client):
    """The status, or None when no answer is there."""
    try:
        return client.read_response(timeout=0.5).status
    except raw_http.Incomplete:
        return None


def test_slow_uploads_take_no_probe(start, upstream):
    suite = start(CB_PROBE_LEASE=2000)
    upstream.answer(BROKEN)
    trip(suite)
    upstream.answer(OK)
    wait_until_due(suite)
    with begin_upload(suite):
        assert suite.get("/a").status == 200, "the probe was free"
    assert breaker(suite)["state"] == "CLOSED" and breaker(suite)["totals"]["opens"] == 1


def test_a_probe_held_up_by_its_client_goes_to_another_call(start, upstream):
    suite = start(CB_PROBE_LEASE=2000)
    upstream.answer(BROKEN)
    trip(suite)
    upstream.answer(OK)
    wait_until_due(suite)
    with begin_upload(suite, sent=100000):
        wait_for(lambda: breaker(suite)["state"] == "HALF-OPEN", 5, "the upload to take the probe")
        wait_for(lambda: suite.get("/a").status == 200, 5, "another probe")
        assert breaker(suite)["state"] == "CLOSED"
        assert breaker(suite)["inFlight"] == 1, "the upload keeps its share"
    assert breaker(suite)["totals"]["opens"] == 1


def test_a_slow_reader_is_cut_and_its_capacity_comes_back(start, upstream):
    suite = start(CB_APP_CAPACITY=1, CLIENT_SEND_TIMEOUT=700, ANSWER_MIN_RATE=1000000)

    def source(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        while True:
            connection.sock.sendall(bytes(65536))

    upstream.on("/big", source)
    with raw_http.Connection(suite.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: breaker(suite)["inFlight"] == 1, 5, "the call")

        def read_a_little():
            try:
                client.sock.recv(16384)
            except ConnectionError:
                pass
            return breaker(suite)["inFlight"] == 0

        wait_for(read_a_little, 10, "the slow reader to be cut")
    assert suite.metrics().sum("valvechain_slow_clients_cut_total") == 1
