"""valvectl breakers, breaker open|close|disable|observe|reset and breaker events on a running suite."""

import datetime
import json
import os
import re
import subprocess

import pytest
import zmq

from support.suite import binary
from support.upstream import response
from support.wait import wait_for

BROKEN = response(500, "Internal Server Error", body=b"broken")


@pytest.fixture
def start(make_suite, upstream):
    def start(**env):
        return make_suite(processes=("breaker", "api-front"), env={
            "UPSTREAM_URL": upstream.url, "ADVANCED_RATE_LIMITING": "false",
            "CB_VOLUME_THRESHOLD": 4, "CB_RESET_TIMEOUT": 60000, **env})

    return start


def run(suite, *arguments):
    env = {**os.environ, **{name: str(value) for name, value in suite.environment().items()}}
    return subprocess.run([binary("valvectl"), *arguments], capture_output=True, text=True, timeout=30,
                          check=False, env=env)


def done(suite, *arguments):
    result = run(suite, *arguments)
    assert result.returncode == 0, (arguments, result.stdout, result.stderr)
    return result.stdout


def breaker(suite, name="app"):
    return next(entry for entry in json.loads(done(suite, "breakers", "--json")) if entry["breaker"] == name)


def events(suite, *arguments):
    return [json.loads(line) for line in done(suite, "breaker", "events", *arguments).splitlines()]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def wait_for_events(suite, n):
    return wait_for(lambda: (lambda seen: seen if len(seen) >= n else None)(events(suite)), 10, f"{n} events")


def test_the_table_has_counts_and_rates_against_their_thresholds(start, upstream):
    suite = start(CB_ERROR_THRESHOLD=50, CB_SLOW_THRESHOLD=80)
    fresh = breaker(suite)
    assert (fresh["state"], fresh["errorPercent"], fresh["errorThresholdPercent"]) == ("CLOSED", None, 50)
    assert (fresh["until"], fresh["author"], fresh["reason"]) == (None, None, None)
    for _ in range(3):
        assert suite.get("/a").status == 200
    upstream.answer(BROKEN)
    assert suite.get("/a").status == 500
    seen = breaker(suite)
    assert (seen["windowSuccesses"], seen["windowFailures"], seen["errorPercent"]) == (3, 1, 25.0)
    assert (seen["slowPercent"], seen["slowThresholdPercent"]) == (0.0, 80)
    lines = done(suite, "breakers").splitlines()
    assert lines[0].split()[:3] == ["BREAKER", "STATE", "SINCE"]
    row = next(line for line in lines if line.startswith("app "))
    assert "25.0/50%" in row and "0.0/80%" in row
    assert "-/30%" in next(line for line in lines if line.startswith("database ")), "nothing was counted yet"
    assert lines[0] in done(suite, "status"), "status has the same table"


def test_forced_open_for_a_time_refuses_and_says_who_and_until_when(start):
    suite = start()
    assert suite.get("/a").status == 200
    before = datetime.datetime.now(datetime.timezone.utc)
    said = done(suite, "breaker", "open", "app", "--for", "10m", "--reason", "maintenance of the disk")
    assert "app is FORCED-OPEN for 600 s" in said
    assert suite.get("/a").status == 503
    forced = breaker(suite)
    assert forced["state"] == "FORCED-OPEN" and forced["refusedForced"] == 1
    assert forced["reason"] == "maintenance of the disk" and f"(uid {os.getuid()})" in forced["author"]
    assert 598 <= (moment(forced["until"]) - before).total_seconds() <= 630
    row = next(line for line in done(suite, "breakers").splitlines() if line.startswith("app "))
    shown = re.search(r" until (\S+Z)  by .*\(uid \d+\): maintenance of the disk$", row)
    assert shown, row
    assert abs((moment(shown[1]) - moment(forced["until"])).total_seconds()) <= 1
    recorded = suite["breaker"].wait_event("security", where=lambda e: e.get("kind") == "breaker_command")
    assert (recorded["action"], recorded["why"], recorded["for_ms"]) == ("open", forced["reason"], 600000)
    changed = suite["breaker"].wait_event("breaker.changed", where=lambda e: e.get("to") == "FORCED-OPEN")
    assert changed["open_for_ms"] == 600000

    assert "app is CLOSED" in done(suite, "breaker", "reset", "app", "--reason", "disk is new")
    assert suite.get("/a").status == 200
    assert breaker(suite)["until"] is None


def test_forced_states_end_by_themselves(start):
    suite = start()
    done(suite, "breaker", "disable", "app", "--for", "1s", "--reason", "drill")
    wait_for(lambda: breaker(suite)["state"] == "CLOSED", 10, "the end of the disabling")


