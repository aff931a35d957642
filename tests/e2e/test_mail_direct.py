"""Mail that is submitted while its client waits: the server's word is the answer."""

import json
import socket

import pytest

from support.certificates import Authority
from support.ports import reserve_port
from support.smtp_sink import SmtpSink
from support.wait import wait_for

ENV = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000,
       "OUTBOX_BACKOFF": 50, "OUTBOX_BACKOFF_MAX": 200, "OUTBOX_REPLAY_RATE": 1000}
PLAIN = {"from": "Shop <shop@example.org>", "to": "a@example.org", "subject": "Hello", "text": "Hi\n"}


@pytest.fixture
def port():
    return reserve_port()


@pytest.fixture
def sink(port):
    with SmtpSink(port) as sink:
        yield sink


def config_of(port, queue=False, **upstream):
    if queue:
        upstream["smtp"] = {"submit": "direct", **upstream.get("smtp", {})}
    upstream = {"url": f"smtp://127.0.0.1:{port}", **upstream}
    if "urls" in upstream:
        del upstream["url"]
    chain = ([{"kind": "queue"}] if queue else []) + [{"kind": "error"}]
    return {"upstreams": [{"name": "email", **upstream}],
            "routes": [{"path": "/mail", "upstream": "email", "fallbacks": chain}]}


@pytest.fixture
def start(make_suite):
    return lambda config, **env: make_suite(processes=("api-front", "breaker"), env={**ENV, **env},
                                            config=config)


def post(suite, mail, kind="application/json", key=None):
    headers = [("Content-Type", kind)] + ([("Idempotency-Key", f'"{key}"')] if key else [])
    body = mail if isinstance(mail, bytes) else json.dumps(mail).encode()
    return suite.request("POST", "/mail", headers, body)


def refused(answer, status, code):
    assert (answer.status, answer.json()["code"]) == (status, code), (answer, answer.body)
    return answer.json()


def operation(suite, answer):
    assert answer.status == 202, (answer, answer.body)
    return json.loads(suite.get(answer.header("Location")).body)


def test_the_answer_is_the_servers_word(start, sink, port):
    suite = start(config_of(port))
    answer = post(suite, {**PLAIN, "to": ["a@example.org", "b@example.org"], "bcc": "c@example.org"})
    assert answer.status == 200, answer.body
    told = answer.json()
    assert told["accepted"] == ["a@example.org", "b@example.org", "c@example.org"]
    assert told["reply"] == "250 2.0.0 taken"
    assert answer.header("Valvechain-Fallback") is None
    assert sink.mails[0].message["message-id"] == told["message_id"]
    assert sink.mails[0].text() == "Hi\n"
    whole = b"From: x@example.org\nTo: y@example.org\nMessage-ID: <mine@example.org>\n\n.\n" + \
        b"z" * 70 + b"\n" * 10
    large = whole + (b".y" * 100 + b"\n") * 3000  # more than other routes read ahead
    for body in (whole, large):
        answer = post(suite, body, kind="message/rfc822")
        assert (answer.status, answer.json()["message_id"]) == (200, "<mine@example.org>")
        assert sink.mails[-1].raw.endswith(body.replace(b"\n", b"\r\n")[-60:])
    refused(post(suite, {**PLAIN, "to": "nobody"}), 400, "mail_bad")
    assert "1048576 bytes" in refused(post(suite, {**PLAIN, "text": "x" * (1 << 20)}), 413,
                                      "body_too_large")["detail"]
    assert len(sink.mails) == 3


def test_refusals(start, sink, port):
    suite = start(config_of(port))
    sink.rcpt["gone@example.org"] = "550 5.1.1 no such user"
    told = refused(post(suite, {**PLAIN, "to": ["a@example.org", "gone@example.org"]}), 422,
                   "mail_refused")
    assert told["smtp"] == {"code": 550, "reply": "550 5.1.1 no such user", "at": "RCPT"}
    sink.replies[:] = ["451 4.3.0 later"]
    answer = post(suite, PLAIN)
    assert refused(answer, 503, "mail_deferred")["smtp"]["code"] == 451
    assert int(answer.header("Retry-After")) >= 1
    sink.replies[:] = ["554 5.7.1 looks like spam"]
    assert refused(post(suite, PLAIN), 422, "mail_refused")["smtp"]["code"] == 554
    sink.replies[:] = ["drop at RCPT"]
    refused(post(suite, PLAIN), 502, "upstream_bad_answer")
    sink.replies[:] = ["drop"]
    refused(post(suite, PLAIN), 502, "mail_unknown")
    assert sink.mails == []


def test_what_fails_opens_the_breaker_and_a_refusal_does_not(start, sink, port):
    suite = start(config_of(port), CB_VOLUME_THRESHOLD=3, CB_RESET_TIMEOUT=60000)
    sink.rcpt["gone@example.org"] = "550 5.1.1 no such user"
    for _ in range(5):
        refused(post(suite, {**PLAIN, "to": "gone@example.org"}), 422, "mail_refused")
    sink.replies[:] = ["451 later"] * 3
    for _ in range(3):
        refused(post(suite, PLAIN), 503, "mail_deferred")
    refused(post(suite, PLAIN), 503, "circuit_open")
    assert len(sink.mails) == 0


