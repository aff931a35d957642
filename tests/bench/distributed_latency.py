"""What a request that needs no lease pays for Redis: the same requests, one at a time and in turn, to a
suite without Redis, to one whose limits are distributed (its key has tokens here), and to one that has
Redis but counts locally.

    distributed_latency.py [REQUESTS]      to each suite; default 20000

Prints p50 and p99 of each suite, the median of the paired differences, the gateway's CPU a request (which a
busy machine changes least), and how many requests waited for a lease after all.
"""

import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.redis import Redis  # noqa: E402
from support.suite import Suite  # noqa: E402
from support.wait import wait_for  # noqa: E402

LIMITS = {"TIER_FREE_MAX": 16000000, "GLOBAL_RATE_MAX": 16000000, "LOG_LEVEL": "warn"}
REQUEST = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n"


class Client:
    """Keeps one connection; an answer is read as far as one read gives, which is all of so small a one."""

    def __init__(self, suite):
        self.sock = socket.create_connection(("127.0.0.1", suite.port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self):
        began = time.perf_counter_ns()
        self.sock.sendall(REQUEST)
        answer = self.sock.recv(65536)
        took = time.perf_counter_ns() - began
        assert answer.startswith(b"HTTP/1.1 404"), answer[:200]
        return took


def waits(suite):
    return int(suite.metrics().sum("valvechain_lease_waits_total"))


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] / 1000


def cpu_ns(suite):
    with open(f"/proc/{suite['api-front'].pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def measure(suites, requests):
    clients = {name: Client(suite) for name, suite in suites.items()}
    for client in clients.values():
        for _ in range(500):
            client.ask()
    took = {name: [] for name in suites}
    cpu = {name: -cpu_ns(suite) for name, suite in suites.items()}
    names = list(suites)
    for number in range(requests):
        for at in range(len(names)):  # each is first as often as the others
            name = names[(number + at) % len(names)]
            took[name].append(clients[name].ask())
    return took, {name: (cpu[name] + cpu_ns(suite)) / requests / 1000 for name, suite in suites.items()}


def main():
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    with Redis() as redis:
        store = {"REDIS_ENABLED": "true", "REDIS_PORT": redis.port}
        suites = {name: Suite(env={**LIMITS, **env}, processes=("limiter", "api-front"))
                  for name, env in (("without", {}), ("leased", store),
                                    ("local", {**store, "LIMITS_SCOPE": "local"}))}
        try:
            for suite in suites.values():
                suite.start()
            for name in ("leased", "local"):
                wait_for(lambda name=name: suites[name].metrics().sum("valvechain_redis_up") == 1, 20,
                         "Redis seen")
            took, cpu = measure(suites, requests)
            for name, suite in suites.items():
                paired = [one - other for one, other in zip(took[name], took["without"])]
                print(f"{name:8} p50 {percentile(took[name], 0.5):7.1f} us  "
                      f"p99 {percentile(took[name], 0.99):7.1f} us  against without: "
                      f"median {percentile(paired, 0.5):+6.1f} us, p99 - p99 "
                      f"{percentile(took[name], 0.99) - percentile(took['without'], 0.99):+6.1f} us, "
                      f"CPU {cpu[name]:5.1f} us a request, {waits(suite)} of {requests + 500} waited for a lease")
        finally:
            for suite in suites.values():
                suite.stop()


if __name__ == "__main__":
    main()
