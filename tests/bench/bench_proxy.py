#!/usr/bin/python3
"""api-front against nginx and HAProxy: the same upstream, one core for the proxy, one for the rest.

    ./dev bench proxy [ROUNDS] [SECONDS]

Core 0: the proxy under test, alone. Core 1: the upstream (nginx, static answer), the load generator
and the suite's other processes. Every round measures the three, in turning order, with wrk on 32
keep-alive connections; CPU is user + system time of the proxy's processes from /proc/PID/stat.
Limits, breaker and metrics are on in api-front, limit_req in nginx, a stick table in HAProxy, none
of them ever in the way; access logs are off everywhere. Then p99 at half of each one's saturation
(paced_load measures from when a request was due) and resident memory with 1 000 idle connections.
Prints tables; CSV in build/bench/.
"""

import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import measure  # noqa: E402
from support.measure import cpu_seconds, pinned, rss_kib  # noqa: E402
from support.ports import reserve_port  # noqa: E402
from support.suite import BUILD, Suite  # noqa: E402
from support.wait import wait_for  # noqa: E402

PROXY_CORE, OTHER_CORE = measure.SERVER_CORE, measure.LOAD_CORE
CONNECTIONS = 32
PATH = "/api/app/hello"

UPSTREAM_CONF = """
daemon off; worker_processes 1; pid {dir}/upstream.pid; error_log {dir}/upstream.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {dir}/u1; proxy_temp_path {dir}/u2; fastcgi_temp_path {dir}/u3;
  uwsgi_temp_path {dir}/u4; scgi_temp_path {dir}/u5;
  server {{ listen 127.0.0.1:{upstream} backlog=4096;
    location / {{ default_type text/plain; return 200 "Hello from the application behind it.\\n"; }} }}
}}
"""

NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3;
  uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;
  limit_req_zone $binary_remote_addr zone=tier:10m rate=1000000r/s;
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{
      limit_req zone=tier burst=1000000 nodelay;
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Request-Id $request_id; }} }}
}}
"""

HAPROXY_CONF = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 30s
  timeout http-keep-alive 600s
frontend in
  bind 127.0.0.1:{port} backlog 4096
  stick-table type ip size 100k expire 15m store http_req_rate(15m)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000000 }}
  unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  unique-id-header X-Request-Id
  option forwardfor
  default_backend app
backend app
  http-reuse always
  server app 127.0.0.1:{upstream} pool-max-conn 128
"""


class Front:
    """The suite; the proxy is api-front alone, the other processes sit on the other core."""

    name = "api-front"

    def __init__(self, upstream_port):
        self.suite = Suite(env={
            "UPSTREAM_URL": f"http://127.0.0.1:{upstream_port}", "NODE_ENV": "production", "LOG_LEVEL": "info",
            "ENABLE_REQUEST_LOGGING": "false", "MAX_CONNECTIONS_PER_ADDRESS": 8192,
            "TIER_RATE_WINDOW": 1000, "TIER_FREE_MAX": 65535, "GLOBAL_RATE_WINDOW": 1000, "GLOBAL_RATE_MAX": 65535,
        })
        self.suite.start()
        self.port = self.suite.port
        for process in self.suite.processes:
            measure.pin(process.pid, PROXY_CORE if process.name == "api-front" else OTHER_CORE)

    def pids(self):
        return [self.suite["api-front"].pid]

    def stop(self):
        self.suite.stop()


def run_wrk(port, seconds):
    return measure.run_wrk(f"http://127.0.0.1:{port}{PATH}", CONNECTIONS, seconds)


def paced(port, rate, seconds):
    text = subprocess.run(
        pinned(OTHER_CORE, os.path.join(BUILD, "bin", "paced_load"), str(port), PATH, str(int(rate)), str(seconds), str(CONNECTIONS)),
        check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(text[::2], map(int, text[1::2])))


def settled_kib(pids):
    """Resident memory once it has not changed for three seconds (api-front gives idle buffers back after two)."""
    readings = []

    def settled():
        readings.append(rss_kib(pids))
        return len(readings) > 6 and len(set(readings[-7:])) == 1

    wait_for(settled, 30, "resident memory to settle", poll_seconds=0.5)
    return readings[-1]


