#!/usr/bin/python3
"""What a scrape costs: CPU of the process that answers it, and what requests feel of it.

    bench_scrape.py [SECONDS] [ROUNDS]

A suite whose configuration fills /metrics (24 routes, 16 upstreams) gets a paced load; in turn nobody scrapes,
and the agent is scraped ten times a second, a hundred times as often as a Prometheus asks.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import raw_http  # noqa: E402
from support.suite import BUILD, Suite  # noqa: E402
from support.upstream import Upstream  # noqa: E402

FORMS = {"text": "text/plain", "openmetrics": "application/openmetrics-text"}
RATE, CONNECTIONS, SCRAPES_PER_S = 200, 4, 10


def cpu_ms(process):
    with open(f"/proc/{process.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e6


def scrape(port, accept):
    return raw_http.request(port, "GET", "/metrics", [("Accept", accept)])


def cost_of_a_scrape(suite, process, port, accept, times=200):
    answer = scrape(port, accept)
    before = cpu_ms(process)
    for _ in range(times):
        answer = scrape(port, accept)
    spent = (cpu_ms(process) - before) / times
    series = sum(1 for line in answer.text.splitlines() if line and not line.startswith("#"))
    return spent, series, len(answer.body)


def paced(suite, seconds, scraped):
    load = subprocess.Popen([os.path.join(BUILD, "bin", "paced_load"), str(suite.port), "/r0/x", str(RATE),
                             str(seconds), str(CONNECTIONS)], stdout=subprocess.PIPE, text=True)
    while load.poll() is None:
        if scraped:
            scrape(suite.metrics_port, FORMS["openmetrics"])
        time.sleep(1 / SCRAPES_PER_S)  # the rate of the scrapes, not a wait for anything
    words = load.stdout.read().split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2])}


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with Upstream() as upstream:
        config = {"upstreams": [{"name": f"u{n}", "url": upstream.url} for n in range(16)],
                  "routes": [{"path": f"/r{n}", "name": f"r{n}", "upstream": f"u{n % 16}"} for n in range(24)]}
        with Suite(env={"ADVANCED_RATE_LIMITING": "false", "LOG_LEVEL": "error"}, config=config) as suite:
            for name, accept in FORMS.items():
                for process, port in (("metrics-agent", suite.metrics_port), ("api-front", suite.port)):
                    spent, series, size = cost_of_a_scrape(suite, suite[process], port, accept)
                    print(f"{process} {name}: {spent:.2f} ms of CPU a scrape, {series} samples, {size} bytes, "
                          f"{spent * 1000 / series:.2f} ms a thousand")
            for _ in range(rounds):
                for scraped in (False, True):
                    found = paced(suite, seconds, scraped)
                    print(f"{'scraped  ' if scraped else 'unscraped'} {found}")


if __name__ == "__main__":
    main()
