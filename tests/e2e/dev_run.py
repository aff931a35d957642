"""Drives ./dev run as a person would: starts it, reads what it prints, presses Ctrl-C."""

import os
import re
import signal
import subprocess
import threading

from support.suite import ROOT
from support.wait import wait_for

LAST_LINE = "Ctrl-C stops all of it."


class DevRun:
    def __init__(self, name, port=None, **env):
        self.name = name
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TERM") if key in os.environ}
        environment.update({"VALVECHAIN_NAME": name, **{k: str(v) for k, v in env.items()}})
        if port:
            environment["PORT"] = str(port)
        self.lines = []
        self.child = subprocess.Popen(
            ["./dev", "run"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self):
        return "\n".join(self.lines)

    def wait_ready(self, seconds=300):
        def is_ready():
            assert self.child.poll() is None, f"./dev run ended:\n{self.text}"
            return LAST_LINE in self.lines

        wait_for(is_ready, seconds, "./dev run to be ready")
        return self

    @property
    def url(self):
        return re.search(r"gateway\s+(\S+)", self.text).group(1)

    @property
    def knobs(self):
        return re.search(r"its knobs\s+(\S+)", self.text).group(1)

    def commands(self):
        """The lines it tells people to try."""
        start = next(i for i, line in enumerate(self.lines) if line.startswith("Try"))
        end = self.lines.index(LAST_LINE)
        return [line for line in self.lines[start + 1:end] if line.startswith("curl")]

    def press_ctrl_c(self, seconds=60):
        """SIGINT to the whole foreground group, as a terminal sends it; returns the exit code."""
        os.killpg(self.child.pid, signal.SIGINT)
        return self.finish(seconds)

    def terminate(self, seconds=60):
        self.child.terminate()
        return self.finish(seconds)

    def finish(self, seconds):
        try:
            code = self.child.wait(seconds)
        finally:
            if self.child.poll() is None:
                self.child.kill()
        self._reader.join(10)
        return code

    def left_behind(self):
        """Processes with our suite's name in their environment, segments and sockets."""
        left = []
        mark = f"VALVECHAIN_NAME={self.name}\0".encode()
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                try:
                    with open(f"/proc/{entry}/environ", "rb") as file:
                        if mark in file.read() + b"\0":
                            left.append(f"process {entry}: {os.readlink(f'/proc/{entry}/exe')}")
                except OSError:
                    continue
        left += [f"/dev/shm/{n}" for n in os.listdir("/dev/shm") if n.startswith(f"{self.name}.")]
        for folder in (f"/run/{self.name}", f"/tmp/{self.name}-{os.getuid()}"):
            if os.path.exists(folder):
                left.append(folder)
        return left


def run_line(line):
    """Output of one printed line, as a shell runs it."""
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False).stdout


def counts(text):
    """'    100 200\\n      5 429\\n' -> {"200": 100, "429": 5}"""
    return {code: int(number) for number, code in re.findall(r"^\s*(\d+) (\d{3})$", text, re.M)}
