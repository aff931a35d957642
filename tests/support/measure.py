"""What benchmarks share: a server alone on one core, load from the other, CPU from /proc, medians."""

import csv
import datetime
import os
import re
import statistics
import subprocess

from . import raw_http
from .suite import ROOT
from .wait import wait_for

SERVER_CORE, LOAD_CORE = "0", "1"
TICKS = os.sysconf("SC_CLK_TCK")


def pinned(core, *command):
    return ["taskset", "-c", core, *command]


def pin(pid, core):
    """All threads of a process that runs already."""
    subprocess.run(["taskset", "-a", "-c", "-p", core, str(pid)], check=True, stdout=subprocess.DEVNULL)


def cpu_seconds(pids):
    """User and system time of the processes, their threads included."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            total += int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


class Server:
    """A server on its core, ready when it answers GET `path` with 200. `conf` is written to a file
    whose path ends the command; None: the command is complete. Environment: ours and `env`."""

    def __init__(self, name, port, core, command, folder, conf, path, env=None):
        self.name, self.port, self.path = name, port, path
        if conf is not None:
            conf_path = os.path.join(folder, f"{name}.conf")
            with open(conf_path, "w", encoding="utf-8") as file:
                file.write(conf)
            command = [*command, conf_path]
        self.log_path = os.path.join(folder, f"{name}.log")
        with open(self.log_path, "wb") as log:
            self.child = subprocess.Popen(pinned(core, *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env={**os.environ, **(env or {})})
        try:
            wait_for(self.answers, 20, f"{name} on port {port}")
        except BaseException:
            self.stop()
            raise

    def answers(self):
        if self.child.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                raise AssertionError(f"{self.name} did not start: {file.read()[-2000:]}")
        try:
            return raw_http.request(self.port, target=self.path).status == 200
        except (OSError, raw_http.Incomplete):
            return False

    def pids(self):
        return [self.child.pid, *children(self.child.pid)]

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(10)


def run_wrk(url, connections, seconds, script=None):
    """(requests, requests a second); every answer must be a 2xx."""
    text = subprocess.run(
        pinned(LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", *(["-s", script] if script else []), url),
        check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in text and "Socket errors" not in text, text
    return int(re.search(r"(\d+) requests in", text).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def median_of(rows, column, name, value):
    """Of `value` in the rows whose `column` is `name`."""
    return statistics.median(row[value] for row in rows if row[column] == name)


def median_ratio(rows, column, ours, other, value):
    """Median of the ratios within each round: what drifts between rounds cancels out."""
    rounds = {}
    for row in rows:
        rounds.setdefault(row["round"], {})[row[column]] = row[value]
    return statistics.median(values[ours] / values[other] for values in rounds.values() if ours in values and other in values)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*:\s*(.*)", file.read())
    return f"{model.group(1) if model else 'unknown CPU'}, {os.cpu_count()} cores, Linux {os.uname().release}"


def write_results(name, rows, text):
    """build/bench/NAME-TIME.csv and .txt"""
    folder = os.path.join(ROOT, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    with open(os.path.join(folder, f"{name}-{stamp}.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    with open(os.path.join(folder, f"{name}-{stamp}.txt"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    print(f"\nwritten: build/bench/{name}-{stamp}.csv and .txt")
