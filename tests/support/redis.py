"""Real Redis servers and Sentinels for tests, on free ports, without files left behind."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile

from .ports import reserve_port
from .wait import wait_for

HAVE_REDIS = shutil.which("redis-server") is not None
HAVE_SENTINEL = shutil.which("redis-sentinel") is not None


class Redis:
    """One redis-server. `args` are options of its command line without the dashes."""

    def __init__(self, port=None, password=None, replica_of=None, **args):
        self.port = port or reserve_port()
        self.password = password
        self.dir = tempfile.mkdtemp(prefix="vcr-")
        self.options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.dir,
                        "repl-diskless-sync-delay": 0, **args}
        if password:
            self.options |= {"requirepass": password, "masterauth": password}
        if replica_of:
            self.options["replicaof"] = f"127.0.0.1 {replica_of.port}"
        self.child = None

    def command_line(self):
        line = ["redis-server"]
        for name, value in self.options.items():
            line += [f"--{name}", *(str(value).split(" ") if value != "" else [""])]
        return line

    def start(self):
        self.child = subprocess.Popen(self.command_line(), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      cwd=self.dir, start_new_session=True)
        wait_for(self.is_answering, 20, f"redis-server on port {self.port}", poll_seconds=0.02)
        return self

    def is_answering(self):
        try:
            return self.call("PING") == "PONG"
        except OSError:
            return False

    def call(self, *words):
        """One command, its reply as Python values; an error reply is raised."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
            file = plain.makefile("rwb")
            if self.password:
                self._send(file, "AUTH", self.password)
                self._read(file)
            self._send(file, *words)
            return self._read(file)

    @staticmethod
    def _send(file, *words):
        data = b"*%d\r\n" % len(words)
        for word in words:
            raw = str(word).encode()
            data += b"$%d\r\n%s\r\n" % (len(raw), raw)
        file.write(data)
        file.flush()

    def _read(self, file):
        line = file.readline().rstrip(b"\r\n")
        if not line:
            raise ConnectionError("redis closed the connection")
        kind, rest = line[:1], line[1:].decode()
        if kind == b"-":
            raise RuntimeError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._read(file) for _ in range(int(rest))]
        return rest

    def scripts_run(self):
        """How often the lease script ran, by the server's own count."""
        text = self.call("INFO", "commandstats")
        total = 0
        for line in text.splitlines():
            if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:")):
                total += int(line.split("calls=")[1].split(",")[0])
        return total

    def signal(self, number):
        os.kill(self.child.pid, number)

    def kill(self):
        if self.child and self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
            self.child.wait(10)

    def stop(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Sentinel(Redis):
    """One Sentinel that watches `master` under the name `name`."""

    def __init__(self, master, name="limits", quorum=1, down_after_ms=500):
        super().__init__()
        self.config = os.path.join(self.dir, "sentinel.conf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.dir}\n"
                       f"sentinel monitor {name} 127.0.0.1 {master.port} {quorum}\n"
                       f"sentinel down-after-milliseconds {name} {down_after_ms}\n"
                       f"sentinel failover-timeout {name} 3000\n")

    def command_line(self):
        return ["redis-sentinel", self.config]
