"""Starts the real processes of a suite from a build directory, in a world of their own.

    suite = Suite(env={"UPSTREAM_URL": upstream.url}, fronts=2)
    suite.start()                       # returns when every process has said READY
    suite.get("/api/app/hello").status
    before = suite.metrics(); ...; delta = suite.metrics() - before
    suite["limiter"].kill(); suite["limiter"].start()
    suite.stop()                        # TERM, by pid; complains about a bad exit or leftovers

Binaries: $VALVECHAIN_BUILD/bin (default build/release). Each suite has its own VALVECHAIN_NAME,
ports and socket folder; the segment lies in /dev/shm. Readiness is the process's own sd_notify
READY=1, for api-front also /readyz. Logs: suite[...].log (parsed JSON lines), suite[...].text.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from . import raw_http
from .metrics import Metrics
from .ports import reserve_port
from .wait import Deadline, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("VALVECHAIN_BUILD", os.path.join(ROOT, "build", "release")))
PROCESSES = ("api-front", "limiter", "breaker", "metrics-agent", "scaler-advisor")
START_SECONDS = 20.0
STOP_SECONDS = 20.0

# The environment of the person who runs the tests must not reach the processes under test.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
         "LSAN_OPTIONS", "LD_LIBRARY_PATH", "TMPDIR")

_names = iter(range(1, 1 << 30))


def kept_environment():
    return {key: os.environ[key] for key in _KEPT if key in os.environ}


def binary(process):
    name = process if process == "valvectl" else f"valvechain-{process}"
    return os.path.join(BUILD, "bin", name)


def require_binaries(processes=None):
    missing = [binary(p) for p in processes or PROCESSES if not os.path.exists(binary(p))]
    assert not missing, f"not built: {', '.join(missing)} (./dev build)"


class Process:
    """One process of the suite; start() again after kill() is a restart of the same instance."""

    def __init__(self, suite, name, instance="1", env=None, args=()):
        self.suite, self.name, self.instance = suite, name, instance
        self.env, self.args = dict(env or {}), list(args)
        self.wrapper = []  # a command that ends by exec of what follows it
        self.child = None
        self.ready = threading.Event()
        self.statuses = []  # texts of sd_notify STATUS=, oldest first
        self.watchdogs = 0
        self.log_path = os.path.join(suite.dir, f"{name}.{instance}.log")
        self.error_path = os.path.join(suite.dir, f"{name}.{instance}.err")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(f"\0{suite.name}/{name}@{instance}")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                data = self._notify.recv(4096)
            except OSError:
                return
            for line in data.decode("utf-8", "replace").splitlines():
                if line == "READY=1":
                    self.ready.set()
                elif line == "WATCHDOG=1":
                    self.watchdogs += 1
                elif line.startswith("STATUS="):
                    self.statuses.append(line[7:])

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def environment(self):
        env = kept_environment()
        env.update(self.suite.environment())
        env["INSTANCE"] = self.instance
        env["NOTIFY_SOCKET"] = f"@{self.suite.name}/{self.name}@{self.instance}"
        env.update(self.env)
        return {key: str(value) for key, value in env.items() if value is not None}

    def start(self, wait=True):
        assert self.child is None or self.child.poll() is not None, f"{self} runs already"
        self.ready.clear()
        with open(self.log_path, "ab") as out, open(self.error_path, "ab") as err:
            try:
                self.child = subprocess.Popen(
                    [*self.wrapper, binary(self.name), *self.args], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    env=self.environment(), cwd=self.suite.dir, start_new_session=True)
            except OSError as problem:
                raise AssertionError(f"{self} was not started: {problem}; {self._why_not()}") from None
        if wait:
            self.wait_ready()
        return self

    def _why_not(self):
        """What a start needs, as it is now: the program, its folder, memory."""
        found = []
        for path in (binary(self.name), self.suite.dir):
            try:
                state = os.stat(path)
                found.append(f"{path} has mode {state.st_mode:o}, {state.st_size} bytes, "
                             f"changed {time.time() - state.st_mtime:.3f} s ago")
            except OSError as problem:
                found.append(str(problem))
        with open("/proc/meminfo", encoding="ascii") as file:
            found += [line.strip() for line in file if line.startswith(("MemAvailable", "Committed_AS"))]
        return "; ".join(found)

    def wait_ready(self, seconds=START_SECONDS):
        def is_ready():
            if self.child.poll() is not None:
                raise AssertionError(f"{self} ended with {self.child.returncode} at start:\n{self.tail()}")
            return self.ready.is_set()

        try:
            wait_for(is_ready, seconds, f"READY of {self}", poll_seconds=0.005)
        except Deadline as late:
            raise Deadline(f"{late}\n{self.tail()}") from None

    def signal(self, number):
        self.child.send_signal(number)

    def freeze(self):
        """SIGSTOP, and waits until it stands; signal(SIGCONT) lets it go on."""
        self.child.send_signal(signal.SIGSTOP)

        def stands():
            with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
                return file.read().rpartition(")")[2].split()[0] == "T"

        wait_for(stands, 10, f"{self} to stand still", poll_seconds=0.001)

    def kill(self):
        """SIGKILL, and waits until the kernel has taken it away."""
        self.child.kill()
        self.child.wait(STOP_SECONDS)

    def terminate(self, seconds=STOP_SECONDS):
        """SIGTERM; returns the exit code, SIGKILLs what does not stop in time and complains."""
        if self.child is None or self.child.poll() is not None:
            return self.child.returncode if self.child else None
        self.child.terminate()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self} did not end {seconds} s after SIGTERM:\n{self.tail()}") from None

    def is_running(self):
        return self.child is not None and self.child.poll() is None

    @property
    def text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def errors(self):
        """What it wrote to standard error (sanitizer reports, assertion failures)."""
        with open(self.error_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def log(self):
        """Its JSON lines, parsed; a last line that is still being written is left out."""
        lines = self.text.split("\n")[:-1]
        return [json.loads(line) for line in lines if line.strip()]

    def events(self, event):
        return [entry for entry in self.log if entry.get("event") == event]

    def wait_event(self, event, seconds=10.0, where=lambda entry: True):
        return wait_for(lambda: next((e for e in self.events(event) if where(e)), None), seconds,
                        f"event {event} of {self}")

    def tail(self, lines=25):
        text = "\n".join(self.text.splitlines()[-lines:])
        return f"--- {self} stdout\n{text}\n--- stderr\n{self.errors[-4000:]}"

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise AssertionError(f"no VmRSS of {self}")

    def __repr__(self):
        return f"{self.name}@{self.instance}"


class Suite:
    """`env` wins over everything, None removes a variable. `process_env` {"limiter": {...}} is for
    one process only. `config` (a dict or text) is written as CONFIG_FILE."""

    def __init__(self, env=None, processes=None, fronts=1, config=None, process_env=None, name=None,
                 port=None, shm_dir="/dev/shm"):
        self.name = name or f"vctest-{os.getpid()}-{next(_names)}"
        self.dir = tempfile.mkdtemp(prefix="vct-")  # short: Unix socket paths end at 107 bytes
        self.socket_dir = os.path.join(self.dir, "s")
        self.shm_dir = shm_dir
        self.port = port or reserve_port()
        self.metrics_port = reserve_port()
        self.env = dict(env or {})
        self.config_path = None
        if config is not None:
            self.config_path = os.path.join(self.dir, "valvechain.json")
            self.write_config(config)
        process_env = process_env or {}
        self.processes = []
        for process in processes or PROCESSES:
            for number in range(1, (fronts if process == "api-front" else 1) + 1):
                self.processes.append(
                    Process(self, process, str(number), process_env.get(process)))
        self.stopped = False

    def write_config(self, config):
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(config if isinstance(config, str) else json.dumps(config, indent=2))

    def environment(self):
        env = {
            "VALVECHAIN_NAME": self.name,
            "SHM_DIR": self.shm_dir,
            "SOCKET_DIR": self.socket_dir,
            "NODE_ENV": "test",
            "LOG_LEVEL": "debug",
            "DRAIN_DELAY_MS": 0,
            "PORT": self.port,
            "OUTBOX_PATH": os.path.join(self.dir, "outbox.db"),
            "METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}",
        }
        if self.config_path:
            env["CONFIG_FILE"] = self.config_path
        env.update(self.env)
        return env

    def __getitem__(self, key):
        """suite["limiter"], suite["api-front@2"]"""
        name, _, instance = key.partition("@")
        for process in self.processes:
            if process.name == name and (not instance or process.instance == instance):
                return process
        raise KeyError(key)

    def __contains__(self, key):
        return any(process.name == key for process in self.processes)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        try:
            for process in self.processes:
                process.start(wait=False)
            for process in self.processes:
                process.wait_ready()
            if "api-front" in self:
                self.wait_ready()
        except BaseException:
            self._end_all()
            self._clean()
            raise
        return self

    def wait_ready(self, seconds=START_SECONDS):
        def is_ready():
            try:
                return self.get("/readyz", timeout=2.0).status == 200
            except (OSError, raw_http.Incomplete):
                return False

        wait_for(is_ready, seconds, f"/readyz of {self.name}\n{self['api-front'].tail()}")

    def get(self, target, headers=(), **options):
        return raw_http.request(self.port, "GET", target, headers, **options)

    def request(self, method, target, headers=(), body=None, **options):
        return raw_http.request(self.port, method, target, headers, body, **options)

    def metrics(self, path="/metrics"):
        answer = self.get(path)
        assert answer.status == 200, answer
        return Metrics.parse(answer.text)

    def segment_files(self):
        return sorted(os.path.join(self.shm_dir, entry) for entry in os.listdir(self.shm_dir)
                      if entry == self.name or entry.startswith(f"{self.name}."))

    def _end_all(self):
        for process in self.processes:
            if process.is_running():
                process.kill()

    def _clean(self):
        for process in self.processes:
            process._notify.close()
        for path in self.segment_files():
            os.unlink(path)
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self, check=True):
        """TERM to all at once; the exit must be clean, and no sanitizer may have spoken."""
        if self.stopped:
            return
        self.stopped = True
        complaints = []
        try:
            running = [process for process in self.processes if process.is_running()]
            for process in running:
                process.signal(signal.SIGTERM)
            for process in running:
                try:
                    code = process.terminate()
                    if check and code != 0:
                        complaints.append(f"{process} ended with {code}\n{process.tail()}")
                except AssertionError as late:
                    complaints.append(str(late))
            for process in self.processes:
                if process.child and ("Sanitizer" in process.errors or "runtime error" in process.errors):
                    complaints.append(f"sanitizer report of {process}\n{process.errors[:8000]}")
        finally:
            self._end_all()
            self._clean()
        if check:
            assert not complaints, "\n".join(complaints)


class Load:
    """A load generator in threads: keep-alive connections, counts of every outcome.

        with Load(suite.port, "/api/app/hello", connections=4) as load:
            ...
        assert load.failures == []
    """

    def __init__(self, port, target="/", connections=4, accept=(200,), headers=(), host="127.0.0.1"):
        self.port, self.target, self.host = port, target, host
        self.accept = accept
        self.statuses = {}
        self.failures = []  # (seconds since start, text): wrong status or broken connection
        self.requests = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._start = time.monotonic()
        lines = [f"GET {target} HTTP/1.1", "Host: test.example"]
        lines += [f"{name}: {value}" for name, value in headers]
        self._data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for_requests(self, count, seconds=20.0):
        """Waits until that many more requests have been answered."""
        goal = self.requests + count
        wait_for(lambda: self.requests >= goal, seconds, f"{count} more answers under load")

    def _fail(self, text):
        with self._lock:
            self.failures.append((round(time.monotonic() - self._start, 3), text))

    def _run(self):
        connection = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = raw_http.Connection(self.port, host=self.host, timeout=10.0)
                connection.send(self._data)
                answer = connection.read_response()
                with self._lock:
                    self.requests += 1
                    self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                if answer.status not in self.accept:
                    self._fail(f"status {answer.status}: {answer.body[:300]!r}")
                if (answer.header("Connection") or "").lower() == "close":
                    connection.close()
                    connection = None
            except (OSError, raw_http.Incomplete) as problem:
                self._fail(f"{type(problem).__name__}: {problem}")
                if connection:
                    connection.close()
                connection = None
        if connection:
            connection.close()