def idle_memory(proxy, count):
    before = rss_kib(proxy.pids())
    child = subprocess.Popen([os.path.join(BUILD, "bin", "paced_load"), str(proxy.port), PATH, "idle", str(count)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline().startswith("idle"), f"{proxy.name} did not take {count} connections"
        return before, settled_kib(proxy.pids())
    finally:
        child.stdin.close()
        child.wait(10)


def measure_rounds(proxies, rounds, seconds):
    rows = []
    for number in range(rounds):
        for proxy in proxies[number % len(proxies):] + proxies[:number % len(proxies)]:
            before = cpu_seconds(proxy.pids())
            requests, rate = run_wrk(proxy.port, seconds)
            cpu_us = (cpu_seconds(proxy.pids()) - before) * 1e6 / requests
            rows.append({"round": number + 1, "proxy": proxy.name, "requests": requests,
                         "requests_per_s": round(rate, 1), "cpu_us_per_request": round(cpu_us, 2)})
            print("round {round}  {proxy:<10} {requests_per_s:>10} requests/s  {cpu_us_per_request:>7} us CPU a request".format(**rows[-1]), flush=True)
    return rows


def ratios(rows, other, column):
    return measure.median_ratio(rows, "proxy", "api-front", other, column)


def report(proxies, rows, latency, memory):
    out = [f"{datetime.date.today()}, {measure.machine()}", "",
           f"{'':<12}{'requests/s':>12}{'CPU us/req':>12}{'p50 us @50%':>13}{'p99 us @50%':>13}{'RSS KiB':>10}{'1000 idle':>12}"]
    for proxy in proxies:
        name = proxy.name
        out.append(f"{name:<12}{measure.median_of(rows, 'proxy', name, 'requests_per_s'):>12.0f}{measure.median_of(rows, 'proxy', name, 'cpu_us_per_request'):>12.2f}"
                   f"{latency[name]['p50_us']:>13}{latency[name]['p99_us']:>13}{memory[name][0]:>10}{memory[name][1]:>12}")
    for other in ("nginx", "haproxy"):
        cpu, rate = ratios(rows, other, "cpu_us_per_request"), ratios(rows, other, "requests_per_s")
        out.append(f"api-front / {other:<8} CPU per request {cpu:.2f} (to reach: at most 1.10)   requests/s {rate:.2f}")
    return "\n".join(out)


def start_server(name, folder, port, core, command, conf, upstream_port):
    return measure.Server(name, port, core, command, folder, conf.format(dir=folder, port=port, upstream=upstream_port), PATH)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    if os.cpu_count() < 2:
        sys.exit("bench proxy needs two cores: one for the proxy, one for the load")
    folder = tempfile.mkdtemp(prefix="vcbench-")
    upstream_port = reserve_port()
    started = []
    try:
        started.append(start_server("upstream", folder, upstream_port, OTHER_CORE, ["nginx", "-p", folder, "-c"], UPSTREAM_CONF, upstream_port))
        proxies = [Front(upstream_port)]
        started += proxies
        for name, command, conf in (("nginx", ["nginx", "-p", folder, "-c"], NGINX_CONF), ("haproxy", ["haproxy", "-db", "-f"], HAPROXY_CONF)):
            proxies.append(start_server(name, folder, reserve_port(), PROXY_CORE, command, conf, upstream_port))
            started.append(proxies[-1])
        for proxy in proxies:
            run_wrk(proxy.port, 1)  # warm
        rows = measure_rounds(proxies, rounds, seconds)
        latency = {proxy.name: paced(proxy.port, measure.median_of(rows, "proxy", proxy.name, "requests_per_s") / 2, seconds) for proxy in proxies}
        memory = {proxy.name: idle_memory(proxy, 1000) for proxy in proxies}
    finally:
        for server in reversed(started):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    text = report(proxies, rows, latency, memory)
    print("\n" + text)
    measure.write_results("proxy", rows, text)


if __name__ == "__main__":
    main()
