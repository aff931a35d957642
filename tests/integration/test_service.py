"""The frame of every process (shared/service), on the real limiter: arguments, checks, signals,
reload, readiness, watchdog."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest

from support.suite import Process, Suite, binary, kept_environment, require_binaries
from support.wait import wait_for


@pytest.fixture
def suite():
    require_binaries(("limiter",))
    suite = Suite(processes=("limiter",), config={"parameters": {}})
    yield suite
    suite.stop()


def run(*args, env=None):
    require_binaries(("limiter",))
    return subprocess.run([binary("limiter"), *args], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=20, check=False,
                          env={**kept_environment(), **(env or {})})


def describe():
    answer = run("--describe")
    assert answer.returncode == 0, answer
    return json.loads(answer.stdout)


class Notifications:
    """A service manager's end of NOTIFY_SOCKET: every assignment, in order."""

    def __init__(self, name):
        self.address = f"@{name}/frame-test"
        self.lines = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:])
        self._socket.setblocking(False)

    def read(self):
        while True:
            try:
                self.lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.lines

    def wait(self, line, seconds=10.0):
        wait_for(lambda: line in self.read(), seconds, f"{line} among {self.lines}")

    def close(self):
        self._socket.close()


@pytest.fixture
def notifications(suite):
    listener = Notifications(suite.name)
    yield listener
    listener.close()


# ---- arguments -------------------------------------------------------------------------------------


def test_version():
    answer = run("--version")
    assert answer.returncode == 0
    assert answer.stdout == f"valvechain-limiter {describe()['version']}\n"


def test_help_names_every_parameter_and_how_to_use_it():
    answer = run("--help")
    assert answer.returncode == 0 and answer.stderr == ""
    assert "Usage: valvechain-limiter" in answer.stdout
    for parameter in describe()["parameters"]:
        assert parameter["name"] in answer.stdout, parameter


def test_describe_has_parameters_and_metrics():
    what = describe()
    parameters = {row["name"]: row for row in what["parameters"]}
    assert parameters["GLOBAL_RATE_MAX"]["default"] == "1000"
    assert parameters["GLOBAL_RATE_MAX"]["maximum"] == 16777215
    assert parameters["AUTH_RATE_MAX"]["default"] is None
    assert parameters["REDIS_PASSWORD"]["secret"] and parameters["REGIONAL_SCALING"]["planned"]
    assert parameters["LIMITS_MODE"]["choices"] == "enforce|shadow"
    assert "PORT" not in parameters
    metrics = {row["name"]: row for row in what["metrics"]}
    assert metrics["valvechain_build_info"]["kind"] == "gauge"
    assert metrics["valvechain_limit_table_cells"]["help"]
    assert len(metrics) == len(what["metrics"])


def test_check_accepts_the_defaults():
    answer = run("--check")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "good" in answer.stdout


def test_check_shows_every_problem_at_once():
    answer = run("--check", "--set", "TIER_FREE_MAX=999999999",
                 env={"GLOBAL_RATE_MAX": "many", "LIMIT_SWEEP_CELLS": "0", "LIMITS_MODE": "dream",
                      "CONFIG_FILE": "/nonexistent/valvechain.json"})
    assert answer.returncode == 1
    for text in ("TIER_FREE_MAX", "999999999", "GLOBAL_RATE_MAX", "'many'", "LIMIT_SWEEP_CELLS",
                 "LIMITS_MODE", "enforce", "/nonexistent/valvechain.json"):
        assert text in answer.stderr, f"{text} is missing:\n{answer.stderr}"
    assert len(answer.stderr.splitlines()) == 5


def test_bad_values_do_not_start():
    answer = run(env={"GLOBAL_RATE_MAX": "-1"})
    assert answer.returncode == 1
    assert "GLOBAL_RATE_MAX" in answer.stderr and "16777215" in answer.stderr


@pytest.mark.parametrize("args, said", [
    (("--chek",), "'--check'"),
    (("--set", "GLOBAL_RATE_MAXX=1"), "GLOBAL_RATE_MAX?"),
    (("--set", "PORT=1"), "another process"),
    (("--set", "nothing"), "NAME=VALUE"),
    (("--set",), "NAME=VALUE"),
    (("now",), "'now'"),
])
def test_unknown_arguments_are_refused_by_name(args, said):
    answer = run(*args)
    assert answer.returncode == 1
    assert said in answer.stderr, answer.stderr
    assert answer.stdout == ""


