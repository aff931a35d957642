"""A real mail server (aiosmtpd) that records what it is given, and refuses or hangs up when told.

As a process of its own, so that it can be killed:

    smtp_sink.py PORT FILE

Each mail it takes becomes a line in FILE, `Message-ID subject`, before the answer.
"""

import asyncio
import email
import email.policy
import os
import signal
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult


class Mail:
    def __init__(self, envelope):
        self.sender = envelope.mail_from
        self.recipients = list(envelope.rcpt_tos)
        self.raw = envelope.original_content
        self.message = email.message_from_bytes(self.raw, policy=email.policy.default)

    def text(self, subtype="plain"):
        part = self.message.get_body((subtype,))
        return part.get_content().replace("\r\n", "\n")


class SmtpSink:
    """`replies`: what the next messages are answered after DATA ("451 4.3.0 later"), "drop" hangs up
    there, "drop at RCPT" before, "silent" says nothing; `rcpt`: replies to RCPT by address, as long as
    they stand. `size`: as EHLO announces it."""

    def __init__(self, port, tls=None, login=None, size=None, utf8=False):
        self.port, self.tls, self.login = port, tls, login
        self.size, self.utf8 = size, utf8
        self.mails, self.replies, self.rcpt, self.logins = [], [], {}, []
        self.encrypted = []
        self.controller = None

    def start(self):
        options = {"enable_SMTPUTF8": self.utf8, "hostname": "sink.test"}
        if self.size is not None:
            options["data_size_limit"] = self.size
        if self.tls:
            options.update(tls_context=self.tls, require_starttls=True)
        if self.login:
            options.update(auth_required=True, auth_require_tls=bool(self.tls),
                           authenticator=self._authenticate)
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.factory = lambda: SMTP(self, **options)
        self.controller.start()
        return self

    def stop(self):
        if self.controller:
            self.controller.stop(no_assert=True)
            self.controller = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _authenticate(self, server, session, envelope, mechanism, auth_data):
        given = (auth_data.login.decode(), auth_data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == self.login, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.replies[:1] == ["drop at RCPT"]:
            self.replies.pop(0)
            server.transport.abort()
            return "421 gone"
        if address in self.rcpt:
            return self.rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        reply = self.replies.pop(0) if self.replies else "250 2.0.0 taken"
        if reply == "silent":
            await asyncio.Event().wait()  # the client ends it
        if reply == "drop":
            server.transport.abort()
            return "421 gone"
        if reply.startswith("2"):
            self.mails.append(Mail(envelope))
            self.encrypted.append(session.ssl is not None)
        return reply


class FileSink(SmtpSink):
    def __init__(self, port, path):
        super().__init__(port)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def handle_DATA(self, server, session, envelope):
        message = Mail(envelope).message
        os.write(self.file, f"{message['Message-ID']} {message['Subject']}\n".encode())
        return "250 2.0.0 taken"


if __name__ == "__main__":
    FileSink(int(sys.argv[1]), sys.argv[2]).start()
    signal.pause()
