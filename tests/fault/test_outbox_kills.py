"""The promise of support/outbox_kills.py with 20 kills; `./dev soak outbox` makes it a thousand."""

import pytest
from support.outbox_kills import HttpSink, MailSink, run, settings

KILLS = 20


@pytest.mark.parametrize("kind", [HttpSink, MailSink])
def test_kills_lose_nothing_and_repeat_nothing(make_suite, tmp_path, kind):
    sink = kind(str(tmp_path))
    print(run(make_suite(**settings(sink)), sink, KILLS))