def test_set_wins_over_the_environment(suite):
    limiter = suite["limiter"]
    limiter.args = ["--set", "GLOBAL_RATE_MAX=7"]
    limiter.env["GLOBAL_RATE_MAX"] = "8"
    limiter.start()
    assert limiter.wait_event("process.parameters")["GLOBAL_RATE_MAX"] == "7"


# ---- start and stop --------------------------------------------------------------------------------


def test_start_says_what_it_is_and_with_which_parameters(suite):
    limiter = suite["limiter"].start()
    start = limiter.events("process.start")
    assert len(start) == 1 and start[0]["version"] == describe()["version"]
    assert start[0]["pid"] == limiter.pid
    parameters = limiter.events("process.parameters")[0]
    assert parameters["VALVECHAIN_NAME"] == suite.name
    names = {row["name"] for row in describe()["parameters"]}
    assert names <= set(parameters)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly(suite, number):
    limiter = suite["limiter"].start()
    limiter.signal(number)
    assert limiter.child.wait(10) == 0
    assert limiter.events("process.stopped")
    assert os.listdir(suite.socket_dir) == []


@pytest.mark.parametrize("environment, level, debug", [
    ("development", "auto", True), ("production", "auto", False), ("production", "debug", True),
    ("development", "warn", False)])
def test_log_level_follows_the_environment(suite, environment, level, debug):
    limiter = suite["limiter"]
    limiter.env.update(NODE_ENV=environment, LOG_LEVEL=level)
    limiter.start()
    assert limiter.terminate() == 0
    levels = {entry["level"] for entry in limiter.log}
    assert ("debug" in levels) == debug
    assert ("info" in levels) == (level != "warn")


def test_a_log_reader_that_goes_away_stops_nobody(suite):
    limiter = suite["limiter"]
    reader, writer = os.pipe()
    with open(limiter.error_path, "wb") as errors:
        limiter.child = subprocess.Popen([binary("limiter")], stdin=subprocess.DEVNULL, stdout=writer,
                                         stderr=errors, env=limiter.environment())
    os.close(writer)
    open(limiter.log_path, "wb").close()
    limiter.wait_ready()
    os.close(reader)
    limiter.signal(signal.SIGHUP)  # makes it log into the closed pipe
    wait_for(lambda: "reloaded" in limiter.statuses, 10, "the reload's end")
    assert limiter.terminate() == 0


def test_signals_that_come_while_it_leaves_do_not_spoil_the_exit(suite):
    limiter = suite["limiter"]
    for _ in range(20):
        limiter.start()
        while limiter.child.poll() is None:
            limiter.child.terminate()
        assert limiter.child.returncode == 0


def test_a_successor_of_a_killed_one_takes_its_place(suite):
    limiter = suite["limiter"].start()
    for _ in range(3):
        limiter.kill()
        limiter.start()
    assert not limiter.events("slot.twin")
    assert not limiter.events("bus.socket_taken")


def test_a_twin_is_told(suite):
    limiter = suite["limiter"].start()
    twin = Process(suite, "limiter", "twin", env={"INSTANCE": "1"})
    try:
        twin.start()
        twin.wait_event("slot.twin")
        taken = twin.wait_event("bus.socket_taken")
        assert taken["path"].startswith(suite.socket_dir)
        wait_for(lambda: any(taken["path"] in status for status in twin.statuses), 5, "its finding")
        assert limiter.terminate() == 0
        wait_for(lambda: "limiter.1.events" in os.listdir(suite.socket_dir), 10, "the twin's socket")
        wait_for(lambda: twin.statuses[-1] == "ready", 5, "the finding's end")
    finally:
        assert twin.terminate() == 0
        twin._notify.close()


# ---- the segment -----------------------------------------------------------------------------------


def damage_segment(suite):
    path = os.path.join(suite.shm_dir, f"{suite.name}.1")
    with open(path, "wb") as file:
        file.write(b"this is no segment" * 1000)
    return path


def test_a_damaged_segment_keeps_it_unready_and_says_why(suite):
    path = damage_segment(suite)
    limiter = suite["limiter"].start(wait=False)
    refused = limiter.wait_event("segment.refused")
    assert path in refused["message"], refused
    wait_for(lambda: limiter.statuses, 5, "a status")
    assert limiter.statuses[-1] == refused["message"]
    assert not limiter.ready.is_set() and limiter.is_running()
    os.unlink(path)
    limiter.wait_ready()
    assert len(limiter.events("segment.refused")) == 1


def test_it_stops_cleanly_while_it_waits_for_the_segment(suite):
    damage_segment(suite)
    limiter = suite["limiter"].start(wait=False)
    limiter.wait_event("segment.refused")
    assert limiter.terminate() == 0


