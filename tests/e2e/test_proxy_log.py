"""A reader of the log that has stopped reading must not stop the gateway."""

import os
import signal
import subprocess

import pytest

from support.suite import Suite, require_binaries
from support.upstream import Upstream
from support.wait import wait_for


@pytest.fixture(autouse=True, scope="module")
def built():
    require_binaries(("api-front",))


def fill(pipe):
    """Through an opening of its own: the flags of the one the process gets stay as they are."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(own, b"\n" * 4096)
    except BlockingIOError:
        pass
    finally:
        os.close(own)


def test_a_full_pipe_stops_nothing(monkeypatch):
    reader, writer = os.pipe()
    fill(writer)
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen",
                        lambda *args, **options: real(*args, **{**options, "stdout": writer}))
    try:
        with Upstream() as upstream, Suite(processes=("api-front",),
                                           env={"UPSTREAM_URL": upstream.url,
                                                "REQUEST_LOGGING": "true"}) as front:
            process = front["api-front"]
            for _ in range(3):
                process.signal(signal.SIGHUP)  # a reload writes log lines
                assert front.get("/a", timeout=5).body == b"ok"
            # What the reader takes up again are whole lines.
            os.set_blocking(reader, False)
            text = b""

            def has_lines():
                nonlocal text
                try:
                    text += os.read(reader, 1 << 20)
                except BlockingIOError:
                    pass
                return b'"event":"request"' in text

            wait_for(has_lines, 10, "the access log after the reader is back")
            assert all(line.startswith(b"{") for line in text.split(b"\n") if line)
    finally:
        os.close(reader)
        os.close(writer)
