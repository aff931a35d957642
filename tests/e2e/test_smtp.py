"""Upstreams of smtp://: what is posted arrives at a real mail server, exactly, once and in order."""

import json

import pytest

from support.certificates import Authority
from support.ports import reserve_port
from support.smtp_sink import SmtpSink
from support.wait import Deadline, wait_for

PROCESSES = ("api-front", "breaker")
ENV = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 1000, "CB_TIMEOUT": 8000,
       "OUTBOX_BACKOFF": 50, "OUTBOX_BACKOFF_MAX": 200, "OUTBOX_REPLAY_RATE": 1000}
PLAIN = {"from": "Shop <shop@example.org>", "to": "a@example.org", "subject": "Hello", "text": "Hi\n"}


@pytest.fixture
def port():
    return reserve_port()


@pytest.fixture
def sink(port):
    with SmtpSink(port) as sink:
        yield sink


def config_of(port, order_by=None, **upstream):
    queue = {"kind": "queue", **({"order_by": order_by} if order_by else {})}
    return {"upstreams": [{"name": "email", "url": f"smtp://127.0.0.1:{port}", **upstream}],
            "routes": [{"path": "/mail", "upstream": "email",
                        "fallbacks": [queue, {"kind": "error"}]}]}


@pytest.fixture
def start(make_suite):
    return lambda config, **env: make_suite(processes=PROCESSES, env={**ENV, **env}, config=config)


def post(suite, mail, headers=(), kind="application/json", key=None):
    headers = [("Content-Type", kind), *headers] + ([("Idempotency-Key", f'"{key}"')] if key else [])
    body = mail if isinstance(mail, bytes) else json.dumps(mail).encode()
    return suite.request("POST", "/mail", headers, body)


def send(suite, mail, **options):
    answer = post(suite, mail, **options)
    assert answer.status == 202, (answer, answer.body)
    return answer.header("Location")


def operation(suite, location):
    return json.loads(suite.get(location).body)


def last_error(suite, location):
    return operation(suite, location)["lastError"] or ""


def wait_state(suite, location, state):
    try:
        wait_for(lambda: operation(suite, location)["state"] == state, 20, state)
    except Deadline as late:
        raise AssertionError(operation(suite, location)) from late
    return operation(suite, location)


def delivered(suite, sink, mail, **options):
    """The mail as it arrived, and the operation."""
    n = len(sink.mails)
    told = wait_state(suite, send(suite, mail, **options), "done")
    assert len(sink.mails) == n + 1
    return sink.mails[-1], told


TEXTS = [
    "Hi\n",
    "no line end",
    "",
    ".\n..dots\n.at line starts\n\n.\n",
    "Grüße, 你好 🎉\nzweite Zeile\n",
    "你好" * 3000 + "\n",
    "long " * 4000 + "\n" + "x" * 5000 + "\n",
    "trailing blanks  \t\n= and =3D\nFrom here\n\n\n",
]


def test_a_mail_of_json_arrives_exactly(start, sink, port):
    suite = start(config_of(port))
    for text in TEXTS:
        mail, told = delivered(suite, sink, {**PLAIN, "text": text})
        assert mail.text() == text, repr(text[:60])
        assert max(len(line) for line in mail.raw.split(b"\r\n")) <= 998
    html = "<p>Grüße – .<br>\n.</p>\n" * 200
    mail, told = delivered(suite, sink, {
        "from": "Jörg \"Q\" Müller <joerg@example.org>",
        "to": ["Zoë <zoe@example.org>", "b@example.org"], "cc": "Doe, J. <c@example.org>",
        "bcc": ["hidden@example.org"], "reply_to": "r@example.org",
        "subject": "Ihre Bestellung: Fahrräder, Zubehör und noch vieles mehr für den Sommer 🚲" * 3,
        "text": TEXTS[4], "html": html})
    assert mail.text() == TEXTS[4]
    assert mail.text("html") == html
    message = mail.message
    assert mail.sender == "joerg@example.org"
    assert mail.recipients == ["zoe@example.org", "b@example.org", "c@example.org",
                               "hidden@example.org"]
    assert message["from"].addresses[0].display_name == 'Jörg "Q" Müller'
    assert [a.display_name for a in message["to"].addresses] == ["Zoë", ""]
    assert message["cc"].addresses[0].display_name == "Doe, J."
    assert message["subject"] == ("Ihre Bestellung: Fahrräder, Zubehör und noch vieles mehr für "
                                  "den Sommer 🚲") * 3
    assert b"hidden" not in mail.raw and message["date"].datetime is not None
    assert message["reply-to"].addresses[0].addr_spec == "r@example.org"
    assert told["result"]["status"] == 202
    result = json.loads(told["result"]["body"])
    assert result["reply"] == "250 2.0.0 taken"
    assert message["message-id"] == result["message_id"] == f"<{told['id']}@example.org>"


