"""/metrics of a running suite, read by those who will: promtool, the strict OpenMetrics parser and a
real Prometheus server."""

import subprocess
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as text_parser

from support import raw_http
from support.prometheus import Prometheus
from support.suite import Suite
from support.upstream import Upstream
from support.wait import wait_for

OPENMETRICS = "application/openmetrics-text"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACED = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
UNSAMPLED = {"traceparent": "00-11111111111111111111111111111111-b7ad6b7169203331-00"}
# SPEC.md promises this name to users; promtool would like it in seconds.
PROMISED = b"valvechain_average_response_time_ms metric names should not contain abbreviated units\n"


@pytest.fixture(scope="module")
def suite():
    with Upstream() as upstream, Suite(env={"UPSTREAM_URL": upstream.url, "AUTH_RATE_MAX": "1"}) as running:
        began = time.time()
        for _ in range(3):
            assert running.get("/hello", TRACED).status == 200
        assert running.get("/hello", UNSAMPLED).status == 200
        running.get("/api/auth/login")
        assert running.get("/api/auth/login").status == 429
        running.began = began
        yield running


def scrape(suite, accept=None, port=None):
    headers = {"Accept": accept} if accept else {}
    answer = raw_http.request(port or suite.port, "GET", "/metrics", headers)
    assert answer.status == 200, answer
    return answer


@pytest.mark.parametrize("where", ["port", "metrics_port"])
def test_the_form_is_by_accept(suite, where):
    port = getattr(suite, where)
    for accept in (None, "*/*", "application/json", f"{OPENMETRICS};q=0.1, text/plain;q=0.2", f"{OPENMETRICS};q=0"):
        answer = scrape(suite, accept, port)
        assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8", accept
        assert "# EOF" not in answer.text and "trace_id" not in answer.text and "_created" not in answer.text
    for accept in (OPENMETRICS, f"{OPENMETRICS}; version=1.0.0, text/plain;q=0.5", f"text/plain;q=0.4,{OPENMETRICS};q=0.5"):
        answer = scrape(suite, accept, port)
        assert answer.header("Content-Type") == f"{OPENMETRICS}; version=1.0.0; charset=utf-8", accept
        assert answer.text.endswith("# EOF\n")


def test_promtool_has_the_one_complaint(suite):
    found = subprocess.run(["promtool", "check", "metrics"], input=scrape(suite).body, capture_output=True,
                           timeout=30, check=False)
    assert (found.stdout, found.stderr) == (b"", PROMISED)


def test_the_strict_parser_and_the_two_forms_say_the_same(suite):
    strict = {family.name: family for family in text_string_to_metric_families(scrape(suite, OPENMETRICS).text)}
    text = {family.name: family for family in text_parser(scrape(suite).text)}
    assert set(text) == set(strict)
    assert {name: family.type for name, family in text.items()} == {name: family.type for name, family in strict.items()}
    for name, family in strict.items():
        series = {(item.name, tuple(sorted(item.labels.items()))) for item in family.samples
                  if not item.name.endswith("_created")}
        assert series == {(item.name, tuple(sorted(item.labels.items()))) for item in text[name].samples}
        assert family.documentation, name


def test_created_is_when_the_suite_was_started(suite):
    found = [item.value for family in text_string_to_metric_families(scrape(suite, OPENMETRICS).text)
             for item in family.samples if item.name.endswith("_created")]
    assert len(found) > 100
    assert all(suite.began - 120 < value <= time.time() + 1 for value in found)


def test_exemplars_are_sampled_traces(suite):
    exemplars = {}
    for family in text_string_to_metric_families(scrape(suite, OPENMETRICS).text):
        for item in family.samples:
            if item.exemplar:
                exemplars.setdefault(item.name, []).append(item)
    assert set(exemplars) == {"valvechain_http_request_duration_seconds_bucket",
                              "valvechain_upstream_first_byte_seconds_bucket"}
    for items in exemplars.values():
        for item in items:
            assert item.exemplar.labels == {"trace_id": TRACE_ID}
            assert item.exemplar.value <= float(item.labels["le"])
            assert abs(float(item.exemplar.timestamp) - suite.began) < 120