def test_a_private_segment_is_taken_when_allowed(suite):
    damage_segment(suite)
    limiter = suite["limiter"]
    limiter.env["ALLOW_PRIVATE_SEGMENT"] = "true"
    limiter.start()
    assert limiter.events("segment.private")


# ---- reload ----------------------------------------------------------------------------------------


def reload_with(suite, parameters):
    limiter = suite["limiter"]
    suite.write_config({"parameters": parameters} if isinstance(parameters, dict) else parameters)
    done = len(limiter.events("config.reloaded")) + len(limiter.events("config.refused"))
    limiter.signal(signal.SIGHUP)
    wait_for(lambda: len(limiter.events("config.reloaded")) + len(limiter.events("config.refused"))
             > done, 10, "the reload's end")


def generation(limiter):
    return limiter.events("limit.published")[-1]["generation"]


def test_reload_takes_over_what_is_good_and_keeps_the_old_when_it_is_bad(suite):
    limiter = suite["limiter"].start()
    first = generation(limiter)
    reload_with(suite, {"GLOBAL_RATE_MAX": 77})
    assert limiter.events("config.reloaded")
    second = generation(limiter)
    assert second > first
    reload_with(suite, {"GLOBAL_RATE_MAX": "lots", "LIMITS_MODE": "dream"})
    invalid = [entry["message"] for entry in limiter.events("config.invalid")]
    assert any("GLOBAL_RATE_MAX" in text for text in invalid)
    assert any("LIMITS_MODE" in text for text in invalid)
    assert limiter.events("config.refused")[-1]["problems"] == len(invalid)
    assert generation(limiter) == second
    reload_with(suite, "{ this is not JSON")
    assert len(limiter.events("config.refused")) == 2
    assert generation(limiter) == second
    reload_with(suite, {"GLOBAL_RATE_MAX": 78})
    assert generation(limiter) > second


def test_reload_names_what_only_a_restart_changes(suite):
    limiter = suite["limiter"].start()
    reload_with(suite, {"LIMIT_TABLE_CELLS": 262144, "GLOBAL_RATE_MAX": 5})
    assert limiter.events("config.restart_needed")[-1]["parameters"] == "LIMIT_TABLE_CELLS"
    reload_with(suite, {"GLOBAL_RATE_MAX": 6})
    assert len(limiter.events("config.restart_needed")) == 1


def test_reload_changes_the_log_level(suite):
    limiter = suite["limiter"]
    limiter.env["LOG_LEVEL"] = None
    limiter.suite.env["LOG_LEVEL"] = None
    limiter.start()
    assert not [entry for entry in limiter.log if entry["level"] == "debug"]
    suite.write_config({"parameters": {"LOG_LEVEL": "error"}})
    limiter.signal(signal.SIGHUP)
    wait_for(lambda: "reloaded" in limiter.statuses, 10, "the reload's end")
    before = len(limiter.log)
    assert limiter.terminate() == 0
    assert len(limiter.log) == before


# ---- the service manager ---------------------------------------------------------------------------


def test_systemd_is_told_each_step(suite, notifications):
    limiter = suite["limiter"]
    limiter.env["NOTIFY_SOCKET"] = notifications.address
    limiter.start(wait=False)
    notifications.wait("READY=1")
    assert "STATUS=ready" in notifications.lines
    assert not any(line.startswith("WATCHDOG") for line in notifications.lines)
    limiter.signal(signal.SIGHUP)
    notifications.wait("RELOADING=1")
    wait_for(lambda: notifications.read().count("READY=1") == 2, 10, "READY after the reload")
    assert any(line.startswith("MONOTONIC_USEC=") for line in notifications.lines)
    limiter.signal(signal.SIGTERM)
    notifications.wait("STOPPING=1")
    assert limiter.child.wait(10) == 0


def test_the_watchdog_is_fed_by_the_loop(suite, notifications):
    limiter = suite["limiter"]
    limiter.env.update(NOTIFY_SOCKET=notifications.address, WATCHDOG_USEC="100000")
    limiter.start(wait=False)
    notifications.wait("READY=1")
    wait_for(lambda: notifications.read().count("WATCHDOG=1") >= 5, 10, "five pings")
    limiter.freeze()
    try:
        def is_silent():
            before = len(notifications.read())
            deadline = time.monotonic() + 0.5  # five intervals without a ping
            while time.monotonic() < deadline:
                if len(notifications.read()) > before:
                    return False
            return True

        wait_for(is_silent, 10, "silence of a stopped process")
    finally:
        limiter.signal(signal.SIGCONT)
    assert limiter.terminate() == 0
