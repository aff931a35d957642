"""SIGKILL of the breaker process, the gateway and the upstream at random moments, while keyed
operations stream into a real sink that records what arrives: every acknowledged operation takes
effect, none twice, in order within its lane.

    sink = HttpSink(folder)
    suite = Suite(**settings(sink))
    with suite: print(run(suite, sink, kills=20))

A sink is an object with `url` (of its upstream), `start()`, `kill()` and `effects()`: lists of key,
lane and number, in the order of effect, read from what it has on the disk; and `request(port, key,
lane, number)`, one attempt of a client to hand an operation for it to the gateway. It must take a
key once, also after its own death: that is what the gateway's promise of one effect rests on. A mail
server knows no keys: a mail whose end is unknown comes again, under the same Message-ID, by which
whoever reads it can tell. `repeated()` counts these; an effect is what came with a new one.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter

from . import raw_http
from .ports import reserve_port
from .wait import wait_for

LANES = 4
SECONDS_TO_END = 120  # for what is queued after the last kill


class Sink:
    """One of the programs of this folder as a process of its own."""

    program, scheme = None, None

    def __init__(self, folder):
        self.port, self.path, self.child = reserve_port(), os.path.join(folder, "effects"), None
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), self.program)
        self.child = subprocess.Popen([sys.executable, "-P", "-B", program, str(self.port), self.path],
                                      stdin=subprocess.DEVNULL)

    def kill(self):
        if self.child:
            self.child.kill()
            self.child.wait(10)

    def lines(self):
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="ascii") as file:
            return [line.split() for line in file.read().split("\n")[:-1]]


class HttpSink(Sink):
    program, scheme = "keyed_sink.py", "http"

    def effects(self):
        return self.lines()

    def repeated(self):
        return 0

    def request(self, port, key, lane, number):
        headers = [("Idempotency-Key", f'"{key}"'), ("X-Lane", str(lane))]
        return raw_http.request(port, "POST", "/sink", headers, str(number).encode(), timeout=8.0)


class MailSink(Sink):
    program, scheme = "smtp_sink.py", "smtp"

    def effects(self):
        first = {}
        for message_id, *effect in self.lines():
            first.setdefault(message_id, effect)
            assert first[message_id] == effect, f"{message_id} is two mails"
        return list(first.values())

    def repeated(self):
        return len(self.lines()) - len(self.effects())

    def request(self, port, key, lane, number):
        headers = [("Idempotency-Key", f'"{key}"'), ("X-Lane", str(lane)), ("Content-Type", "application/json")]
        mail = {"from": "robot@example.org", "to": "person@example.org", "subject": f"{key} {lane} {number}",
                "text": "Hello\n"}
        return raw_http.request(port, "POST", "/sink", headers, json.dumps(mail).encode(), timeout=8.0)


def settings(sink):
    """Of a suite whose route /sink queues for that sink; it retries fast, so that much happens."""
    return {
        "processes": ("api-front", "breaker"),
        "env": {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 2, "CB_RESET_TIMEOUT": 100,
                "CB_RESET_TIMEOUT_MAX": 200, "CB_TIMEOUT": 1000, "OUTBOX_BACKOFF": 20,
                "OUTBOX_BACKOFF_MAX": 100, "OUTBOX_REPLAY_RATE": 2000, "OUTBOX_TIMEOUT": 500,
                "OUTBOX_MAX_ATTEMPTS": 1000000, "LOG_LEVEL": "info"},
        "config": {"upstreams": [{"name": "sink", "url": sink.url}],
                   "routes": [{"path": "/sink", "upstream": "sink", "fallbacks": [
                       {"kind": "queue", "order_by": ["X-Lane"]}, {"kind": "error"}]}]}}


class Writer(threading.Thread):
    """One client: operations of its lane one after the other; each is asked for with the same key
    until it is acknowledged."""

    def __init__(self, suite, sink, lane, stop):
        super().__init__(daemon=True)
        self.suite, self.sink, self.lane, self.stop_event = suite, sink, lane, stop
        self.acknowledged = []
        self.answers = Counter()  # by status; "none" for a connection that broke
        self.unexpected = []

    def run(self):
        number = 0
        while not self.stop_event.is_set():
            key = f"l{self.lane}n{number}"
            if self.send(key, number):
                self.acknowledged.append(key)
                number += 1

    def send(self, key, number):
        """True once it is acknowledged; False only at the end."""
        while True:
            try:
                answer = self.sink.request(self.suite.port, key, self.lane, number)
                self.answers[answer.status] += 1
                if answer.status in (200, 202):
                    return True
                if answer.status not in (409, 502, 503, 504):
                    self.unexpected.append(answer)
            except (OSError, raw_http.Incomplete):
                self.answers["none"] += 1
            if self.stop_event.wait(0.01):
                return False


def check(sink, writers):
    effects = sink.effects()
    keys = {key for key, _, _ in effects}
    assert len(keys) == len(effects), "an operation took effect twice"
    for writer in writers:
        assert not writer.unexpected, writer.unexpected[:3]
        lost = [key for key in writer.acknowledged if key not in keys]
        assert not lost, f"acknowledged and never delivered: {lost[:10]}"
        order = [int(number) for _, lane, number in effects if lane == str(writer.lane)]
        assert order == sorted(order), f"lane {writer.lane} out of order"


def strike(suite, sink, victim, chance, stop):
    # The moment of a kill is random by design: no event stands for it.
    stop.wait(chance.uniform(0.0, 0.3))
    if victim == "sink":
        sink.kill()
        stop.wait(chance.uniform(0.0, 0.2))
        sink.start()
    else:
        suite[victim].kill()
        suite[victim].start()


def run(suite, sink, kills, seed=4, progress=None):
    """Returns what was seen, as text; an AssertionError is a broken promise."""
    chance, stop, victims, begin = random.Random(seed), threading.Event(), Counter(), time.monotonic()
    writers = [Writer(suite, sink, lane, stop) for lane in range(LANES)]
    try:
        for writer in writers:
            writer.start()
        for number in range(kills):
            victim = chance.choice(("breaker", "breaker", "api-front", "sink"))
            victims[victim] += 1
            strike(suite, sink, victim, chance, stop)
            if progress:
                progress(number + 1, sum(len(writer.acknowledged) for writer in writers))
        stop.set()
        for writer in writers:
            writer.join(30)
        sink.kill()
        sink.start()
        wait_for(lambda: suite.metrics().sum("valvechain_outbox_operations", state="queued") +
                 suite.metrics().sum("valvechain_outbox_operations", state="sending") == 0,
                 SECONDS_TO_END, "the outbox to be empty")
        check(sink, writers)
        assert not suite["breaker"].events("outbox.damaged"), "a kill is no damage"
        acknowledged = sum(len(writer.acknowledged) for writer in writers)
        answers = sum((writer.answers for writer in writers), Counter())
        assert acknowledged > kills
        return (f"{kills} kills ({dict(victims)}) in {time.monotonic() - begin:.0f} s: {acknowledged} acknowledged, "
                f"{len(sink.effects())} effects, none lost, none twice, in order; {sink.repeated()} mails came "
                f"again under their Message-ID; answers {dict(answers)}")
    finally:
        stop.set()
        sink.kill()
