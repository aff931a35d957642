"""The history: what it shows of real traffic, through which doors, and that a killed agent loses nothing."""

import json
import time

import pytest

from support import raw_http
from support.suite import Load
from support.wait import wait_for

PATH = "/api/metrics/history"
WIDE = {"TIER_FREE_MAX": 10_000_000, "GLOBAL_RATE_MAX": 10_000_000}


def history(suite, query=""):
    answer = suite.get(f"{PATH}?{query}" if query else PATH)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def values(suite, name, seconds=60):
    (series,) = history(suite, f"name={name}&from=-{seconds}&step=1")["series"]
    return series["values"]


def known(suite, name, seconds=60):
    return [value for value in values(suite, name, seconds) if value is not None]


def test_traffic_shows_and_times_are_unix_seconds(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, **WIDE})
    with Load(suite.port, "/x", connections=2) as load:
        wait_for(lambda: len([v for v in known(suite, "requests") if v > 0]) >= 3, 30, "three seconds of requests")
        answer = history(suite, "name=requests,latency_mean,latency_p99,instances,cpu&from=-5&step=1")
    assert load.failures == []
    assert abs(answer["now"] - time.time()) < 5
    assert answer["count"] == len(answer["series"][0]["values"]) == 5
    units = {series["name"]: series["unit"] for series in answer["series"]}
    assert units == {"requests": "requests/s", "latency_mean": "ms", "latency_p99": "ms", "instances": "instances",
                     "cpu": "percent"}
    assert max(known(suite, "instances")) == 1
    assert max(known(suite, "latency_p99")) > 0
    # Seconds add up to about what was counted (a late sample's is a rate over less than its second), nothing is negative.
    goal = load.requests * 0.9
    wait_for(lambda: sum(known(suite, "requests")) >= goal, 10, "the rest of the requests in the history")
    assert sum(known(suite, "requests")) <= load.requests * 1.5 + 5
    assert min(known(suite, "requests")) >= 0
    assert values(suite, "requests", 3600)[0] is None, "an hour ago there was nothing, and nothing is no zero"


def test_refusals_errors_and_breakers_have_series_of_their_own(make_suite):
    suite = make_suite(env={"UPSTREAM_URL": "http://127.0.0.1:9", "TIER_FREE_MAX": 3, "CB_VOLUME_THRESHOLD": 2,
                            "GLOBAL_RATE_MAX": 1000})
    wait_for(lambda: known(suite, "requests"), 20, "a second of history")
    for _ in range(12):
        suite.get("/bad")
    wait_for(lambda: sum(known(suite, "tier_refusals:free")) > 0, 20, "refusals of the tier")
    wait_for(lambda: sum(known(suite, "policy_refusals:tier-free")) > 0, 20, "refusals of the policy")
    assert sum(known(suite, "refusals")) > 0
    wait_for(lambda: max(known(suite, "breaker_state:app"), default=0) == 5, 20, "the open breaker")
    assert max(known(suite, "breakers_open")) == 1
    assert sum(known(suite, "errors")) > 0


def test_a_killed_agent_loses_nothing_and_its_absence_is_a_gap(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, **WIDE})
    with Load(suite.port, "/x", connections=1):
        wait_for(lambda: len(known(suite, "requests")) >= 2, 20, "two seconds of requests")
        suite["metrics-agent"].kill()
        killed = history(suite, "name=requests&from=-60&step=1")
        wait_for(lambda: values(suite, "requests", 3) == [None] * 3, 20, "a gap of three seconds")
        suite["metrics-agent"].start()
        back = int(time.time())
        wait_for(lambda: [v for v in values(suite, "requests", int(time.time()) - back + 1) if v], 20, "requests again")
    kept = history(suite, f"name=requests&from={killed['from']}&to={killed['from'] + 60}&step=1")
    before = killed["series"][0]["values"]
    assert kept["series"][0]["values"][:len(before) - 2] == before[:-2]
    assert not suite["metrics-agent"].events("agent.history_damaged")


def test_who_may_read_it_and_where(make_suite, upstream):
    suite = make_suite(env={"UPSTREAM_URL": upstream.url, **WIDE})
    assert suite.get(PATH, {"X-Forwarded-For": "203.0.113.1"}).status == 403
    assert suite.request("POST", PATH).status == 405
    own = raw_http.request(suite.metrics_port, "GET", f"{PATH}?name=cpu&from=-5")
    assert own.status == 200 and json.loads(own.body)["count"] == 5
    names = [series["name"] for series in history(suite)["series"]]
    assert {"requests", "cpu", "advice", "outbox_depth"} <= set(names)
    everything = history(suite, "name=*&from=-60&step=10")
    assert len(everything["series"]) >= len(names)


@pytest.mark.parametrize("query, named", [("name=nonsense", "name"), ("name=cpu&from=soon", "from"),
                                          ("name=cpu&to=5x", "to"), ("name=cpu&step=0", "step"),
                                          ("names=cpu", "names"), ("name=*&step=1", "step"),
                                          ("name=cpu&from=-200000", "from"), ("name=%zz", "name")])
def test_bad_parameters_are_named(one_suite, query, named):
    answer = one_suite.get(f"{PATH}?{query}")
    assert answer.status == 400
    problem = json.loads(answer.body)
    assert problem["code"] == "bad_parameter"
    assert named in problem["detail"] and ("allowed" in problem["detail"] or "lists" in problem["detail"])


@pytest.fixture(scope="module")
def one_suite():
    from support.suite import Suite
    with Suite(processes=("api-front",), env={"UPSTREAM_URL": "http://127.0.0.1:9"}) as suite:
        yield suite


def test_switched_off_and_moved(make_suite, upstream):
    off = make_suite(env={"UPSTREAM_URL": upstream.url, "HISTORY_ENABLED": "false"}, processes=("api-front", "metrics-agent"))
    assert off.get(PATH).status == 404
    moved = make_suite(env={"UPSTREAM_URL": upstream.url, "HISTORY_ENDPOINT": "/h"}, processes=("api-front",))
    assert moved.get("/h").status == 200
    assert moved.get(PATH).body == b"ok", "the old path is the backend's now"
