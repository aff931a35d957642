"""One advisor and fifty simulated metrics-agents over TCP with CURVE keys, that come, go, restart, lie late,
and whose clocks are wrong; and the real metrics-agent over the same way."""

import json
import os
import subprocess

import pytest
import zmq

from support.agents import Agents
from support.ports import reserve_port
from support.suite import Suite, binary
from support.wait import wait_for

HOSTS = 50
ENV = {"CPU_EVALUATION_PERIOD": 2, "RPS_EVALUATION_PERIOD": 2, "COOLDOWN_PERIOD": 0, "MAX_INSTANCES": 1000,
       "SNAPSHOT_STALE_AFTER": 2, "AGENTS_FORGET": 6, "AGENTS_RESOLVE": 1}


def keys():
    run = subprocess.run([binary("valvectl"), "keys"], capture_output=True, text=True, timeout=20, check=True)
    return dict(line.split(" ", 1) for line in run.stdout.splitlines())


def bytes_of(pair):
    return pair["public"].encode(), pair["secret"].encode()


def ctl(suite, *arguments):
    run = subprocess.run([binary("valvectl"), *arguments], capture_output=True, text=True, timeout=20,
                         env={**os.environ, **{k: str(v) for k, v in suite.environment().items()}})
    return json.loads(run.stdout)


def advice(suite):
    return ctl(suite, "status", "--json")["advice"]


def counter(suite, name, label):
    return sum(s["value"] for s in ctl(suite, "metrics", "--json", name) if f'"{label}"' in s["labels"])


@pytest.fixture
def crowd():
    server, client = keys(), keys()
    agents = Agents(curve=bytes_of(server))
    ports = [reserve_port() for _ in range(HOSTS)]
    for number, port in enumerate(ports):
        # Half of the clocks are off, some by days.
        agents.bind(f"host-{number}", f"tcp://127.0.0.1:{port}", instances=2, rate=100.0, cpu=50.0,
                    skew_seconds=(number % 2) * (number - 25) * 10000.0)
    places = ",".join(f"{'localhost' if port % 2 else '127.0.0.1'}:{port}" for port in ports)
    suite = Suite(processes=("scaler-advisor",), env={
        **ENV, "AGENTS": places, "AGENTS_KEY": server["public"], "AGENTS_SECRET_KEY": client["secret"]})
    try:
        suite.start()
        yield suite, agents, ports
    finally:
        agents.close()
        suite.stop()


def wait_fresh(suite, fresh, silent=0):
    wait_for(lambda: counter(suite, "valvechain_advice_hosts", "fresh") == fresh
             and counter(suite, "valvechain_advice_hosts", "silent") == silent, 30,
             f"{fresh} fresh and {silent} silent hosts\n{suite['scaler-advisor'].tail()}")


def wait_advice(suite, what, condition):
    return wait_for(lambda: (a := advice(suite)) and condition(a) and a, 30, f"{what}: {advice(suite)}")