def test_a_server_that_is_silent_or_away(start, port):
    # Its word after the message never comes.
    with SmtpSink(port) as sink:
        suite = start(config_of(port, breaker={"timeout_ms": 1000}))
        sink.replies[:] = ["silent"]
        refused(post(suite, PLAIN), 504, "mail_unknown")
    refused(post(suite, PLAIN), 502, "upstream_unreachable")
    # It takes the connection and greets nobody.
    with socket.create_server(("127.0.0.1", port)):
        refused(post(suite, PLAIN), 504, "upstream_timeout")


def test_the_queue_after_a_failure(start, port):
    suite = start(config_of(port, queue=True))
    first = post(suite, PLAIN)
    assert operation(suite, first)["state"] in ("queued", "sending")
    large = post(suite, {**PLAIN, "subject": "large", "text": "x" * 300_000})
    with SmtpSink(port) as sink:
        for answer in (first, large):
            wait_for(lambda a=answer: operation(suite, a)["state"] == "done", 30, "done")
        assert sorted(len(m.text()) for m in sink.mails) == [3, 300_000]
        assert post(suite, PLAIN).status == 200, "direct again"
        # After an unknown end it is kept with a key only: it would come twice.
        sink.replies[:] = ["drop"]
        refused(post(suite, PLAIN), 502, "mail_unknown")
        sink.replies[:] = ["drop"]
        keyed = post(suite, PLAIN, key="k1")
        wait_for(lambda: operation(suite, keyed)["state"] == "done", 30, "done")
        # What is too large to wait for in memory goes to the outbox at once.
        huge = post(suite, {**PLAIN, "text": "y" * (2 << 20)})
        wait_for(lambda: operation(suite, huge)["state"] == "done", 30, "done")
        assert len(sink.mails) == 5


def test_starttls_and_auth(start, port, tmp_path):
    authority = Authority(tmp_path)
    tls = authority.server(authority.issue("127.0.0.1"))
    secret = tmp_path / "password"
    secret.write_text("open sesame\n")
    smtp = {"username": "robot", "password_file": str(secret)}
    trusted = config_of(port, tls={"ca_file": str(authority.ca_file)}, smtp=smtp)
    with SmtpSink(port, tls=tls, login=("robot", "open sesame"), size=100_000, utf8=True) as sink:
        suite = start(trusted)
        assert post(suite, PLAIN).status == 200
        assert sink.encrypted == [True] and sink.logins == [("robot", "open sesame")]
        secret.write_text("wrong\n")
        told = refused(post(suite, PLAIN), 502, "mail_server_refuses")
        assert (told["smtp"]["code"], told["smtp"]["at"]) == (535, "AUTH")
        secret.unlink()
        refused(post(suite, PLAIN), 503, "mail_not_ready")
        secret.write_text("open sesame\n")
        # What EHLO says after STARTTLS counts.
        assert "at most 100000 bytes" in refused(post(suite, {**PLAIN, "text": "x" * 150_000}), 413,
                                                 "mail_too_large")["detail"]
        assert post(suite, {**PLAIN, "to": "zoë@example.org"}).status == 200
        assert len(sink.mails) == 2
    with SmtpSink(port) as plain:  # without TLS there is no password
        refused(post(suite, PLAIN), 502, "upstream_tls_failed")
        assert plain.mails == []
    with SmtpSink(port, tls=tls) as sink:
        refused(post(start(config_of(port)), PLAIN), 502, "upstream_tls_failed")
        assert sink.mails == []


def test_what_ehlo_offers(start, port):
    with SmtpSink(port, size=2000) as sink:
        suite = start(config_of(port))
        told = refused(post(suite, {**PLAIN, "text": "x" * 3000}), 413, "mail_too_large")
        assert "at most 2000 bytes" in told["detail"], told
        told = refused(post(suite, {**PLAIN, "to": "zoë@example.org"}), 422, "mail_needs_smtputf8")
        assert "SMTPUTF8" in told["detail"], told
        assert post(suite, PLAIN).status == 200
    with SmtpSink(port, utf8=True) as sink:
        answer = post(suite, {**PLAIN, "from": "jörg@example.org", "to": ["Zoë <zoë@exämple.org>"]})
        assert answer.status == 200, answer.body
        assert sink.mails[0].sender == "jörg@example.org"
        assert sink.mails[0].recipients[0].startswith("zoë@")
        assert answer.json()["accepted"] == ["zoë@exämple.org"]
        assert "zoë@exämple.org".encode() in sink.mails[0].raw


def test_another_endpoint_when_one_is_away(start, sink, port):
    urls = [f"smtp://127.0.0.1:{reserve_port()}", f"smtp://127.0.0.1:{port}"]
    suite = start(config_of(port, urls=urls))
    for _ in range(6):
        assert post(suite, PLAIN).status == 200
    assert len(sink.mails) == 6


def test_a_client_that_leaves_does_not_stop_its_mail(start, sink, port):
    suite = start(config_of(port, breaker={"timeout_ms": 1000}))
    sink.replies[:] = ["silent"]
    body = json.dumps(PLAIN).encode()
    with socket.create_connection(("127.0.0.1", suite.port)) as client:
        client.sendall(b"POST /mail HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        wait_for(lambda: not sink.replies, 10, "the message is there")
    assert post(suite, PLAIN).status == 200
    wait_for(lambda: suite.get("/api/circuit-breaker/stats").json()["circuitBreakers"]["email"]
             ["window"]["timeouts"] == 1, 10, "the submission's own end to be counted")
    assert len(sink.mails) == 1
