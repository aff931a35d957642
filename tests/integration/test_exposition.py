"""What /metrics says is what Prometheus reads: promtool finds nothing to complain about, and the
sums over processes are right."""

import os
import re
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

PROMTOOL = "/usr/bin/promtool"


def sample(form):
    program = os.path.join(os.environ["VALVECHAIN_BUILD"], "bin", "expose_sample")
    return subprocess.run([program, form], capture_output=True, check=True, timeout=30).stdout


def test_promtool_finds_nothing():
    found = subprocess.run([PROMTOOL, "check", "metrics"], input=sample("text"),
                           capture_output=True, timeout=30)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


def test_promtool_would_complain():
    """The check above can fail: a second group of one name is an error to promtool."""
    found = subprocess.run([PROMTOOL, "check", "metrics"], input=sample("text") * 2,
                           capture_output=True, timeout=30)
    assert found.returncode != 0


def test_counters_of_the_dead_stand_and_gauges_do_not():
    lines = sample("text").decode().splitlines()
    assert 'valvechain_sample_requests_total{route="/a\\"b\\\\c\\nä",code="200"} 9' in lines
    assert "valvechain_sample_cpu_seconds_total 9e-09" in lines
    assert "valvechain_sample_connections 0.30000000000000004" in lines
    assert "valvechain_sample_lag_seconds 0.2" in lines
    histogram = [line for line in lines if line.startswith("valvechain_sample_latency_seconds_")]
    values = [line.rsplit(" ", 1)[1] for line in histogram]
    assert values == ["0", "3", "3", "3", "0.021", "3"]


def test_openmetrics_form():
    text = sample("openmetrics").decode()
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    assert ("valvechain_sample_requests", "counter") in families
    assert len(families) == len(set(families)) == 7
    assert "# UNIT valvechain_sample_latency_seconds seconds\n" in text
    assert "# UNIT valvechain_sample_cpu_seconds seconds\n" in text
    for line in text.splitlines():
        assert line.startswith("# ") or line.startswith("valvechain_")


def test_the_strict_openmetrics_parser_reads_it():
    families = {family.name: family for family in text_string_to_metric_families(sample("openmetrics").decode())}
    requests = {(item.name, item.value) for item in families["valvechain_sample_requests"].samples}
    assert ("valvechain_sample_requests_total", 9.0) in requests
    buckets = [item for item in families["valvechain_sample_latency_seconds"].samples
               if item.name.endswith("_bucket")]
    assert [item.labels["le"] for item in buckets] == ["0.005", "0.1", "2.5", "+Inf"]
    found = [item.exemplar for item in buckets]
    assert found[0] is found[2] is found[3] is None
    assert found[1].labels == {"trace_id": "0af7651916cd43dd8448eb211c80319c"} and found[1].value == 0.007


def test_the_strict_parser_would_complain():
    text = sample("openmetrics").decode().replace("# EOF\n", "")
    with pytest.raises(ValueError):
        list(text_string_to_metric_families(text))