def test_fifty_hosts_come_go_restart_and_lie_late(crowd):
    suite, agents, ports = crowd
    wait_fresh(suite, HOSTS)
    # 50 x 100 requests/s on 100 instances are 50 for each: between the thresholds of 20 and 100.
    calm = wait_advice(suite, "a valid advice for 100 instances",
                       lambda a: a["current"] == 100 and a["action"] == "none")
    assert "RPS" in calm["reason"] or "CPU" in calm["reason"]

    # Ten restart with counters from zero: no rate falls or jumps, no change of the advice.
    for number in range(10):
        agents.agents[f"host-{number}"].restart()
    wait_for(lambda: counter(suite, "valvechain_advice_host_messages", "restart") >= 10, 20, "ten restarts")
    decisions = counter(suite, "valvechain_advice_decisions", "none")
    wait_for(lambda: counter(suite, "valvechain_advice_decisions", "none") >= decisions + 3, 20, "three decisions")
    assert advice(suite)["desired"] == 100

    # Five go without a word: their instances are still there at first, then forgotten.
    away = [(f"host-{number}", agents.leave(f"host-{number}")) for number in range(45, 50)]
    wait_fresh(suite, 45, silent=5)
    assert advice(suite)["current"] == 100
    wait_fresh(suite, 45)
    wait_advice(suite, "90 instances", lambda a: a["current"] == 90)
    for name, agent in away:
        agents.bind(name, f"tcp://127.0.0.1:{ports[int(name[5:])]}", agent=agent)
    wait_fresh(suite, HOSTS)

    # One lies late: its messages take longer than what counts as fresh.
    agents.set("host-20", late_seconds=4.0)
    wait_for(lambda: counter(suite, "valvechain_advice_host_messages", "late") >= 1, 40, "a late message")
    wait_fresh(suite, HOSTS - 1, silent=1)
    assert advice(suite)["current"] == 100
    agents.set("host-20", late_seconds=0.0)
    wait_fresh(suite, HOSTS)

    # The load of all triples: 150 for each instance, so 150 of them.
    for number in range(HOSTS):
        agents.set(f"host-{number}", rate=300.0)
    grown = wait_advice(suite, "growth", lambda a: a["action"] == "scale_up" and a["desired"] >= 145)
    assert 145 <= grown["desired"] <= 155

    # Nobody is heard: it holds.
    for number in range(HOSTS):
        agents.set(f"host-{number}", silent=True)
    wait_advice(suite, "blindness", lambda a: a["action"] == "hold")


def test_the_agent_tells_those_whose_key_it_knows_and_nobody_else(make_suite):
    server, client, stranger = keys(), keys(), keys()
    port = reserve_port()
    address = f"127.0.0.1:{port}"
    make_suite(processes=("metrics-agent",), env={
        "SNAPSHOT_LISTEN": address, "SNAPSHOT_SECRET_KEY": server["secret"], "SNAPSHOT_CLIENTS": client["public"]})
    assert hears(address, server, client, 10)
    assert not hears(address, server, stranger, 1.5)
    assert not hears(address, server, None, 1.5)
    advisor = make_suite(processes=("scaler-advisor",), env={
        **ENV, "AGENTS": address, "AGENTS_KEY": server["public"], "AGENTS_SECRET_KEY": client["secret"]})
    wait_fresh(advisor, 1)


def hears(address, server, client, seconds):
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.linger = 0
    socket.subscribe(b"metrics.snapshot")
    if client:
        socket.curve_publickey, socket.curve_secretkey = bytes_of(client)
        socket.curve_serverkey = server["public"].encode()
    socket.connect(f"tcp://{address}")
    try:
        return socket.poll(int(seconds * 1000)) != 0
    finally:
        socket.close()
        context.term()


@pytest.mark.parametrize("process, env, words", [
    ("scaler-advisor", {"AGENTS": "a:1,b"}, '"b" is none'),
    ("scaler-advisor", {"AGENTS": "::1:5"}, "[IPv6]:PORT"),
    ("scaler-advisor", {"AGENTS": "a:1"}, "AGENTS_SECRET_KEY"),
    ("scaler-advisor", {"AGENTS_KEY": "short"}, "40 characters"),
    ("metrics-agent", {"SNAPSHOT_LISTEN": "0.0.0.0:9465"}, "SNAPSHOT_SECRET_KEY"),
    ("metrics-agent", {"SNAPSHOT_LISTEN": "0.0.0.0:9465", "SNAPSHOT_CLIENTS": "x"}, "no key of 40 characters"),
])
def test_what_cannot_work_is_refused_with_its_name(process, env, words):
    run = subprocess.run([binary(process), "--check"], env={"PATH": os.environ["PATH"], **env},
                         capture_output=True, text=True, timeout=20)
    assert run.returncode == 1 and words in run.stdout + run.stderr