def test_buckets_are_a_parameter(make_suite):
    suite = make_suite(env={"LATENCY_BUCKETS": "0.02, 0.3, 4"}, processes=("api-front", "breaker"))
    bounds = {dict(pairs)["le"] for name, pairs in suite.metrics()
              if name in ("valvechain_http_request_duration_seconds_bucket",
                          "valvechain_database_query_duration_seconds_bucket")}
    assert bounds == {"0.02", "0.3", "4.0", "+Inf"}


@pytest.mark.parametrize("bad", ["", "1,1", "2,1", "0,1", "inf", "1e3", "-1", ",".join(str(n) for n in range(1, 18))])
def test_bad_buckets_are_refused_with_what_is_allowed(bad):
    suite = Suite(processes=("api-front",), env={"LATENCY_BUCKETS": bad})
    try:
        process = suite["api-front"]
        process.args = ["--check"]
        process.start(wait=False)
        assert process.child.wait(30) == 1
        said = process.text + process.errors
        assert "LATENCY_BUCKETS" in said and "each larger than the one before" in said, said
    finally:
        suite.stop(check=False)


def test_a_process_that_was_killed_is_shown_and_one_that_was_stopped_is_not(make_suite):
    suite = make_suite(processes=("api-front", "limiter", "breaker"))

    def up():
        return {dict(pairs)["process"]: value for (name, pairs), value in suite.metrics().items()
                if name == "valvechain_process_up"}

    assert up() == {"api-front": 1, "limiter": 1, "breaker": 1}
    suite["limiter"].kill()
    suite["breaker"].terminate()
    assert up() == {"api-front": 1, "limiter": 0}
    metrics = suite.metrics()
    slots = {state: metrics.sum("valvechain_segment_slots", state=state)
             for state in ("alive", "died", "stopped", "free")}
    assert slots == {"alive": 1, "died": 1, "stopped": 1, "free": 29}
    assert metrics.sum("valvechain_segment_removed") == metrics.sum("valvechain_segment_private") == 0
    assert abs(metrics.sum("valvechain_process_heartbeat_timestamp_seconds", process="api-front") - time.time()) < 60


def test_a_real_prometheus_scrapes_it_and_answers(suite):
    with Prometheus({"front": f"127.0.0.1:{suite.port}", "agent": f"127.0.0.1:{suite.metrics_port}"}) as server:
        server.wait_for('count(up == 1)', lambda n: n == 2)
        for job in ("front", "agent"):
            server.wait_for(f'sum(valvechain_http_requests_total{{job="{job}",route!="system",code="2xx"}})',
                            lambda n: n >= 4)
            server.wait_for(f'sum(valvechain_rate_limit_hits_total{{job="{job}",tier="free",endpoint_type="auth"}})',
                            lambda n: n == 1)
            server.wait_for(f'sum(valvechain_circuit_breaker_state{{job="{job}",breaker="database",state="CLOSED"}})',
                            lambda n: n == 1)
        server.wait_for('histogram_quantile(0.5, sum by (le) (valvechain_http_request_duration_seconds_bucket'
                        '{job="front"}))', lambda seconds: 0 < seconds < 10)
        # It asks for OpenMetrics: only there are _created and exemplars.
        server.wait_for('count({__name__=~"valvechain_.+_created",job="front"})', lambda n: n > 100)
        server.wait_for('scrape_samples_scraped{job="front"}', lambda n: n > 500)
        exemplars = wait_for(
            lambda: server.ask("query_exemplars", query="valvechain_http_request_duration_seconds_bucket",
                               start=suite.began - 60, end=time.time() + 60), 30, "exemplars in Prometheus")
        assert exemplars[0]["exemplars"][0]["labels"] == {"trace_id": TRACE_ID}
        suite.get("/hello")
        server.wait_for('sum(rate(valvechain_http_requests_total{job="front",route="system"}[10s]))', lambda n: n > 0)
        assert not server.query('{__name__=~"valvechain_.+",le="1"}'), "le is a canonical float"
