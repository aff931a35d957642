"""valvectl with the real binary, on a running suite, a dead one and none."""

import json
import os
import signal
import subprocess

from support.suite import binary
from support.wait import wait_for

import pytest


def ctl(*arguments, env=None, **options):
    return subprocess.run([binary("valvectl"), *arguments], capture_output=True, text=True, timeout=20,
                          env={**os.environ, **{k: str(v) for k, v in (env or {}).items()}}, **options)


def test_no_suite_is_said_with_the_file_that_was_looked_for():
    for command in (["status"], ["metrics"], ["segment"]):
        run = ctl("--name", "vctest-there-is-none", *command)
        assert run.returncode == 2
        assert "vctest-there-is-none" in run.stderr
        assert run.stdout == ""


@pytest.mark.parametrize("arguments, word", [
    ([], "usage"),
    (["statsu"], "there are"),
    (["--nonsense"], "usage"),
    (["config", "check"], "one file"),
    (["--set", "NO_SUCH_NAME=1", "status"], "NO_SUCH_NAME"),
    (["status", "x"], "'x', allowed: status [--json]"),
    (["status", "--watch"], "'--watch', allowed: status [--json]"),
    (["segment", "x"], "'x'"),
    (["metrics", "a", "b"], "'b'"),
    (["tap", "a", "b"], "'b'"),
    (["tap", "--json"], "'--json'"),
    (["config", "check", "--json", "f"], "'--json'"),
    (["config", "check", "f", "g"], "'g', allowed: config check FILE"),
])
def test_wrong_use_is_exit_code_1(arguments, word):
    run = ctl(*arguments)
    assert run.returncode == 1
    assert word in run.stderr


def test_help_and_version_are_exit_code_0():
    assert "exit codes" in ctl("--help").stdout
    assert "ABI" in ctl("--version").stdout


def test_config_check_tells_every_problem(tmp_path):
    good = tmp_path / "good.json"
    good.write_text('{"upstreams": [{"name": "app", "url": "http://127.0.0.1:9"}],'
                    ' "routes": [{"path": "/", "upstream": "app"}]}')
    run = ctl("config", "check", str(good))
    assert run.returncode == 0, run.stderr
    assert "1 upstreams, 1 routes" in run.stdout
    bad = tmp_path / "bad.json"
    bad.write_text('{"upstreams": [{"name": "app", "url": "ftp://x"}],\n "routes": [{"path": "x", "upstream": "ap"}]}')
    run = ctl("config", "check", str(bad))
    assert run.returncode == 1
    assert len(run.stderr.strip().splitlines()) >= 3
    assert "bad.json:2" in run.stderr
    assert ctl("config", "check", str(tmp_path / "absent.json")).returncode == 1


def test_config_check_judges_the_parameters_of_every_process(tmp_path, monkeypatch):
    monkeypatch.setenv("PORT", "3000")  # what the file says is judged, whatever the environment says
    bad = tmp_path / "bad.json"
    bad.write_text('{"parameters": {"CB_TIMEOUT": "x",\n "PORT": 0,\n "METRICS_LISTEN": "here",\n'
                   ' "LISTEN_ADDRESS": "foo",\n "REDIS_PORT": 0,\n "UPSTREAM_URL": "ftp://x"},\n "bogus": 1}')
    run = ctl("config", "check", str(bad))
    assert run.returncode == 1
    lines = run.stderr.splitlines()
    for line, name in enumerate(("CB_TIMEOUT", "PORT", "METRICS_LISTEN", "LISTEN_ADDRESS", "REDIS_PORT"), 1):
        assert any(text.startswith(f"{bad}:{line}:") and name in text for text in lines), (name, lines)
    assert any("UPSTREAM_URL" in text and "ftp" in text for text in lines), lines
    assert any("bogus" in text for text in lines), lines
    assert len(lines) == 7, lines
    bad.write_text('{"parameters": {"CB_TIMEOUT": "5", "PORT": 80}}')
    assert ctl("config", "check", str(bad)).returncode == 0


def test_status_segment_metrics_and_a_death(make_suite):
    suite = make_suite(processes=("limiter", "breaker", "metrics-agent"))
    env = suite.environment()
    status = json.loads(ctl("status", "--json", env=env).stdout)
    assert {p["process"] for p in status["processes"] if p["alive"]} == {"limiter", "breaker", "metrics-agent"}
    assert {b["breaker"]: b["state"] for b in status["breakers"]} == {
        "database": "CLOSED", "blockchain": "CLOSED", "email": "CLOSED"}
    text = ctl("status", env=env)
    assert text.returncode == 0
    assert "PROCESS" in text.stdout and "limiter" in text.stdout

    segment = json.loads(ctl("segment", "--json", env=env).stdout)
    assert segment["bytes"] <= 24 << 20
    assert segment["slots"]["alive"] == 3
    assert sum(s["bytes"] for s in segment["sections"]) <= segment["bytes"]
    assert "limit table" in ctl("segment", env=env).stdout

    series = json.loads(ctl("metrics", "--json", env=env).stdout)
    assert {entry["process"] for entry in series} == {"limiter", "breaker", "metrics-agent"}
    assert "valvechain_agent_samples_total" in ctl("metrics", "valvechain_agent", env=env).stdout

    suite["limiter"].kill()
    run = ctl("status", "--json", env=env)
    assert run.returncode == 1
    states = {p["process"]: p["state"] for p in json.loads(run.stdout)["processes"]}
    assert states["limiter"] == "dead"
    suite["limiter"].start()
    assert ctl("status", env=env).returncode == 0


def spawn(suite, *arguments):
    return subprocess.Popen([binary("valvectl"), *arguments], stdout=subprocess.PIPE, text=True,
                            env={**os.environ, **{k: str(v) for k, v in suite.environment().items()}})


def test_tap_decodes_what_is_on_the_bus_and_takes_late_comers(make_suite):
    suite = make_suite(processes=("metrics-agent",))
    tap = spawn(suite, "tap")
    seen = []
    try:
        while not any(m["topic"] == "metrics.snapshot" for m in seen):
            seen.append(json.loads(tap.stdout.readline()))
        snapshot = next(m for m in seen if m["topic"] == "metrics.snapshot")["message"]
        assert snapshot["origin"]["process"] == "metrics-agent"
        assert snapshot["origin"]["suite"] == suite.name
        suite["metrics-agent"].kill()
        suite["metrics-agent"].start()
        pid_before = len(seen)
        wait_for(lambda: seen.append(json.loads(tap.stdout.readline())) or len(seen) > pid_before + 1, 15,
                 "messages after the restart")
    finally:
        tap.send_signal(signal.SIGINT)
        assert tap.wait(10) == 0


def test_metrics_watch_shows_what_changes(make_suite):
    suite = make_suite(processes=("metrics-agent",))
    watch = spawn(suite, "metrics", "--watch", "valvechain_agent_samples")
    try:
        lines = [watch.stdout.readline() for _ in range(3)]
        assert lines[1].startswith("--- 1 s")
        assert "valvechain_agent_samples_total" in lines[2] and "(+1)" in lines[2]
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(10)
    watch = spawn(suite, "metrics", "--watch", "--json", "valvechain_agent_samples")
    try:
        first, second = (json.loads(watch.stdout.readline())[0]["value"] for _ in range(2))
        assert second > first
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(10)
