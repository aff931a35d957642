"""What the breaker process answers to applications and operators: permits with leases, events with
sequence numbers, forced states. Requests are JSON over ZeroMQ."""

import json

import pytest
import zmq

from support.wait import wait_for

SMALL = {"CB_VOLUME_THRESHOLD": 3, "CB_RESET_TIMEOUT": 200, "CB_CAPACITY": 4}


class Commands:
    def __init__(self, suite):
        self.socket = zmq.Context.instance().socket(zmq.REQ)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, 10000)
        self.socket.connect(f"ipc://{suite.socket_dir}/breaker.1.commands")

    def ask(self, topic, **message):
        self.socket.send_multipart([topic.encode(), json.dumps(message).encode()])
        told, reply = self.socket.recv_multipart()
        return told.decode(), json.loads(reply)

    def acquire(self, breaker, **options):
        topic, reply = self.ask("breaker.acquire", breaker=breaker, **options)
        assert topic == "breaker.acquire", reply
        return reply

    def report(self, *outcomes):
        topic, reply = self.ask("breaker.report", outcomes=[
            {"permit": permit, "outcome": outcome} for permit, outcome in outcomes])
        assert topic == "breaker.report", reply
        return reply

    def set(self, action, breaker="database", who="ann", why="drill", **options):
        return self.ask("breaker.set", breaker=breaker, action=action, who=who, why=why, **options)

    def events(self, **ask):
        return self.ask("breaker.events", **ask)[1]


@pytest.fixture
def start(make_suite):
    def start(**env):
        suite = make_suite(processes=("breaker", "api-front"), env={**SMALL, **env})
        suite.commands = Commands(suite)
        return suite

    return start


def breaker(suite, name="database"):
    return json.loads(suite.get("/api/circuit-breaker/stats").body)["circuitBreakers"][name]


def fail(suite, times=3):
    granted = suite.commands.acquire("database", count=times)["permits"]
    return suite.commands.report(*((permit, "failure") for permit in granted))


def test_a_permit_is_granted_reported_and_counted(start):
    suite = start()
    granted = suite.commands.acquire("database")
    assert granted["granted"] and granted["state"] == "CLOSED" and not granted["probe"]
    assert granted["lease_ms"] == 10000
    [permit] = granted["permits"]
    assert breaker(suite)["inFlight"] == 1
    assert suite.commands.report((permit, "success")) == {"reported": 1, "refused": []}
    assert breaker(suite)["inFlight"] == 0 and breaker(suite)["window"]["successes"] == 1
    again = suite.commands.report((permit, "success"))
    assert again["reported"] == 0 and "no such permit" in again["refused"][0]["reason"]


def test_a_batch_takes_what_the_capacity_has(start):
    suite = start()
    granted = suite.commands.acquire("database", count=6)
    assert len(granted["permits"]) == 4 and granted["refused"] == "capacity"
    assert granted["retry_after_ms"] > 0
    assert not suite.commands.acquire("database")["granted"]
    suite.commands.report(*((permit, "ignored") for permit in granted["permits"]))
    assert suite.commands.acquire("database")["granted"]


def test_failures_of_applications_open_and_their_probe_closes(start):
    suite = start()
    fail(suite)
    refused = suite.commands.acquire("database")
    assert not refused["granted"] and refused["refused"] == "open" and refused["state"] == "OPEN"
    probe = wait_for(lambda: (lambda r: r if r["granted"] else None)(
        suite.commands.acquire("database")), 10)
    assert probe["probe"]
    suite.commands.report((probe["permits"][0], "success"))
    assert breaker(suite)["state"] == "CLOSED"


def test_a_permit_that_is_not_reported_comes_back_with_its_lease(start):
    suite = start()
    granted = suite.commands.acquire("database", count=4, lease_ms=100)
    assert len(granted["permits"]) == 4
    wait_for(lambda: breaker(suite)["inFlight"] == 0, 10)
    late = suite.commands.report((granted["permits"][0], "failure"))
    assert late["reported"] == 0
    assert breaker(suite)["window"]["failures"] == 0


@pytest.mark.parametrize("message, told", [
    ({"breaker": "nobody"}, "no breaker"), ({"breaker": "database", "count": 101}, "count"),
    ({"breaker": "database", "lease_ms": 5}, "lease_ms")])
def test_a_bad_question_is_refused_with_what_is_allowed(start, message, told):
    topic, reply = start().commands.ask("breaker.acquire", **message)
    assert topic == "refused" and told in reply["reason"]


def test_events_have_numbers_and_evidence_and_resume(start):
    suite = start()
    fail(suite)
    first = wait_for(lambda: (lambda e: e if e["events"] else None)(suite.commands.events()), 10)
    [opened] = first["events"]
    assert (opened["sequence"], opened["rule"], opened["failures"]) == (1, "error-rate", 3)
    assert opened["to_state"] == "OPEN" and opened["error_threshold_percent"] == 30
    known = {"stream": first["stream"], "sequence": 1}
    assert suite.commands.events(**known)["events"] == []
    _, done = suite.commands.set("reset", why="fixed it")
    assert "database is CLOSED" in done["done"], done
    later = suite.commands.events(**known)
    assert not later["missed"]
    assert [event["sequence"] for event in later["events"]] == [2]
    assert later["events"][0]["rule"] == "command"
    assert later["events"][0]["reason"] == "fixed it" and later["events"][0]["author"] == "ann"
    assert suite.commands.events(stream=1, sequence=9)["missed"]


def test_an_operator_forces_states_for_a_time(start):
    suite = start()
    _, done = suite.commands.set("open", for_ms=1000, why="maintenance")
    assert "FORCED-OPEN for 1 s" in done["done"], done
    assert suite.commands.acquire("database")["refused"] == "forced"
    entry = breaker(suite)
    assert entry["state"] == "FORCED-OPEN" and entry["status"] == "unhealthy"
    assert entry["command"] == {"author": "ann", "reason": "maintenance"}
    wait_for(lambda: breaker(suite)["state"] == "HALF-OPEN", 15)
    suite.commands.set("observe", why="first day")
    fail(suite, 4)
    wait_for(lambda: breaker(suite)["wouldOpen"], 10)
    assert breaker(suite)["state"] == "OBSERVE-ONLY"
    wait_for(lambda: [event["rule"] for event in suite.commands.events()["events"]][-1]
             == "error-rate", 10)


@pytest.mark.parametrize("command, told", [
    ({"action": "break"}, "action"), ({"action": "open", "breaker": "nobody"}, "no breaker"),
    ({"action": "open", "why": ""}, "why"), ({"action": "open", "why": "a\x1b[31m"}, "control"),
    ({"action": "open", "why": "one\ntwo"}, "control"),
    ({"action": "reset", "for_ms": 5000}, "for_ms")])
def test_a_command_that_is_wrong_says_so(start, command, told):
    topic, reply = start().commands.set(**command)
    assert topic == "refused" and told in reply["reason"]


def test_every_command_is_on_record(start):
    suite = start()
    suite.commands.set("disable", breaker="email")
    entry = suite["breaker"].wait_event("security", where=lambda e: e.get("kind") == "breaker_command")
    assert (entry["who"], entry["why"], entry["action"]) == ("ann", "drill", "disable")
