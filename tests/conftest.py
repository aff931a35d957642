"""Shared by every Python test: `from support.suite import Suite`, and the fixtures below."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pytest  # noqa: E402

from support.suite import Suite, require_binaries  # noqa: E402
from support.upstream import Upstream  # noqa: E402


@pytest.fixture
def upstream():
    """A scripted HTTP upstream that records the exact bytes it gets (support/upstream.py)."""
    with Upstream() as server:
        yield server


@pytest.fixture
def make_suite(request):
    """Starts suites: make_suite(env={...}, fronts=2, processes=("api-front",)). Stopped at the end."""
    started = []

    def make(**options):
        require_binaries(options.get("processes"))
        suite = Suite(**options)
        started.append(suite)
        suite.start()
        return suite

    yield make
    failures = []
    for suite in reversed(started):
        try:
            suite.stop()
        except AssertionError as problem:  # every suite is stopped before any complaint
            failures.append(str(problem))
    assert not failures, "\n".join(failures)
