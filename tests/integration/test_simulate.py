"""valvectl record and simulate: traces of this tree, policies from files, and a live suite."""

import http.server
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import pytest

from support.suite import ROOT, binary

TRACES = os.path.join(ROOT, "tests", "traces")
NAMES = ("diurnal", "step-x10", "spike", "sawtooth", "dependency-outage", "rolling-update", "missing-data")
POLICIES = {
    "thresholds": {"parameters": {"MAX_INSTANCES": 20}},
    "target": {"parameters": {"MAX_INSTANCES": 20, "COOLDOWN_PERIOD": 0},
               "advice": {"thresholds": False, "cpu_target_percent": 70, "rps_target": 100}},
    "nervous": {"parameters": {"MAX_INSTANCES": 12, "MIN_INSTANCES": 2, "COOLDOWN_PERIOD": 0},
                "advice": {"thresholds": False, "cpu_target_percent": 60, "target_window_s": 1, "warm_up_s": 0,
                           "scale_down": {"stabilization_s": 0}, "flaps": 4, "flap_window_s": 1800}},
}


def ctl(*arguments, env=None):
    return subprocess.run([binary("valvectl"), *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **{k: str(v) for k, v in (env or {}).items()}})


def trace(name):
    return os.path.join(TRACES, f"{name}.csv")


@pytest.fixture
def policies(tmp_path):
    options = []
    for name, config in POLICIES.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        options += ["--policy", tmp_path / f"{name}.json"]
    return options


def test_the_traces_are_those_of_their_script(tmp_path):
    shutil.copy(os.path.join(TRACES, "make_traces.py"), tmp_path)
    subprocess.run([sys.executable, "-B", str(tmp_path / "make_traces.py")], check=True, timeout=60)
    for name in NAMES:
        with open(trace(name), encoding="ascii") as file:
            assert (tmp_path / f"{name}.csv").read_text() == file.read(), name
    assert {f"{name}.csv" for name in NAMES} == {f for f in os.listdir(TRACES) if f.endswith(".csv")}


@pytest.mark.parametrize("name", NAMES)
def test_no_policy_breaks_a_promise_and_twice_is_the_same(name, policies):
    run = ctl("simulate", "--json", *policies, trace(name))
    assert run.returncode == 0, run.stdout + run.stderr
    assert ctl("simulate", "--json", *policies, trace(name)).stdout == run.stdout
    report = json.loads(run.stdout)
    assert [p["policy"] for p in report["policies"]] == [*POLICIES, "hpa-v2"]
    for policy in report["policies"]:
        assert policy["brokenPromises"] == 0
        assert policy["decisions"] == report["samples"]
        bounds = POLICIES.get(policy["policy"], POLICIES["thresholds"])["parameters"]
        assert bounds.get("MIN_INSTANCES", 1) <= policy["leastInstances"]
        assert policy["mostInstances"] <= bounds["MAX_INSTANCES"]


def result(name, policy, *options):
    run = ctl("simulate", "--json", *options, trace(name))
    return next(p for p in json.loads(run.stdout)["policies"] if p["policy"] == policy)


def test_what_traces_are_there_to_show(policies):
    # The budget of the nervous one bounds its turns: 4 in 1800 s, and growth after each.
    assert 4 < result("sawtooth", "nervous", *policies)["flips"] <= 8 * (4 + 1)
    assert result("missing-data", "target", *policies)["blind"] > 100
    # An order costs from the first moment and helps later.
    quick = result("step-x10", "target", *policies, "--start-delay", 15)
    slow = result("step-x10", "target", *policies, "--start-delay", 600)
    assert quick["refusedRequests"] < slow["refusedRequests"]
    # Refusals ask for what the load needs, not for more with every look at them.
    assert result("step-x10", "target", *policies)["mostInstances"] <= result("step-x10", "hpa-v2")["mostInstances"] + 1
    # The load of the outage is no reason to shrink when it is over: one growth at the start, and nothing after it.
    outage = result("dependency-outage", "target", *policies)
    assert outage["changes"] == 1 and outage["flips"] == 0 and outage["mostInstances"] <= 8
    # HPA v2 does not know why the load is gone and shrinks in the outage; ours waits until it is over.
    assert result("dependency-outage", "hpa-v2", *policies)["changes"] > 0


