"""The fallback `cache` through the real gateway: last good answers while the database is down."""

import email.utils
import json
import time

import pytest

from support.upstream import Upstream, response
from support.wait import wait_for

FRONT = ("api-front",)


def dated(body=b"row", headers=(), age_s=0):
    date = email.utils.formatdate(time.time() - age_s, usegmt=True)
    return response(headers=[("Date", date), ("Content-Type", "text/plain"), *headers], body=body)


class Database(Upstream):
    """An upstream that can go down and come back on its port."""

    def down(self):
        self.stop()


@pytest.fixture
def database():
    with Database() as server:
        yield server


@pytest.fixture
def start(make_suite, database):
    def start(**env):
        config = env.pop("config", None)
        env = {"DATABASE_UPSTREAM_URL": database.url, "ADVANCED_RATE_LIMITING": "false",
               "CB_TIMEOUT": 2000, "CB_VOLUME_THRESHOLD": 1000, **env}
        return make_suite(processes=FRONT, env=env, config=config)

    return start


def assert_cached(answer, body=b"row"):
    assert (answer.status, answer.body) == (200, body)
    assert answer.header("Valvechain-Fallback") == "cache"
    assert answer.header("Warning") is None
    assert int(answer.header("Age")) >= 0
    assert int(answer.header("Valvechain-Fallback-Age")) >= 0


def test_the_database_down_gives_the_last_good_answer(start, database):
    suite = start()
    database.answer(dated(headers=[("ETag", '"v1"'), ("Cache-Control", "max-age=5"), ("X-Row", "7"),
                                    ("Link", "<a>"), ("Link", "<b>")], age_s=30))
    first = suite.get("/api/db/items?id=1")
    assert first.status == 200 and first.header("Valvechain-Fallback") is None
    assert first.header("Age") is None
    database.down()
    before = suite.metrics()
    again = suite.get("/api/db/items?id=1")
    assert_cached(again)
    assert 30 <= int(again.header("Age")) < 60, "the age that its Date tells"
    assert int(again.header("Valvechain-Fallback-Age")) == int(again.header("Age")) - 5
    assert again.all("Link") == ["<a>", "<b>"]
    assert again.header("X-Row") == "7" and again.header("Content-Type") == "text/plain"
    assert again.header("Date") == first.header("Date")
    assert len([name for name, _ in again.headers if name.lower() == "date"]) == 1

    head = suite.request("HEAD", "/api/db/items?id=1")
    assert head.status == 200 and head.header("Content-Length") == "3"
    assert head.header("Valvechain-Fallback") == "cache"
    part = suite.get("/api/db/items?id=1", headers=[("Range", "bytes=0-0")])
    assert_cached(part)  # a whole answer is allowed (RFC 9110 14.2)
    same = suite.get("/api/db/items?id=1", headers=[("If-None-Match", 'W/"v1"')])
    assert (same.status, same.body) == (304, b"")
    assert same.header("ETag") == '"v1"' and same.header("Valvechain-Fallback") == "cache"
    assert_cached(suite.get("/api/db/items?id=1", headers=[("If-None-Match", '"v2"')]))

    other = suite.get("/api/db/items?id=2")
    assert other.status == 502 and json.loads(other.body)["upstream"] == "database"
    assert suite.request("POST", "/api/db/items?id=1", body=b"x").status == 502
    fresh = suite.get("/api/db/items?id=1", headers=[("Cache-Control", "no-cache")])
    assert fresh.status == 502, "who wants it validated gets no kept answer"
    delta = suite.metrics() - before
    assert delta.sum("valvechain_fallbacks_total", kind="cache") == 5
    assert delta.sum("valvechain_fallbacks_missed_total", kind="cache") == 3
    assert delta.sum("valvechain_fallbacks_total", kind="error") == 3
    assert delta.sum("valvechain_answers_total", source="fallback") == 5