def test_a_whole_message_passes_as_it_is(start, sink, port):
    suite = start(config_of(port))
    lines = ["From: \"A, B\" <ab@example.org>", "To: Team: c@example.org, d@example.org (dd);",
             "Bcc: secret@example.org,", " other@example.org", "Subject: raw",
             "Message-ID: <mine@example.org>", "Date: Tue, 24 Nov 2026 15:00:00 +0000", "",
             ".", "..two", "the end", ""]
    mail, told = delivered(suite, sink, "\n".join(lines).encode(), kind="message/rfc822")
    kept = lines[:2] + lines[4:]
    assert mail.raw == "\r\n".join(kept).encode()
    assert mail.sender == "ab@example.org"
    assert mail.recipients == ["c@example.org", "d@example.org", "secret@example.org",
                               "other@example.org"]
    assert json.loads(told["result"]["body"])["message_id"] == "<mine@example.org>"
    large = ("\r\n".join(lines[:7]) + "\r\n\r\n" + (".x" * 400 + "\r\n") * 2000).encode()
    mail, _ = delivered(suite, sink, large, kind="message/rfc822; charset=utf-8")
    assert mail.raw.endswith((".x" * 400 + "\r\n").encode() * 2000)


def test_what_is_no_mail_is_named_at_once(start, port):
    suite = start(config_of(port))
    for field, value in (("subject", "a\r\nBcc: x@example.org"), ("to", "a@b\r\nX: y"),
                         ("from", "a b"), ("reply_to", "\u0000a@example.org"), ("cc", [1]),
                         ("bcc", ["a@example.org"] * 101), ("text", 5), ("atachment", "x"),
                         ("to", None), ("from", "\u0085@example.org"),
                         ("reply_to", "ü@example.org")):
        answer = post(suite, {**PLAIN, field: value})
        assert (answer.status, answer.json()["code"]) == (400, "mail_bad"), (field, answer.body)
        assert answer.json()["detail"].startswith(field), answer.body
    assert post(suite, b"{").status == 400
    assert post(suite, b"To: a@example.org\n\nx", kind="message/rfc822").json()["detail"] == \
        "From: is missing"
    other = post(suite, PLAIN, kind="text/plain")
    assert (other.status, other.json()["code"]) == (415, "mail_type_unknown")
    for method in ("GET", "PUT", "DELETE"):
        answer = suite.request(method, "/mail")
        assert (answer.status, answer.header("Allow")) == (405, "POST")
    large = json.dumps({**PLAIN, "to": "nobody", "text": "x" * 100_000}).encode()
    told = wait_state(suite, send(suite, large), "dead")
    assert "to: is no address" in told["lastError"], told