def test_a_day_takes_less_than_a_second(policies):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = ctl("simulate", *policies[:2], trace("diurnal"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0 and "5760 samples of 15 s, 24.0 h" in run.stdout
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < (1 if "release" in os.environ.get("VALVECHAIN_BUILD", "release") else 15)


def test_the_plot_is_svg_that_names_every_policy(tmp_path, policies):
    svg = tmp_path / "plot.svg"
    assert ctl("simulate", *policies, "--svg", svg, trace("diurnal")).returncode == 0
    root = ElementTree.parse(svg).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert {e.text for e in root.iter(f"{space}title")} >= {*POLICIES, "hpa-v2"}
    assert {e.text for e in root.iter(f"{space}text")} >= {*POLICIES, "hpa-v2"}
    assert ctl("simulate", "--svg", tmp_path / "no" / "plot.svg", trace("spike")).returncode == 1


@pytest.mark.parametrize("arguments, words", [
    (("simulate",), "one trace"),
    (("simulate", "/no/trace"), "No such file"),
    (("simulate", "--target", "0", trace("spike")), "--target '0'"),
    (("simulate", "--start-delay", "x", trace("spike")), "--start-delay 'x'"),
    (("simulate", "--policy", "/no/policy", trace("spike")), "/no/policy"),
    (("limits", "--svg", "x"), "does not take '--svg'"),
    (("record", "x"), "--for TIME"),
    (("record", "--for", "x", "/tmp/x"), "no time"),
])
def test_wrong_use_is_named(arguments, words):
    run = ctl(*arguments)
    assert run.returncode == 1 and words in run.stderr


def test_a_bad_policy_is_refused_with_its_names(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"parameters": {"MIN_INSTANCES": 9, "MAX_INSTANCES": 3}}))
    run = ctl("simulate", "--policy", path, trace("spike"))
    assert run.returncode == 1 and "MIN_INSTANCES" in run.stderr
    path.write_text(json.dumps({"advice": {"cpu_target": 3}}))
    run = ctl("simulate", "--policy", path, trace("spike"))
    assert run.returncode == 1 and "cpu_target" in run.stderr


def test_a_live_suite_is_recorded_and_replayed(make_suite, tmp_path):
    suite = make_suite(processes=("metrics-agent", "api-front"))
    path = tmp_path / "live.csv"
    run = ctl("record", "--for", "5s", path, env=suite.environment())
    assert run.returncode == 0, run.stderr
    lines = path.read_text().splitlines()
    assert lines[0] == "# valvechain-trace 1" and len(lines) >= 5
    report = json.loads(ctl("simulate", "--json", path).stdout)
    assert report["samples"] == len(lines) - 2 and 0.5 < report["stepSeconds"] < 2
    nobody = make_suite(processes=("limiter",))
    assert ctl("record", "--for", "1s", tmp_path / "none.csv", env=nobody.environment()).returncode == 2


def test_a_history_becomes_a_trace(tmp_path):
    """By an answer of the history's documented form."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            Handler.asked.append(self.path)
            names = {"requests": [10, 20, None, 40], "cpu": [50, 60, None, 70], "instances": [2, 2, None, 3],
                     "in_flight": [1, 1, None, 1], "latency_mean": [5, None, None, 6], "refusals": [0, 0, None, 1],
                     "breakers_open": [0, 1, None, 0]}
            body = json.dumps({"now": 2000, "from": 1000, "step": 1, "count": 4,
                               "series": [{"name": n, "unit": "x", "values": v} for n, v in names.items()]}).encode()
            self.send_response(200 if "history" in self.path else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    Handler.asked = []
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        path = tmp_path / "history.csv"
        run = ctl("record", "--url", f"http://127.0.0.1:{server.server_port}/", "--for", "10m", path)
        assert run.returncode == 0, run.stderr
    finally:
        server.shutdown()
        server.server_close()
    assert len(Handler.asked) == 1 and "&step=1" in Handler.asked[0] and Handler.asked[0].startswith("/api/metrics/history?")
    assert path.read_text().splitlines()[2:] == ["1000,10,100,1,5,0,0,", "1001,20,120,1,,0,1,", "1003,40,210,1,6,1,0,"]
    run = ctl("record", "--url", f"http://127.0.0.1:{server.server_port}", "--for", "10m", path)
    assert run.returncode == 2 and "127.0.0.1" in run.stderr
