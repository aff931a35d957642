"""Asks ValveChain's limiter whether a request may pass (Debian: python3-zmq; no generated code).

    limits = Limits("/run/valvechain/limiter.1.commands")
    verdict = limits.check(client="192.0.2.7", subject="alice", path="/reports")
    if not verdict["admitted"]: wait verdict["retry_after_ms"]

Fields are those of LimitCheck and LimitVerdict in docs/protocol.md; bytes are hexadecimal digits.
"""

import json

import zmq


class Refused(Exception):
    """The limiter did not understand the question; nothing was charged."""


class Limits:
    def __init__(self, path, timeout_ms=200):
        self.path, self.timeout_ms = path, timeout_ms
        self.socket = None

    def call(self, topic, **fields):
        if self.socket is None:
            self.socket = zmq.Context.instance().socket(zmq.REQ)
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.connect(f"ipc://{self.path}")
        self.socket.send_multipart([topic.encode(), json.dumps(fields).encode()])
        if not self.socket.poll(self.timeout_ms):
            self.socket.close()  # a REQ socket that waits for its answer asks nothing else
            self.socket = None
            raise TimeoutError(f"no answer of {self.path} within {self.timeout_ms} ms")
        answered, reply = self.socket.recv_multipart()
        reply = json.loads(reply)
        if answered == b"refused":
            raise Refused(reply["reason"])
        return reply

    def check(self, **fields):
        return self.call("limit.check", **fields)

    def check_all(self, checks):
        return self.call("limit.check.batch", checks=checks)["verdicts"]

    def refund(self, *verdicts):
        return self.call("limit.refund", tokens=[verdict["token"] for verdict in verdicts])
