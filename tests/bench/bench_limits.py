#!/usr/bin/python3
"""Decisions about limits: ours as a library, over ZeroMQ and over HTTP, and the same work on peers.

    ./dev bench limits [ROUNDS] [SECONDS] [PEERS]

Core 0: the program that decides, alone. Core 1: who asks. Every round measures all, in turning order;
CPU is user + system time from /proc/PID/stat of what decides: the limiter with ZeroMQ's thread,
api-front, nginx's or HAProxy's processes, node, redis-server (node with the Redis store: both). 10 000
keys in turn (Redis: at random); no limit is ever reached, and each HTTP server shows first that its limit
does refuse. What one decision is:

    library      limit_decide: one policy, a strict window, random keys
    limit.check  two policies (tier-free, global), both strict windows; over ipc://; single: one at a
                 time, pipelined: 250 to 500 on their way, batch: messages of 100 checks, 8 to 16 on their way
    redis        EVALSHA of INCRBY and EXPIRE, one fixed window; over its Unix socket; single: one
                 connection, one at a time; pipelined: 16 connections, 32 commands on their way on each
    HTTP         GET with keep-alive, wrk on 32 connections; /api/check charges the two policies of
                 limit.check, each peer one: limit_req, a stick table, express-rate-limit

PEERS, a list with commas, measures only these: library,check,redis,front,nginx,haproxy,express.
Prints a table; CSV in build/bench/. Express is left out, and said so, without npm's packages
(dev.d/bench.sh installs them under build/bench/express).
"""

import csv
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import measure, raw_http  # noqa: E402
from support.ports import reserve_port  # noqa: E402
from support.redis import Redis  # noqa: E402
from support.suite import BUILD, ROOT, Suite  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 32
KEYS = 10000
PEERS = ("library", "check", "redis", "front", "nginx", "haproxy", "express")
NODE_MODULES = os.path.join(ROOT, "build", "bench", "express", "node_modules")

NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3;
  uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;
  limit_req_zone $http_x_forwarded_for zone=tier:10m rate=1000000r/s;
  limit_req_zone $http_x_forwarded_for zone=tight:1m rate=1r/m;
  limit_req_status 429;
  server {{ listen 127.0.0.1:{port} backlog=4096;
    # Not `return`: it answers before limit_req is asked.
    location /check {{ limit_req zone=tier burst=1000000 nodelay; empty_gif; }}
    location /tight {{ limit_req zone=tight; empty_gif; }} }}
}}
"""

HAPROXY_CONF = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 30s
  timeout http-keep-alive 600s
frontend in
  bind 127.0.0.1:{port} backlog 4096
  stick-table type ip size 100k expire 15m store http_req_rate(15m)
  http-request track-sc0 hdr_ip(X-Forwarded-For)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 1000000000 }}
  http-request deny deny_status 429 if {{ path /tight }} {{ sc_http_req_rate(0) gt 1 }}
  http-request return status 200
"""

COUNTER_SCRIPT = "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], ARGV[2]) return n"


class Limiter:
    """The suite: api-front for /api/check, and the limiter for limit.check; one waits while the other works."""

    def __init__(self):
        window = {"TIER_RATE_WINDOW": 900000, "TIER_FREE_MAX": 65535, "GLOBAL_RATE_WINDOW": 900000, "GLOBAL_RATE_MAX": 65535}
        tight = {"name": "tight", "match": {"paths": ["/tight"]}, "key": ["client-address"], "limit": 1, "window_ms": 900000}
        self.suite = Suite(processes=("limiter", "api-front"), config={"limits": {"policies": [tight]}}, env={
            "NODE_ENV": "production", "LOG_LEVEL": "info", "ENABLE_REQUEST_LOGGING": "false",
            "MAX_CONNECTIONS_PER_ADDRESS": 4096, "UPSTREAM_URL": f"http://127.0.0.1:{reserve_port()}", **window})
        self.suite.start()
        self.port = self.suite.port
        for process in self.suite.processes:
            measure.pin(process.pid, measure.SERVER_CORE)

    def pids(self):
        return [self.suite["api-front"].pid]

    def stop(self):
        self.suite.stop()


class Check:
    """limit.check over ZeroMQ: `mode` single, pipelined or batch."""

    def __init__(self, limiter, mode):
        self.limiter, self.mode = limiter, mode
        self.what = f"limit.check, {mode}"

    def pids(self):
        return [self.limiter.suite["limiter"].pid]

    def run(self, seconds):
        socket = os.path.join(self.limiter.suite.socket_dir, "limiter.1.commands")
        words = subprocess.run(
            measure.pinned(measure.LOAD_CORE, os.path.join(BUILD, "bin", "bench_check"), socket, self.mode, str(seconds), str(KEYS)),
            check=True, capture_output=True, text=True).stdout.split()
        found = dict(zip(words[1::2], map(float, words[2::2])))
        return found["checks"], found["checks"] / found["seconds"], found["p50_us"], found["p99_us"]


