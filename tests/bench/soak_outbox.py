#!/usr/bin/python3
"""./dev soak outbox [KILLS]: support/outbox_kills.py for as long as that takes, half of the kills with an
upstream of HTTP and half with a mail server; prints the counts."""

import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.outbox_kills import HttpSink, MailSink, run, settings  # noqa: E402
from support.suite import Suite  # noqa: E402


def progress(kills, acknowledged):
    if kills % 50 == 0:
        print(f"{kills:6} kills, {acknowledged} acknowledged", flush=True)


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for kind in (HttpSink, MailSink):
        with tempfile.TemporaryDirectory(prefix="outbox-soak-") as folder:
            sink = kind(folder)
            with Suite(**settings(sink)) as suite:
                print(f"{kind.scheme}: {run(suite, sink, (kills + 1) // 2, progress=progress)}", flush=True)


main()
