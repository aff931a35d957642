"""The promise of support/outbox_kills.py with 20 kills; `./dev soak outbox` makes it a thousand."""

from support.outbox_kills import HttpSink, run, settings

KILLS = 20


def test_kills_lose_nothing_and_repeat_nothing(make_suite, tmp_path):
    sink = HttpSink(str(tmp_path))
    print(run(make_suite(**settings(sink)), sink, KILLS))
