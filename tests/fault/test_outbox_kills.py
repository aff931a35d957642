"""SIGKILL of the breaker process, the gateway and the upstream at random moments, while keyed
operations stream into a real HTTP sink that records what arrives and honours Idempotency-Key:
every acknowledged operation takes effect, none twice, in order within its lane.

OUTBOX_KILLS=N makes it N kills instead of 20."""

import os
import random
import subprocess
import sys
import threading

from support import raw_http
from support.ports import reserve_port
from support.wait import wait_for

KILLS = int(os.environ.get("OUTBOX_KILLS", "20"))
LANES = 4
SINK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support", "keyed_sink.py")


class Sink:
    def __init__(self, port, path):
        self.port, self.path, self.child = port, path, None

    def start(self):
        self.child = subprocess.Popen([sys.executable, "-P", "-B", SINK, str(self.port), self.path],
                                      stdin=subprocess.DEVNULL)

    def kill(self):
        if self.child:
            self.child.kill()
            self.child.wait(10)

    def effects(self):
        """Lines `key lane body`, in the order of effect."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, encoding="ascii") as file:
            return [line.split() for line in file.read().split("\n")[:-1]]


class Writer(threading.Thread):
    """One client: operations of its lane one after the other; each is asked for with the same key
    until it is acknowledged."""

    def __init__(self, suite, lane, stop):
        super().__init__(daemon=True)
        self.suite, self.lane, self.stop_event = suite, lane, stop
        self.acknowledged = []
        self.unexpected = []

    def run(self):
        number = 0
        while not self.stop_event.is_set():
            key = f"l{self.lane}n{number}"
            if self.send(key, number):
                self.acknowledged.append((key, number))
                number += 1

    def send(self, key, number):
        """True once it is acknowledged; False only at the end."""
        headers = [("Idempotency-Key", f'"{key}"'), ("X-Lane", str(self.lane))]
        while True:
            try:
                answer = raw_http.request(self.suite.port, "POST", "/sink", headers,
                                          str(number).encode(), timeout=8.0)
                if answer.status in (200, 202):
                    return True
                if answer.status not in (409, 502, 503, 504):
                    self.unexpected.append(answer)
            except (OSError, raw_http.Incomplete):
                pass
            if self.stop_event.wait(0.01):
                return False


def check(sink, writers):
    effects = sink.effects()
    keys = [key for key, _, _ in effects]
    assert len(keys) == len(set(keys)), "an operation took effect twice"
    for writer in writers:
        assert not writer.unexpected, writer.unexpected[:3]
        lost = [key for key, _ in writer.acknowledged if key not in set(keys)]
        assert not lost, f"acknowledged and never delivered: {lost[:10]}"
        order = [int(body) for _, lane, body in effects if lane == str(writer.lane)]
        assert order == sorted(order), f"lane {writer.lane} out of order"


def test_kills_lose_nothing_and_repeat_nothing(make_suite, tmp_path):
    chance = random.Random(4)
    sink = Sink(reserve_port(), str(tmp_path / "effects"))
    suite = make_suite(
        processes=("api-front", "breaker"),
        env={"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 2, "CB_RESET_TIMEOUT": 100,
             "CB_RESET_TIMEOUT_MAX": 200, "CB_TIMEOUT": 1000, "OUTBOX_BACKOFF": 20,
             "OUTBOX_BACKOFF_MAX": 100, "OUTBOX_REPLAY_RATE": 2000, "OUTBOX_TIMEOUT": 500},
        config={"upstreams": [{"name": "sink", "url": f"http://127.0.0.1:{sink.port}"}],
                "routes": [{"path": "/sink", "upstream": "sink", "fallbacks": [
                    {"kind": "queue", "order_by": ["X-Lane"]}, {"kind": "error"}]}]})
    stop = threading.Event()
    writers = [Writer(suite, lane, stop) for lane in range(LANES)]
    try:
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            # The moment of a kill is random by design: no event stands for it.
            stop.wait(chance.uniform(0.0, 0.3))
            victim = chance.choice(("breaker", "breaker", "api-front", "sink"))
            if victim == "sink":
                sink.kill()
                stop.wait(chance.uniform(0.0, 0.2))
                sink.start()
            else:
                suite[victim].kill()
                suite[victim].start()
        stop.set()
        for writer in writers:
            writer.join(30)
        sink.kill()
        sink.start()
        wait_for(lambda: suite.metrics().sum("valvechain_outbox_operations", state="queued") +
                 suite.metrics().sum("valvechain_outbox_operations", state="sending") == 0, 60,
                 "the outbox to be empty")
        check(sink, writers)
        acknowledged = sum(len(writer.acknowledged) for writer in writers)
        print(f"{KILLS} kills, {acknowledged} acknowledged, {len(sink.effects())} effects")
        assert acknowledged > KILLS
    finally:
        stop.set()
        sink.kill()
