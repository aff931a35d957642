"""metrics-agent and scaler-advisor with the real binaries, without a gateway."""

import http.client
import json
import os
import subprocess

from support.metrics import Metrics
from support.suite import binary
from support.wait import wait_for

TWO = ("metrics-agent", "scaler-advisor")


def ctl(suite, *arguments):
    return subprocess.run([binary("valvectl"), *arguments], capture_output=True, text=True,
                          timeout=20, env={**os.environ, **{k: str(v) for k, v in suite.environment().items()}})


def scrape(suite, path="/metrics"):
    connection = http.client.HTTPConnection("127.0.0.1", suite.metrics_port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def figures(suite):
    status, text = scrape(suite)
    assert status == 200
    return Metrics.parse(text)


def test_the_agent_measures_the_host_and_serves_it(make_suite):
    suite = make_suite(processes=("metrics-agent",))
    wait_for(lambda: figures(suite).sum("valvechain_measured", figure="cpu") == 1, 10, "CPU measured")
    now = figures(suite)
    assert 0 <= now.sum("valvechain_host_cpu_usage_percent") <= 100
    with open("/proc/meminfo", encoding="ascii") as file:
        total = int(next(line for line in file if line.startswith("MemTotal")).split()[1]) * 1024
    assert 0 < now.sum("valvechain_memory_limit_bytes") <= total
    assert now.sum("valvechain_processes_alive", process="metrics-agent") == 1
    assert now.sum("valvechain_processes_alive", process="limiter") == 0
    rss = suite["metrics-agent"].rss_kib() * 1024
    wait_for(lambda: abs(figures(suite).sum("valvechain_memory_used_bytes") - rss) < 16 << 20, 5,
             "memory of the suite near the process's own")
    assert scrape(suite, "/livez") == (200, "alive\n")
    assert scrape(suite, "/nothing")[0] == 404


def test_metrics_can_be_switched_off_and_moved(make_suite):
    suite = make_suite(processes=("metrics-agent",), env={"METRICS_ENABLED": "false"})
    assert scrape(suite)[0] == 404
    moved = make_suite(processes=("metrics-agent",), env={"METRICS_ENDPOINT": "/m"})
    assert scrape(moved)[0] == 404
    assert scrape(moved, "/m")[0] == 200


def test_a_taken_port_is_a_finding_and_measuring_goes_on(make_suite):
    first = make_suite(processes=("metrics-agent",))
    second = make_suite(processes=("metrics-agent",),
                        env={"METRICS_LISTEN": f"127.0.0.1:{first.metrics_port}"})
    second["metrics-agent"].wait_event("agent.listen_failed")
    samples = lambda: json.loads(ctl(second, "metrics", "--json", "valvechain_agent_samples").stdout)[0]["value"]
    before = samples()
    wait_for(lambda: samples() > before, 5, "another sample")
    first.stop()
    second.metrics_port = first.metrics_port
    wait_for(lambda: _answers(second), 10, "the freed port taken")


def _answers(suite):
    try:
        return scrape(suite, "/livez")[0] == 200
    except OSError:
        return False


def test_the_advisor_is_blind_without_a_gateway_and_says_why(make_suite):
    suite = make_suite(processes=TWO)
    advice = wait_for(lambda: json.loads(ctl(suite, "status", "--json").stdout)["advice"], 10, "an advice")
    assert advice["action"] == "hold"
    suite["metrics-agent"].kill()
    wait_for(lambda: "metrics-agent" in json.loads(ctl(suite, "status", "--json").stdout)["advice"]["reason"],
             15, "the reason names the metrics-agent")


def test_bad_thresholds_are_refused_all_at_once(make_suite):
    suite = make_suite(processes=("metrics-agent",))
    env = {**suite["metrics-agent"].environment(), "CPU_SCALE_DOWN_THRESHOLD": "80", "MIN_INSTANCES": "20",
           "RPS_SCALE_UP_THRESHOLD": "10"}
    run = subprocess.run([binary("scaler-advisor"), "--check"], env=env, capture_output=True, text=True, timeout=20)
    assert run.returncode == 1
    for name in ("CPU_SCALE_DOWN_THRESHOLD", "RPS_SCALE_DOWN_THRESHOLD", "MIN_INSTANCES"):
        assert name in run.stdout + run.stderr


def test_counters_and_advice_outlive_a_kill(make_suite):
    suite = make_suite(processes=TWO)
    wait_for(lambda: figures(suite).sum("valvechain_agent_samples_total") >= 2, 10, "two samples")
    before = figures(suite)
    for name in TWO:
        suite[name].kill()
    for name in TWO:
        suite[name].start()
    assert figures(suite).shrunk_since(before) == []
    status = ctl(suite, "status")
    assert status.returncode == 0, status.stderr
    assert json.loads(ctl(suite, "status", "--json").stdout)["processes"][0]["restarts"] == 1