@pytest.mark.parametrize("action, state", [("close", "FORCED-CLOSED"), ("disable", "DISABLED"),
                                           ("observe", "OBSERVE-ONLY")])
def test_what_would_open_does_not_while_an_operator_says_so(start, upstream, action, state):
    suite = start()
    done(suite, "breaker", action, "app", "--reason", "drill")
    upstream.answer(BROKEN)
    for _ in range(8):
        assert suite.get("/a").status == 500
    seen = breaker(suite)
    assert (seen["state"], seen["until"], seen["totalOpens"]) == (state, None, 0)
    assert seen["windowFailures"] == (0 if action == "disable" else 8)
    assert seen["wouldOpen"] == (action == "observe")
    assert ("WOULD HAVE OPENED" in done(suite, "breakers")) == (action == "observe")


def test_events_go_on_behind_a_number_and_a_gap_is_a_finding(start, upstream):
    suite = start()
    assert events(suite) == []
    upstream.answer(BROKEN)
    for _ in range(4):
        suite.get("/a")
    [opened] = wait_for_events(suite, 1)
    assert (opened["sequence"], opened["breaker"], opened["rule"]) == (1, "app", "error-rate")
    assert (opened["from_state"], opened["to_state"], opened["failures"]) == ("CLOSED", "OPEN", 4)
    done(suite, "breaker", "reset", "app", "--reason", "fixed")
    assert [event["sequence"] for event in wait_for_events(suite, 2)] == [1, 2]
    [later] = events(suite, "--since", "1")
    assert (later["sequence"], later["rule"], later["reason"]) == (2, "command", "fixed")
    assert events(suite, "--since", "2") == []
    too_far = run(suite, "breaker", "events", "--since", "3")
    assert too_far.returncode == 1 and "no event 3, the newest is 2" in too_far.stderr


def test_more_events_than_one_answer_holds_are_all_listed(start):
    suite = start()
    with zmq.Context.instance().socket(zmq.REQ) as commands:
        commands.setsockopt(zmq.LINGER, 0)
        commands.setsockopt(zmq.RCVTIMEO, 10000)
        commands.connect(f"ipc://{suite.socket_dir}/breaker.1.commands")
        for i in range(300):
            commands.send_multipart([b"breaker.set", json.dumps({
                "breaker": "app", "action": "reset" if i % 2 else "open", "who": "ann", "why": "drill"}).encode()])
            assert commands.recv_multipart()[0] == b"breaker.set"
    assert [event["sequence"] for event in wait_for_events(suite, 300)] == list(range(1, 301))
    assert [event["sequence"] for event in events(suite, "--since", "20")] == list(range(21, 301))


@pytest.mark.parametrize("arguments, told", [
    (("open", "nobody", "--reason", "x"), "no breaker 'nobody'"),
    (("open", "app"), "needs one NAME and --reason TEXT"),
    (("close", "--reason", "x"), "needs one NAME and --reason TEXT"),
    (("disable", "app", "--for", "long", "--reason", "x"), "'long' is no time"),
    (("disable", "app", "--for", "0s", "--reason", "x"), "'0s' is too short a time, the shortest is 1s"),
    (("open", "app", "--for", "367d", "--reason", "x"), "for_ms must be 0"),
    (("open", "app", "--reason", ""), "why must say the reason"),
    (("observe", "app", "--reason", "x" * 80), "--reason has 80 bytes, allowed are 79"),
    (("reset", "app", "--for", "1m", "--reason", "x"), "'--for', allowed: breaker reset NAME --reason TEXT"),
    (("events", "--since", "-1"), "--since is '-1', allowed"),
    (("open", "app", "--since", "1", "--reason", "x"), "does not take '--since'"),
])
def test_wrong_use_changes_nothing_and_says_what_is_allowed(start, arguments, told):
    suite = start()
    refused = run(suite, "breaker", *arguments)
    assert refused.returncode == 1 and told in refused.stderr, refused.stderr
    assert breaker(suite)["state"] == "CLOSED"


def test_without_the_breaker_process_the_table_stands_and_commands_say_so(start):
    suite = start()
    done(suite, "breaker", "open", "email", "--reason", "drill")
    suite["breaker"].kill()
    assert breaker(suite, "email")["state"] == "FORCED-OPEN"
    absent = run(suite, "breaker", "reset", "email", "--reason", "drill is over")
    assert absent.returncode == 2 and "breaker does not answer" in absent.stderr
    assert breaker(suite, "email")["state"] == "FORCED-OPEN"
