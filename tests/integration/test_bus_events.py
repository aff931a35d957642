"""Events of real processes over ZeroMQ, read as an operator reads them: by `valvectl tap`."""

import json
import os
import signal
import subprocess

import pytest

from support.suite import Suite, binary, kept_environment, require_binaries
from support.tap import Tap
from support.wait import wait_for


@pytest.fixture
def suite():
    require_binaries(("limiter", "valvectl"))
    suite = Suite(processes=("limiter",), config={"parameters": {}}, env={"NODE_ENV": "production"})
    os.mkdir(suite.socket_dir, 0o770)
    yield suite
    suite.stop()


@pytest.fixture
def tap(suite):
    tap = Tap(suite)
    yield tap
    tap.close()


def test_the_life_of_a_process_is_heard(suite, tap):
    limiter = suite["limiter"].start()
    started = tap.wait("process.started")[0]
    assert started["ok"] and started["version"]
    assert started["origin"]["suite"] == suite.name
    assert started["origin"]["process"] == "limiter" and started["origin"]["instance"] == "1"

    suite.write_config({"parameters": {"GLOBAL_RATE_MAX": 7}})
    limiter.signal(signal.SIGHUP)
    assert tap.wait("process.reloaded")[0]["ok"]

    def limits(message):
        return {policy["name"]: policy for policy in message["policies"]}

    # Those of the start are heard, too, by who had subscribed before the limiter published them.
    policies = limits(tap.wait("limit.policies", where=lambda m: limits(m)["global"]["limit"] == 7)[0])
    heard = len(tap.messages("limit.policies"))
    assert policies["auth"] == {"name": "auth", "algorithm": "sliding_window", "mode": "enforce",
                                "limit": 3, "window_ms": 900000}

    suite.write_config({"parameters": {"GLOBAL_RATE_MAX": "lots"}})
    limiter.signal(signal.SIGHUP)
    refused = tap.wait("process.reloaded", where=lambda message: not message["ok"])[0]
    assert "GLOBAL_RATE_MAX" in refused["detail"]
    assert len(tap.messages("limit.policies")) == heard

    assert limiter.terminate() == 0
    tap.wait("process.stopping")


def test_a_listener_hears_each_successor_of_a_killed_process(suite, tap):
    limiter = suite["limiter"]
    for number in range(1, 4):
        limiter.start()
        tap.wait("process.started", number)
        limiter.kill()


def test_counters_go_on_and_restarts_are_counted(suite):
    def metrics():
        answer = subprocess.run([binary("valvectl"), "metrics", "--json"], text=True, check=True,
                                capture_output=True, timeout=10,
                                env={**kept_environment(),
                                     **{k: str(v) for k, v in suite.environment().items()}})
        return answer.stdout

    def value(name):
        for row in json.loads(metrics()):
            if row["name"] == name:
                return row["value"]
        raise AssertionError(f"no {name}")

    limiter = suite["limiter"].start()
    wait_for(lambda: value("valvechain_limit_sweep_steps_total") >= 2, 10, "two steps of the sweep")
    steps, cpu = value("valvechain_limit_sweep_steps_total"), \
        value("valvechain_process_cpu_seconds_total")
    assert value("valvechain_process_restarts_total") == 0
    wait_for(lambda: value("valvechain_process_resident_memory_bytes") == pytest.approx(
        limiter.rss_kib() * 1024, rel=0.5), 10, "the figure of a process that has grown since its start")
    limiter.kill()
    limiter.start()
    assert value("valvechain_limit_sweep_steps_total") >= steps
    assert value("valvechain_process_cpu_seconds_total") >= cpu
    assert value("valvechain_process_restarts_total") == 1
