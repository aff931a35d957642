"""Simulated metrics-agents: what scaler-advisor gets to hear, without hosts.

    agents = Agents()                                  # one thread publishes for all of them
    agents.bind("a", f"ipc://{socket_dir}/metrics-agent.1.events", instances=2)
    agents.set("a", rate=300, cpu=20)
    agents.close()

Messages are encoded by hand after proto/valvechain/v1/valvechain.proto.
"""

import struct
import threading
import time

import zmq

TICK_SECONDS = 0.25


def _varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number, value):
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, (int, bool)):
        return _varint(number << 3) + _varint(int(value))
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def snapshot(fields):
    """A MetricsSnapshot from {field number: value}; field 1 is the Origin, {field number: value} too."""
    origin = b"".join(_field(number, value) for number, value in fields[1].items())
    rest = {number: value for number, value in fields.items() if number != 1}
    return _field(1, origin) + b"".join(_field(number, value) for number, value in rest.items())


class Agent:
    def __init__(self, host, instances, rate, cpu, skew_seconds):
        self.host, self.instances, self.rate, self.cpu = host, instances, rate, cpu
        self.skew_seconds = skew_seconds  # its wall clock is off by this
        self.total, self.sequence, self.started = 0.0, 0, time.monotonic()
        self.silent, self.late_seconds, self.queue = False, 0.0, []
        self.socket = None
        self.last = time.monotonic()

    def restart(self):
        """Counters begin anew, as after a reboot."""
        self.total, self.sequence, self.started = 0.0, 0, time.monotonic()

    def due(self):
        """What its host sends now: the newest, or what has been under way for late_seconds."""
        now = time.monotonic()
        self.queue.append((now + self.late_seconds, self.message()))
        due = [message for at, message in self.queue if at <= now]
        self.queue = [(at, message) for at, message in self.queue if at > now]
        return due

    def message(self):
        now = time.monotonic()
        self.total += self.rate * (now - self.last)
        self.last = now
        self.sequence += 1
        wall_ns = time.time_ns() + int(self.skew_seconds * 1e9)
        return snapshot({
            1: {1: "test", 2: "metrics-agent", 3: "1", 4: wall_ns, 5: self.host}, 2: self.sequence,
            3: float(self.rate), 4: 20.0, 5: int(self.total), 6: 3, 7: float(self.cpu), 8: 40.0,
            9: 100 << 20, 10: 1 << 30, 11: self.instances, 14: int((now - self.started) * 1000),
            15: int(self.rate), 16: True, 17: True, 18: True, 19: True})


class Agents:
    def __init__(self, curve=None):
        """`curve`: (public, secret, ZAP authenticator or None) of every TCP socket bound here."""
        self.context = zmq.Context()
        self.curve = curve
        self.agents = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def bind(self, host, address, instances=1, rate=50.0, cpu=50.0, skew_seconds=0.0, agent=None):
        """A new host, or with `agent` one that was away. Returns the agent."""
        agent = agent or Agent(host, instances, rate, cpu, skew_seconds)
        with self.lock:
            agent.socket = self.context.socket(zmq.PUB)
            agent.socket.linger = 0
            if self.curve and address.startswith("tcp:"):
                agent.socket.curve_publickey, agent.socket.curve_secretkey = self.curve
                agent.socket.curve_server = True
            agent.socket.bind(address)
            self.agents[host] = agent
        return agent

    def leave(self, host):
        with self.lock:
            agent = self.agents.pop(host)
            agent.socket.close()
        return agent

    def set(self, host, **values):
        with self.lock:
            for name, value in values.items():
                setattr(self.agents[host], name, value)

    def _run(self):
        while not self.ended.wait(TICK_SECONDS):
            with self.lock:
                for agent in self.agents.values():
                    for message in [] if agent.silent else agent.due():
                        agent.socket.send_multipart([b"metrics.snapshot", message])

    def close(self):
        self.ended.set()
        self.thread.join(10)
        for agent in self.agents.values():
            agent.socket.close()
        self.context.term()
