#!/usr/bin/python3
"""What the outbox accepts, through api-front and straight over ZeroMQ, beside the limit of the disk.

    ./dev bench outbox [ROUNDS] [SECONDS] [FOLDER]

64 writers, operations of 4 KiB, each acknowledged after its commit. In every round, one after the
other: groups of 64 x 4 KiB appended to a plain file with one fdatasync each (the limit: nothing
is smaller or does less), hand-overs to the breaker process over its socket, and POST with
Idempotency-Key through api-front, whose upstream is forced open. Files lie in FOLDER (default
build/bench). CPU is user + system time of the process for each operation, bytes what it gave to
write(2) for each byte of a body. Prints medians of the rounds; CSV in build/bench/.
"""

import csv
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.ports import reserve_port  # noqa: E402
from support.suite import BUILD, ROOT, Suite, binary  # noqa: E402

WRITERS, BYTES = 64, 4096
PROGRAM = os.path.join(BUILD, "bin", "bench_outbox")
TICKS = os.sysconf("SC_CLK_TCK")
AIM_PER_S, AIM_P99_MS = 10000, 10


def measure(*words):
    """(operations/s, p50, p99, longest in ms)"""
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


class Meter:
    """CPU seconds and written bytes of a process since it was made."""

    def __init__(self, process):
        self.pid = process.pid
        self.begin = self.read()

    def read(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        with open(f"/proc/{self.pid}/io", encoding="ascii") as file:
            counts = dict(line.split(": ") for line in file.read().splitlines())
        return (int(fields[11]) + int(fields[12])) / TICKS, int(counts["wchar"])

    def spent(self):
        return [now - then for now, then in zip(self.read(), self.begin)]


def make_suite(folder):
    return Suite(
        processes=("api-front", "breaker"),
        env={"OUTBOX_PATH": os.path.join(folder, "outbox.db"), "OUTBOX_MAX_ITEMS": 100000000,
             "OUTBOX_MAX_BYTES": 1 << 40, "ADVANCED_RATE_LIMITING": "false", "LOG_LEVEL": "warn",
             "ACCESS_LOG": "false", "CB_RESET_TIMEOUT": 60000},
        config={"upstreams": [{"name": "sink", "url": f"http://127.0.0.1:{reserve_port()}"}],
                "routes": [{"path": "/sink", "upstream": "sink",
                            "fallbacks": [{"kind": "queue"}, {"kind": "error"}]}]})


def socket_of(suite):
    return next(os.path.join(suite.socket_dir, name) for name in os.listdir(suite.socket_dir)
                if name.startswith("breaker.") and "commands" in name)


def measure_suite(folder, kind, seconds):
    """One kind in a new suite with a new database."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="outbox-") as inner:
        with make_suite(inner) as suite:
            subprocess.run([binary("valvectl"), "breaker", "open", "sink", "--reason", "benchmark"],
                           env=suite["breaker"].environment(), check=True, capture_output=True)
            meters = [Meter(suite[name]) for name in ("breaker", "api-front")]
            target = ("bus", socket_of(suite), "sink") if kind == "bus" else \
                ("http", suite.port, "/sink/bench")
            try:
                per_s, p50, p99, longest = measure(*target, WRITERS, seconds, BYTES)
            except AssertionError as why:
                raise AssertionError(f"{why}\n{suite['breaker'].tail()}") from None
            (owner_s, written), (front_s, _) = meters[0].spent(), meters[1].spent()
            commits = suite.metrics().sum("valvechain_outbox_commits_total")
            accepted = suite.metrics().sum("valvechain_outbox_accepted_total")
            return {"per_s": per_s, "p50_ms": p50, "p99_ms": p99, "max_ms": longest,
                    "owner_us": owner_s / accepted * 1e6, "front_us": front_s / accepted * 1e6,
                    "group": accepted / commits, "amplification": written / accepted / BYTES}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    folder = sys.argv[3] if len(sys.argv) > 3 else os.path.join(ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    results = {"disk": [], "bus": [], "http": []}
    for number in range(rounds):
        per_s, p50, p99, longest = measure("disk", os.path.join(folder, "groups"), WRITERS, seconds, BYTES)
        results["disk"].append({"per_s": per_s, "p50_ms": p50, "p99_ms": p99, "max_ms": longest,
                                "group": WRITERS, "amplification": 1.0})
        for kind in ("bus", "http"):
            results[kind].append(measure_suite(folder, kind, seconds))
        print(f"round {number + 1}: " + ", ".join(
            f"{kind} {runs[-1]['per_s']:.0f}/s p99 {runs[-1]['p99_ms']:.1f} ms"
            for kind, runs in results.items()), flush=True)
    report(results, rounds, seconds)


def report(results, rounds, seconds):
    now = datetime.datetime.now()
    path = os.path.join(ROOT, "build", "bench", f"outbox-{now:%Y%m%d-%H%M%S}.csv")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    columns = ("per_s", "p50_ms", "p99_ms", "max_ms", "group", "amplification", "owner_us", "front_us")
    with open(path, "w", encoding="ascii", newline="") as file:
        out = csv.writer(file)
        out.writerow(("kind", "round", *columns))
        for kind, runs in results.items():
            for number, run in enumerate(runs):
                out.writerow((kind, number + 1, *(run.get(column, "") for column in columns)))
    median = {kind: {column: statistics.median(run[column] for run in runs)
                     for column in columns if column in runs[0]} for kind, runs in results.items()}
    print(f"\n{now:%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; "
          f"{WRITERS} writers, {BYTES} bytes, medians of {rounds} rounds of {seconds} s\n")
    print("| | operations/s | (least, most) | of the limit | p50 ms | p99 ms | in a commit | written/body "
          "| CPU us: owner | front |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    names = {"disk": "plain groups + fdatasync", "bus": "over ZeroMQ", "http": "through api-front"}
    for kind, row in median.items():
        rates = [run["per_s"] for run in results[kind]]
        print(f"| {names[kind]} | {row['per_s']:.0f} | {min(rates):.0f}, {max(rates):.0f} "
              f"| {row['per_s'] / median['disk']['per_s']:.2f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} "
              f"| {row['group']:.0f} | {row['amplification']:.2f} "
              f"| {row.get('owner_us', 0):.0f} | {row.get('front_us', 0):.0f} |")
    reached = all(median[kind]["per_s"] >= AIM_PER_S and median[kind]["p99_ms"] < AIM_P99_MS
                  for kind in ("bus", "http"))
    print(f"\naim: {AIM_PER_S}/s with p99 under {AIM_P99_MS} ms: {'reached' if reached else 'missed'}; {path}")


main()