def test_an_open_breaker_and_5xx_answers_too(start, database):
    suite = start(CB_VOLUME_THRESHOLD=4, CB_RESET_TIMEOUT=60000)
    database.answer(dated())
    assert suite.get("/api/db/a").status == 200
    database.answer(response(503, "Service Unavailable", body=b"broken" * 20000))
    for _ in range(6):
        assert_cached(suite.get("/api/db/a"))
    state = json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"]["database"]
    assert state["state"] == "OPEN", "replaced answers count as what they were"
    assert len(database.requests) < 7
    assert_cached(suite.get("/api/db/a"))
    assert suite.get("/api/db/b").status == 503


def test_errors_without_a_kept_answer_and_other_statuses_pass(start, database):
    suite = start()
    database.answer(response(500, "Internal Server Error", body=b"own"))
    answer = suite.get("/api/db/a")
    assert (answer.status, answer.body) == (500, b"own")
    database.answer(dated())
    suite.get("/api/db/a")
    database.answer(response(501, "Not Implemented", body=b"no"))
    assert suite.get("/api/db/a").status == 501
    database.answer(response(403, "Forbidden", body=b"no"))
    assert suite.get("/api/db/a").status == 403
    database.down()
    assert_cached(suite.get("/api/db/a"))


def test_nobody_gets_what_is_anothers(start, database):
    suite = start()
    cases = {
        "private": [("Cache-Control", "private")],
        "no-store": [("Cache-Control", "no-store")],
        "no-cache": [("Cache-Control", "no-cache")],
        "cookie": [("Set-Cookie", "id=1"), ("Cache-Control", "public")],
        "vary": [("Vary", "*")],
        "stale": [("Cache-Control", "max-age=0, must-revalidate")],
        "forbidden": [("Cache-Control", "max-age=0, proxy-revalidate")],
        "fallback": [("Valvechain-Fallback", "mock")],
    }
    for path, headers in cases.items():
        database.on(f"/api/db/{path}", dated(headers=headers))
        assert suite.get(f"/api/db/{path}").status == 200
    mine = [("Authorization", "Bearer mine")]
    database.on("/api/db/mine", dated(b"mine"))
    database.on("/api/db/public", dated(b"public", [("Cache-Control", "public")]))
    database.on("/api/db/anonymous", dated(b"anonymous"))
    for credentials in (mine, [("Cookie", "id=1")], [("X-API-Key", "k")]):
        assert suite.get("/api/db/mine", headers=credentials).body == b"mine"
    assert suite.get("/api/db/public", headers=mine).body == b"public"
    assert suite.get("/api/db/anonymous").body == b"anonymous"
    assert suite.get("/api/db/quiet", headers=[("Cache-Control", "no-store")]).status == 200
    database.down()
    for path in [*cases, "mine", "quiet"]:
        assert suite.get(f"/api/db/{path}").status == 502, path
    assert suite.get("/api/db/mine", headers=mine).status == 502, "not even to himself"
    assert_cached(suite.get("/api/db/public"), b"public")
    assert_cached(suite.get("/api/db/public", headers=[("Authorization", "Bearer other")]), b"public")
    assert_cached(suite.get("/api/db/anonymous"), b"anonymous")
    assert suite.get("/api/db/anonymous", headers=mine).status == 502


def test_what_becomes_private_or_goes_away_is_forgotten(start, database):
    suite = start()
    for path, then in (("a", dated(headers=[("Cache-Control", "private")])),
                       ("b", response(404, "Not Found")), ("c", response(410, "Gone"))):
        database.on(f"/api/db/{path}", dated())
        assert suite.get(f"/api/db/{path}").status == 200
        database.on(f"/api/db/{path}", then)
        suite.get(f"/api/db/{path}")
    database.answer(dated())
    for path in ("written", "refused"):
        assert suite.get(f"/api/db/{path}").status == 200
    assert suite.request("PUT", "/api/db/written", body=b"x").status == 200
    database.answer(response(409, "Conflict"))
    assert suite.request("PUT", "/api/db/refused", body=b"x").status == 409
    database.down()
    for path in "abc":
        assert suite.get(f"/api/db/{path}").status == 502
    assert suite.get("/api/db/written").status == 502, "RFC 9111 4.4"
    assert_cached(suite.get("/api/db/refused"))