def test_replies_of_the_server(start, sink, port):
    suite = start(config_of(port))
    sink.replies[:] = ["451 4.3.0 later", "421 4.3.2 busy"]
    told = wait_state(suite, send(suite, PLAIN), "done")
    assert told["attempts"] == 3
    sink.rcpt["gone@example.org"] = "550 5.1.1 no such user"
    told = wait_state(suite, send(suite, {**PLAIN, "to": ["a@example.org", "gone@example.org"]}),
                      "dead")
    assert (told["attempts"], told["lastError"]) == (1, "550 5.1.1 no such user (RCPT)")
    assert told["result"]["status"] == 422
    sink.replies[:] = ["554 5.7.1 looks like spam"]
    told = wait_state(suite, send(suite, PLAIN), "dead")
    assert told["lastError"] == "554 5.7.1 looks like spam (the end of the message)"
    assert len(sink.mails) == 1


def test_a_connection_that_breaks(start, sink, port):
    suite = start(config_of(port))
    sink.replies[:] = ["drop at RCPT"]
    assert wait_state(suite, send(suite, PLAIN), "done")["attempts"] == 2, "surely not sent: again"
    sink.replies[:] = ["drop"]
    told = wait_state(suite, send(suite, PLAIN), "parked")
    assert told["attempts"] == 1 and "not known" in told["lastError"], told
    sink.replies[:] = ["drop"]
    location = send(suite, PLAIN, key="k1")
    assert wait_state(suite, location, "done")["attempts"] == 2, "a key lets it be sent again"
    assert len(sink.mails) == 2


def test_starttls_and_auth(start, port, tmp_path):
    authority = Authority(tmp_path)
    tls = authority.server(authority.issue("127.0.0.1"))
    secret = tmp_path / "password"
    secret.write_text("open sesame\n")
    smtp = {"from": "robot@example.org",
            "username": "robot", "password_file": str(secret)}
    config = config_of(port, tls={"ca_file": str(authority.ca_file)}, smtp=smtp)
    with SmtpSink(port, tls=tls, login=("robot", "open sesame")) as sink:
        suite = start(config)
        mail, _ = delivered(suite, sink, {k: v for k, v in PLAIN.items() if k != "from"})
        assert mail.sender == "robot@example.org" and sink.encrypted == [True]
        assert sink.logins[-1] == ("robot", "open sesame")
        secret.write_text("wrong\n")
        location = send(suite, PLAIN)
        wait_for(lambda: "(AUTH)" in last_error(suite, location), 20, "refused")
        assert operation(suite, location)["state"] in ("queued", "sending"), "not the mail's fault"
        secret.write_text("open sesame\n")
        wait_state(suite, location, "done")
    # Without TLS there is no password.
    with SmtpSink(port, login=("robot", "open sesame")) as plain:
        location = send(suite, PLAIN)
        wait_for(lambda: last_error(suite, location), 20, "no TLS")
        assert plain.logins == [] and plain.mails == []


def test_a_certificate_that_is_not_trusted_gets_no_mail(start, port, tmp_path):
    authority = Authority(tmp_path)
    tls = authority.server(authority.issue("127.0.0.1"))
    with SmtpSink(port, tls=tls) as sink:
        suite = start(config_of(port))
        location = send(suite, PLAIN)
        wait_for(lambda: "not sent" in last_error(suite, location), 20, "refusal")
        assert sink.mails == []


def test_queued_mails_arrive_once_and_in_order(start, port):
    sink = SmtpSink(port)
    suite = start(config_of(port, order_by=["X-Lane"]), CB_RESET_TIMEOUT=200, CB_VOLUME_THRESHOLD=2)
    lane = [("X-Lane", "one")]
    first = [send(suite, {**PLAIN, "subject": f"n{i}"}, headers=lane, key=f"k{i}") for i in range(5)]
    wait_for(lambda: last_error(suite, first[0]), 20, "an attempt")
    sink.start()
    for location in first[:3]:
        wait_state(suite, location, "done")
    sink.stop()
    second = [send(suite, {**PLAIN, "subject": f"n{i}"}, headers=lane, key=f"k{i}")
              for i in range(5, 10)]
    sink.start()
    for location in first + second:
        wait_state(suite, location, "done")
    sink.stop()
    assert [m.message["subject"] for m in sink.mails] == [f"n{i}" for i in range(10)]
