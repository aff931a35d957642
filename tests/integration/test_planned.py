"""What this version does not provide is refused by every process, not only by the one it concerns."""

import os
import subprocess

import pytest

from support.suite import binary, kept_environment, require_binaries

PROCESSES = ("api-front", "limiter", "breaker", "metrics-agent", "scaler-advisor")
PLANNED = ("REGIONAL_SCALING",)


def check(process, env):
    require_binaries((process,))
    return subprocess.run([binary(process), "--check"], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=20, check=False,
                          env={**kept_environment(), **env})


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", PLANNED)
def test_a_planned_feature_is_refused_by_name(process, name):
    refused = check(process, {name: "true"})
    assert refused.returncode == 1, refused
    assert f"{name} (environment): 'true' is not available in this version" in refused.stderr, refused


@pytest.mark.parametrize("process", PROCESSES)
def test_saying_that_it_is_off_is_fine(process):
    allowed = check(process, {name: "false" for name in PLANNED})
    assert allowed.returncode == 0, allowed
