"""examples/prometheus and examples/grafana work with what /metrics says: the alerts have tests of their own
for promtool, a real Prometheus takes the rules, and no query names a metric, label or value that is none."""

import json
import os
import re
import subprocess

import pytest
import yaml

from support.metrics import Metrics
from support.ports import reserve_port
from support.prometheus import Prometheus
from support.suite import ROOT, Suite
from support.upstream import Upstream

RULES = os.path.join(ROOT, "examples", "prometheus", "valvechain.rules.yml")
RULE_TESTS = os.path.join(ROOT, "examples", "prometheus", "valvechain.rules.test.yml")
DASHBOARD = os.path.join(ROOT, "examples", "grafana", "valvechain.json")

# What Prometheus puts on every series, and what it makes of a label of ours that it has, too.
TARGET_LABELS = {"job", "instance", "exported_instance"}
METRIC = re.compile(r"(valvechain_[a-z0-9_]+|job(?:_[a-z]+)?:[a-z0-9_:]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def rules():
    return [rule for group in load(RULES)["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def promtool(*words):
    found = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_promtool_takes_the_rules_and_their_tests_pass():
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULE_TESTS)


def test_every_alert_is_tested_firing_and_not():
    firing, quiet = set(), set()
    for test in load(RULE_TESTS)["tests"]:
        for case in test["alert_rule_test"]:
            (firing if case["exp_alerts"] else quiet).add(case["alertname"])
    assert firing == quiet == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_says_what_to_do(name):
    rule = alerts()[name]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert 20 < len(rule["annotations"]["summary"]) < 160 and len(rule["annotations"]["description"]) > 40


# ---- a real exposition ------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def suite():
    with Upstream() as upstream:
        config = {"upstreams": [{"name": "mail", "url": f"http://127.0.0.1:{reserve_port()}"}],
                  "routes": [{"path": "/mail", "upstream": "mail",
                              "fallbacks": [{"kind": "queue"}, {"kind": "error"}]}]}
        with Suite(env={"UPSTREAM_URL": upstream.url, "AUTH_RATE_MAX": "1"}, config=config) as running:
            for target in ("/hello", "/api/auth/login", "/api/auth/login"):
                running.get(target)
            running.request("POST", "/mail/a", [("Idempotency-Key", '"k"')], b"hello")
            yield running


@pytest.fixture(scope="module")
def exposed(suite):
    """{metric name: [labels of each series]}"""
    series = {}
    for name, pairs in Metrics.parse(suite.get("/metrics").text):
        series.setdefault(name, []).append(dict(pairs))
    return series


def selects(labels, matchers):
    """Would these matchers select a series with these labels? Variables of a dashboard match anything."""
    for label, operator, value in matchers:
        if label in TARGET_LABELS or "$" in value:
            continue
        is_equal = (re.fullmatch(value, labels.get(label, "")) is not None) if "~" in operator \
            else labels.get(label, "") == value
        if is_equal != (operator in ("=", "=~")):
            return False
    return True


def complaints(expression, exposed, recorded):
    """What in the expression does not exist."""
    found, known = [], set(TARGET_LABELS)
    used = METRIC.findall(expression)
    if not used and "up{" not in expression:
        found.append("no metric of ours")
    for name, matchers in used:
        if name in recorded:
            known |= recorded[name]
            continue
        if name not in exposed:
            found.append(f"there is no {name}")
            continue
        labels = set().union(*exposed[name])
        known |= labels
        wanted = MATCHER.findall(matchers)
        found += [f"{name} has no label {label}" for label, _, _ in wanted if label not in labels | TARGET_LABELS]
        if not any(selects(one, wanted) for one in exposed[name]):
            found.append(f"no series of {name} is {{{matchers}}}")
    for group in GROUPING.findall(expression):
        found += [f"no metric here has the label {label}" for label in re.findall(r"[a-z_]+", group)
                  if label not in known]
    return found


def recorded():
    """The labels of the recorded series, as their names say them (level:metric:operations)."""
    return {rule["record"]: set(rule["record"].split(":")[0].split("_")) for rule in rules() if "record" in rule}


def test_the_check_finds_what_does_not_exist():
    series = {"valvechain_a_total": [{"code": "2xx"}]}
    assert not complaints('sum by (code) (rate(valvechain_a_total{code=~"2xx|5xx",job="$job"}[5m]))', series, {})
    assert complaints("valvechain_b_total", series, {})
    assert complaints('valvechain_a_total{codes="2xx"}', series, {})
    assert complaints('valvechain_a_total{code="9xx"}', series, {})
    assert complaints("sum by (route) (valvechain_a_total)", series, {})
    assert complaints("sum(rate(x[5m]))", series, {})


def test_every_rule_asks_for_what_exists(exposed):
    wrong = {rule.get("alert") or rule["record"]: complaints(rule["expr"], exposed, recorded()) for rule in rules()}
    assert not {name: found for name, found in wrong.items() if found}


def test_every_query_of_the_dashboard_asks_for_what_exists(exposed):
    wrong = {}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            wrong[f'{panel["title"]} {target["refId"]}'] = complaints(target["expr"], exposed, recorded())
            labels = set().union(*(one for name, _ in METRIC.findall(target["expr"]) for one in exposed.get(name, [])))
            shown = set(re.findall(r"\{\{([a-z_]+)\}\}", target["legendFormat"]))
            assert shown <= labels | TARGET_LABELS, f'{panel["title"]}: {shown - labels}'
    assert len(wrong) > 30
    assert not {title: found for title, found in wrong.items() if found}
    for variable in dashboard()["templating"]["list"][1:]:
        assert "valvechain_build_info" in variable["definition"] and "valvechain_build_info" in exposed


def test_a_real_prometheus_evaluates_rules_and_queries(suite):
    with Prometheus({"valvechain": f"127.0.0.1:{suite.metrics_port}"}, rules=[RULES]) as server:
        server.wait_for("sum(job:valvechain_requests:rate5m) >= 0", lambda _: True)
        found = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
        assert len(found) == len(rules())
        server.wait_for('count({__name__=~"job.*:valvechain.+"})', lambda n: n >= 7)
        found = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
        assert [rule["name"] for rule in found if rule.get("lastError")] == []
        for panel in dashboard()["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", "valvechain") \
                    .replace("$instance", ".*")
                server.query(expression)  # a parse or type error is an exception
        assert len(server.query('valvechain_process_up{process="limiter",exported_instance="1"}')) == 1


# ---- the dashboard's form ---------------------------------------------------------------------------

def dashboard():
    with open(DASHBOARD, encoding="utf-8") as file:
        return json.load(file)


NUMBER = (int, float)
# The documented fields of Grafana's dashboard JSON model that we use, and their types.
FIELDS = {
    "dashboard": {"id": type(None), "uid": str, "title": str, "description": str, "tags": list, "editable": bool,
                  "graphTooltip": int, "timezone": str, "schemaVersion": int, "version": int, "refresh": str,
                  "time": dict, "timepicker": dict, "links": list, "templating": dict, "annotations": dict,
                  "panels": list},
    "row": {"id": int, "type": str, "title": str, "collapsed": bool, "gridPos": dict, "panels": list},
    "panel": {"id": int, "type": str, "title": str, "description": str, "datasource": dict, "gridPos": dict,
              "targets": list, "fieldConfig": dict, "options": dict},
    "target": {"refId": str, "datasource": dict, "expr": str, "legendFormat": str, "range": bool},
    "gridPos": {"x": int, "y": int, "w": int, "h": int},
    "datasource": {"type": str, "uid": str},
    "fieldConfig": {"defaults": dict, "overrides": list},
}
OPTIONAL = {"defaults": {"unit": str, "color": dict, "thresholds": dict, "custom": dict, "min": NUMBER, "max": NUMBER}}
KINDS = {"timeseries": {"legend", "tooltip"}, "state-timeline": {"mergeValues", "showValue", "alignValue", "legend"},
         "stat": {"reduceOptions", "colorMode", "graphMode", "textMode"}}
UNITS = {"short", "none", "s", "reqps", "ops", "Bps", "bytes", "percent", "percentunit"}


def fit(value, kind):
    assert set(value) == set(FIELDS[kind]), f'{kind} {value.get("title")}: {set(value) ^ set(FIELDS[kind])}'
    for name, item in value.items():
        assert isinstance(item, FIELDS[kind][name]), f"{kind}.{name} is {item!r}"


def test_the_dashboard_has_the_documented_form():
    board = dashboard()
    fit(board, "dashboard")
    assert board["uid"] == "valvechain" and board["schemaVersion"] >= 36 and board["graphTooltip"] in (0, 1, 2)
    assert set(board["time"]) == {"from", "to"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        fit(panel["gridPos"], "gridPos")
        if panel["type"] == "row":
            fit(panel, "row")
            continue
        fit(panel, "panel")
        fit(panel["datasource"], "datasource")
        fit(panel["fieldConfig"], "fieldConfig")
        assert set(panel["options"]) == KINDS[panel["type"]]
        assert panel["targets"]
        for target in panel["targets"]:
            fit(target, "target")
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        defaults = panel["fieldConfig"]["defaults"]
        for name, item in defaults.items():
            assert isinstance(item, OPTIONAL["defaults"][name]), f'{panel["title"]}: {name}'
        assert defaults["unit"] in UNITS
        steps = defaults["thresholds"]["steps"]
        assert steps[0]["value"] is None and all(isinstance(step["value"], NUMBER) for step in steps[1:])


def test_no_panel_covers_another_or_leaves_the_grid():
    taken = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_variable_of_a_query_is_defined():
    board = dashboard()
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "job", "instance"}
    used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(board["panels"])))
    assert used == variables | {"__rate_interval"}