class Eval:
    """The counter script on Redis. redis-benchmark takes a number of commands: as many as the last run says."""

    def __init__(self, redis, socket, mode, connections, pipeline):
        self.redis, self.socket, self.what = redis, socket, f"redis EVALSHA, {mode}"
        self.options = ["-c", str(connections), "-P", str(pipeline)]
        self.is_single = connections * pipeline == 1
        self.script = redis.call("SCRIPT", "LOAD", COUNTER_SCRIPT)
        self.per_s = 20000

    def pids(self):
        return [self.redis.child.pid]

    def run(self, seconds):
        count = int(self.per_s * seconds)
        text = subprocess.run(
            measure.pinned(measure.LOAD_CORE, "redis-benchmark", "-s", self.socket, "-n", str(count), "-r", str(KEYS), "--csv",
                           *self.options, "EVALSHA", self.script, "1", "limit:__rand_int__", "1", "900"),
            check=True, capture_output=True, text=True).stdout
        found = list(csv.DictReader(text.splitlines()))[-1]
        self.per_s = float(found["rps"])
        p50, p99 = (float(found[name]) * 1000 if self.is_single else 0 for name in ("p50_latency_ms", "p99_latency_ms"))
        return count, self.per_s, p50, p99


class Http:
    """GET by wrk; `more` are processes whose CPU counts, too."""

    def __init__(self, what, server, path="/check", more=()):
        self.what, self.server, self.path, self.more = what, server, path, more

    def pids(self):
        return [*self.server.pids(), *self.more]

    def run(self, seconds):
        url = f"http://127.0.0.1:{self.server.port}{self.path}"
        return *measure.run_wrk(url, CONNECTIONS, seconds, os.path.join(HERE, "many_keys.lua")), 0, 0

    def require_refusal(self):
        """The second request of a client to a place with a limit of 1."""
        target = self.path if self.path != "/check" else "/tight"
        headers = (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Uri", "/tight"))
        statuses = [raw_http.request(self.server.port, target=target, headers=headers).status for _ in range(2)]
        assert statuses == [200, 429], f"{self.what}: its limit of 1 answered {statuses}"


def start_express(folder, started):
    missing = [name for name in ("express", "express-rate-limit", "rate-limit-redis", "redis") if not os.path.isdir(os.path.join(NODE_MODULES, name))]
    if missing or not shutil.which("node"):
        print(f"express-rate-limit: left out, there is no {', '.join(missing) or 'node'}")
        return []
    redis = Redis()
    started.append(redis)
    redis.start()
    measure.pin(redis.child.pid, measure.SERVER_CORE)
    found = []
    for store, arguments, more in (("memory", [], []), ("Redis", [str(redis.port)], [redis.child.pid])):
        port = reserve_port()
        command = ["node", os.path.join(HERE, "bench_express_limit.js"), str(port), *arguments]
        started.append(measure.Server(f"express-{store}", port, measure.SERVER_CORE, command, folder, None, "/check",
                                      env={"NODE_PATH": NODE_MODULES, "NODE_ENV": "production"}))
        found.append(Http(f"express-rate-limit, {store}", started[-1], more=more))
    return found


def start_proxy(name, command, conf, folder, started):
    port = reserve_port()
    started.append(measure.Server(name, port, measure.SERVER_CORE, command, folder, conf.format(dir=folder, port=port), "/check"))
    return started[-1]


def start_all(peers, folder, started):
    found = []
    if "check" in peers or "front" in peers:
        limiter = Limiter()
        started.append(limiter)
        found += [Check(limiter, mode) for mode in ("single", "pipelined", "batch") if "check" in peers]
    if "redis" in peers:
        socket = os.path.join(folder, "redis.socket")
        redis = Redis(unixsocket=socket)
        started.append(redis)
        redis.start()
        measure.pin(redis.child.pid, measure.SERVER_CORE)
        found += [Eval(redis, socket, "single", 1, 1), Eval(redis, socket, "pipelined", 16, 32)]
    if "front" in peers:
        found.append(Http("GET /api/check", limiter, "/api/check"))
    if "nginx" in peers:
        found.append(Http("nginx limit_req", start_proxy("nginx", ["nginx", "-p", folder, "-c"], NGINX_CONF, folder, started)))
    if "haproxy" in peers:
        found.append(Http("HAProxy stick table", start_proxy("haproxy", ["haproxy", "-db", "-f"], HAPROXY_CONF, folder, started)))
    if "express" in peers:
        found += start_express(folder, started)
    for subject in found:
        if isinstance(subject, Http):
            subject.require_refusal()
    return found


def row(number, what, decisions, per_s, cpu_us, p50_us=0.0, p99_us=0.0):
    print(f"round {number}  {what:<28}{per_s:>12.0f}/s{cpu_us:>9.3f} us CPU", flush=True)
    return {"round": number, "what": what, "decisions": int(decisions), "per_s": round(per_s), "cpu_us": round(cpu_us, 3),
            "p50_us": round(p50_us), "p99_us": round(p99_us)}


def measure_library(rounds):
    """Medians of so many rounds by the program itself; a decision at a time, so its rate is 1/CPU."""
    text = subprocess.run(
        measure.pinned(measure.SERVER_CORE, os.path.join(BUILD, "bin", "bench_segment_limit"), "--brief", "yes", "--rounds", str(rounds)),
        check=True, capture_output=True, text=True).stdout
    rows = []
    for keys, ns in re.findall(r"decide,keys=(\d+),.*?ns=([\d.]+)", text):
        spaced = f"{int(keys):,}".replace(",", " ")
        rows.append(row(0, f"library, {spaced} keys", rounds * 1000000, 1e9 / float(ns), float(ns) / 1000))
    return rows


def measure_rounds(subjects, rounds, seconds):
    rows = []
    for number in range(rounds):
        for subject in subjects[number % len(subjects):] + subjects[:number % len(subjects)]:
            before = measure.cpu_seconds(subject.pids())
            decisions, per_s, p50_us, p99_us = subject.run(seconds)
            cpu_us = (measure.cpu_seconds(subject.pids()) - before) * 1e6 / decisions
            rows.append(row(number + 1, subject.what, decisions, per_s, cpu_us, p50_us, p99_us))
    return rows


# Ours, and the peers whose work it is.
PAIRS = (("limit.check, single", ("redis EVALSHA, single",)),
         ("limit.check, pipelined", ("redis EVALSHA, pipelined",)),
         ("limit.check, batch", ("redis EVALSHA, pipelined",)),
         ("GET /api/check", ("nginx limit_req", "HAProxy stick table", "express-rate-limit, memory", "express-rate-limit, Redis")))


def report(rows, loads):
    names = list(dict.fromkeys(entry["what"] for entry in rows))
    out = [f"{datetime.date.today()}, {measure.machine()}, load average {loads[0]:.1f} before and {loads[1]:.1f} after", "",
           f"{'':<28}{'decisions/s':>13}{'CPU us each':>13}{'p50 us':>9}{'p99 us':>9}"]
    for name in names:
        rate, cpu, p50, p99 = (measure.median_of(rows, "what", name, value) for value in ("per_s", "cpu_us", "p50_us", "p99_us"))
        out.append(f"{name:<28}{rate:>13.0f}{cpu:>13.3f}" + (f"{p50:>9.0f}{p99:>9.0f}" if p50 else ""))
    out.append("")
    for ours, others in PAIRS:
        for other in others:
            if ours in names and other in names:
                cpu, rate = (measure.median_ratio(rows, "what", ours, other, value) for value in ("cpu_us", "per_s"))
                out.append(f"{ours + ' / ' + other:<54} CPU each {cpu:6.3f}   decisions/s {rate:6.2f}")
    return "\n".join(out)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    peers = sys.argv[3].split(",") if len(sys.argv) > 3 else PEERS
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        sys.exit(f"bench limits: {', '.join(unknown)}: allowed are {', '.join(PEERS)}")
    if os.cpu_count() < 2:
        sys.exit("bench limits needs two cores: one for who decides, one for who asks")
    folder = tempfile.mkdtemp(prefix="vcbench-")
    started, rows = [], []
    loads = [os.getloadavg()[0]]
    try:
        if "library" in peers:
            rows += measure_library(rounds)
        subjects = start_all(peers, folder, started)
        for subject in subjects:
            subject.run(1)  # warm
        rows += measure_rounds(subjects, rounds, seconds)
    finally:
        for server in reversed(started):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    loads.append(os.getloadavg()[0])
    text = report(rows, loads)
    print("\n" + text)
    measure.write_results("limits", rows, text)


if __name__ == "__main__":
    main()