def test_vary(start, database):
    suite = start()

    def by_language(request, _connection):
        return dated(request.header("Accept-Language").encode(), [("Vary", "Accept-Language")])

    database.answer(by_language)
    for language in ("de", "en"):
        assert suite.get("/api/db/a", headers=[("Accept-Language", language)]).status == 200
    database.down()
    for language in ("de", "en"):
        answer = suite.get("/api/db/a", headers=[("Accept-Language", language)])
        assert_cached(answer, language.encode())
    assert suite.get("/api/db/a", headers=[("Accept-Language", "fr")]).status == 502
    assert suite.get("/api/db/a").status == 502


def test_each_host_has_its_own(start, database):
    suite = start()
    database.answer(lambda request, _connection: dated(request.header("Host").encode()))
    for host in ("a.example", "b.example"):
        assert suite.get("/api/db/a", headers=[("Host", host)]).status == 200
    database.down()
    assert_cached(suite.get("/api/db/a", headers=[("Host", "b.example")]), b"b.example")
    assert suite.get("/api/db/a", headers=[("Host", "c.example")]).status == 502


def test_only_whole_answers_are_kept(start, database):
    suite = start(CACHE_ENTRY_MAX=200000)
    body = bytes(range(256)) * 700  # 179 200 bytes: several pieces
    chunk = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    database.on("/api/db/length", dated(body))
    database.on("/api/db/chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
    database.on("/api/db/large", dated(b"x" * 200001))
    database.on("/api/db/part", response(206, "Partial Content", [("Content-Range", "bytes 0-2/9")], b"abc"))

    def cut(_request, connection):
        connection.sock.sendall(dated(body)[:-1])
        connection.close()

    def until_closed(_request, connection):
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nabc")
        connection.close()

    database.on("/api/db/cut", cut)
    database.on("/api/db/closed", until_closed)
    assert suite.get("/api/db/length").body == body
    assert suite.get("/api/db/chunked").body == body
    assert len(suite.get("/api/db/large").body) == 200001
    assert suite.get("/api/db/part").status == 206
    with pytest.raises(Exception):
        suite.get("/api/db/cut")
    assert suite.get("/api/db/closed").body == b"abc"
    results = suite.metrics()
    assert results.sum("valvechain_cache_answers_total", result="kept") == 2
    assert results.sum("valvechain_cache_answers_total", result="too_large") == 1
    assert results.sum("valvechain_cache_answers_total", result="incomplete") == 1
    assert results.sum("valvechain_cache_answers_total", result="not_allowed") == 2
    database.down()
    assert_cached(suite.get("/api/db/length"), body)
    assert_cached(suite.get("/api/db/chunked"), body)
    for path in ("large", "part", "cut", "closed"):
        assert suite.get(f"/api/db/{path}").status == 502, path


def test_a_304_freshens_what_is_kept(start, database):
    suite = start(config={"upstreams": [{"name": "database", "url": database.url}],
                          "routes": [{"path": "/api/db", "upstream": "database",
                                      "fallbacks": [{"kind": "cache", "max_age_ms": 2000}]}]})
    database.answer(dated(headers=[("ETag", '"v1"')]))
    suite.get("/api/db/a")
    suite.get("/api/db/b")
    asked = time.monotonic()
    wait_for(lambda: time.monotonic() - asked > 1.5, 5, "half of the time that answers are good")
    database.answer(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
    assert suite.get("/api/db/a", headers=[("If-None-Match", '"v1"')]).status == 304
    database.down()
    wait_for(lambda: suite.get("/api/db/b").status == 502, 10, "the other one to grow too old")
    answer = suite.get("/api/db/a")
    assert answer.status == 200 or time.monotonic() - asked > 3.5
    wait_for(lambda: suite.get("/api/db/a").status == 502, 10, "this one to grow too old")


def test_the_chain_of_an_upstream_and_reloads(start, database):
    config = {"upstreams": [{"name": "rows", "url": database.url,
                             "fallbacks": [{"kind": "cache"}, {"kind": "error"}]}],
              "routes": [{"name": "own", "path": "/own", "upstream": "rows", "fallbacks": [{"kind": "error"}]},
                         {"name": "same", "path": "/same", "upstream": "rows"},
                         {"name": "moved", "path": "/moved", "upstream": "rows"}]}
    suite = start(config=config, DATABASE_UPSTREAM_URL=None)
    database.answer(dated())
    for path in ("/own/a", "/same/a", "/moved/a"):
        assert suite.get(path).status == 200
    config["routes"][2]["rewrite"] = "/elsewhere"
    config["routes"].append({"name": "new", "path": "/new", "upstream": "rows"})
    suite.write_config(config)
    suite["api-front"].signal(1)
    wait_for(lambda: suite.get("/new/a").status == 200, 10, "the reload")
    database.down()
    assert suite.get("/own/a").status == 502
    assert_cached(suite.get("/same/a"))
    assert suite.get("/moved/a").status == 502, "another place of the upstream's now"
    assert_cached(suite.get("/new/a"))
    suite["api-front"].kill()
    suite["api-front"].start()
    assert suite.get("/same/a").status == 502, "each process begins with an empty store"


def test_memory_is_bounded(start, database):
    suite = start(CACHE_MEMORY=1000000)
    database.answer(dated(b"x" * 20000))
    for number in range(200):
        assert suite.get(f"/api/db/{number}").status == 200
    wait_for(lambda: suite.metrics().sum("valvechain_cache_evictions_total") > 100, 10, "evictions")
    figures = suite.metrics()
    assert 20 < figures.sum("valvechain_cache_entries") <= 50
    assert figures.sum("valvechain_cache_bytes") <= 1000000
    database.down()
    assert suite.get("/api/db/0").status == 502
    assert_cached(suite.get("/api/db/199"), b"x" * 20000)


def test_no_memory_keeps_nothing(start, database):
    suite = start(CACHE_MEMORY=0)
    database.answer(dated())
    assert suite.get("/api/db/a").status == 200
    database.down()
    assert suite.get("/api/db/a").status == 502


# ---- JSON-RPC -----------------------------------------------------------------------------------

class Chain:
    """A JSON-RPC server: `results` by method, counted in `calls`."""

    def __init__(self, upstream):
        self.results = {"eth_chainId": "0x1", "eth_getBlock": {"number": 7}}
        self.headers = []
        upstream.answer(self.serve)

    def one(self, call):
        if call["method"] not in self.results:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": "no such method"}}
        return {"jsonrpc": "2.0", "id": call["id"], "result": [self.results[call["method"]], call.get("params")]}

    def serve(self, request, _connection):
        calls = json.loads(request.body)
        answer = [self.one(call) for call in calls] if isinstance(calls, list) else self.one(calls)
        return response(headers=[("Content-Type", "application/json"), *self.headers], body=json.dumps(answer).encode())


def rpc_config(database, *more):
    return {"upstreams": [{"name": "chain", "url": database.url}],
            "routes": [{"path": "/rpc", "upstream": "chain", "fallbacks": [
                {"kind": "cache", "rpc_methods": ["eth_chainId", "eth_getBlock", "eth_none"]}, *more]}]}


def ask(suite, call, **options):
    return suite.request("POST", "/rpc", headers=[("Content-Type", "application/json")],
                         body=json.dumps(call).encode(), **options)


def call(number, method="eth_chainId", **members):
    return {"jsonrpc": "2.0", "id": number, "method": method, **members}


def test_rpc_reads_from_the_cache_have_their_callers_id(start, database):
    suite = start(config=rpc_config(database), DATABASE_UPSTREAM_URL=None)
    Chain(database)
    assert json.loads(ask(suite, call(1)).body)["result"] == ["0x1", None]
    batch = [call(2, "eth_getBlock", params={"b": 1, "a": 2}), call(3, "eth_none"), call(4, "eth_send")]
    assert len(json.loads(ask(suite, batch).body)) == 3
    database.down()
    answer = ask(suite, call("mine"))
    assert_cached(answer, answer.body)
    assert answer.header("Content-Type") == "application/json"
    assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": "mine", "result": ["0x1", None]}
    both = ask(suite, [call(8, "eth_getBlock", params={"a": 2, "b": 1}), call(9)])
    assert_cached(both, both.body)
    assert [(one["id"], one["result"][0]) for one in json.loads(both.body)] == [(8, {"number": 7}), (9, "0x1")]
    for missing in (call(1, "eth_getBlock", params={"a": 3}), call(1, "eth_none"), call(1, "eth_send"),
                    [call(1), call(2, "eth_send")], [call(1), {"jsonrpc": "2.0", "method": "eth_chainId"}]):
        refused = ask(suite, missing)
        assert refused.status == 502 and refused.header("Valvechain-Fallback") is None


def test_rpc_answers_obey_the_rules_too(start, database):
    suite = start(config=rpc_config(database), DATABASE_UPSTREAM_URL=None)
    chain = Chain(database)
    for number, headers in enumerate(([("Cache-Control", "no-store")], [("Cache-Control", "private")],
                                      [("Set-Cookie", "a=1")], [("Vary", "*")])):
        chain.headers = headers
        assert ask(suite, call(1, params=[number])).status == 200
    chain.headers = []
    body = json.dumps(call(1, params=[9])).encode()
    assert suite.request("POST", "/rpc", headers=[("Authorization", "Bearer x")], body=body).status == 200
    database.down()
    for number in (0, 1, 2, 3, 9):
        assert ask(suite, call(1, params=[number])).status == 502


def test_rpc_callers_get_errors_of_their_kind(start, database):
    suite = start(config=rpc_config(database), DATABASE_UPSTREAM_URL=None, CB_VOLUME_THRESHOLD=2, CB_RESET_TIMEOUT=60000)
    database.down()
    for _ in range(2):
        unreachable = ask(suite, call(5))
        assert unreachable.status == 502
    refused = ask(suite, [call("a", "eth_send"), call(2)])
    assert refused.status == 503 and int(refused.header("Retry-After")) >= 1
    assert refused.header("Content-Type") == "application/json"
    first, second = json.loads(refused.body)
    assert (first["id"], second["id"]) == ("a", 2)
    assert first["error"]["code"] == -32000 and first["error"]["message"]
    assert first["error"]["data"]["code"] == "circuit_open"
    assert first["error"]["data"]["retry_after"] == int(refused.header("Retry-After"))
    plain = suite.request("POST", "/rpc", body=b"no JSON")
    assert plain.status == 503 and plain.header("Content-Type") == "application/problem+json"
    assert suite.get("/rpc").header("Content-Type") == "application/problem+json"


def test_a_long_body_whose_call_failed_cannot_be_queued_and_is_told_so(start, database):
    suite = start(config={"upstreams": [{"name": "mail", "url": database.url}],
                          "routes": [{"path": "/mail", "upstream": "mail", "fallbacks": [{"kind": "queue"}]}]},
                  DATABASE_UPSTREAM_URL=None)

    def reset(request, connection):
        connection.take(100000)  # part of the body has come
        connection.close()

    database.read_body = False
    database.answer(reset)
    answer = suite.request("POST", "/mail", headers=[("Idempotency-Key", "k")], body=b"x" * 300000)
    assert answer.status == 502
    problem = json.loads(answer.body)
    assert problem["queued"] is False and "65536" in problem["detail"]
