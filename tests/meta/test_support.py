"""The test tools themselves: a client and an upstream that were wrong would prove nothing."""

import os
import subprocess
import threading
import time

import pytest

from support import raw_http
from support.metrics import Metrics
from support.ports import reserve_port
from support.suite import ROOT
from support.upstream import after, response
from support.wait import Deadline, wait_for


def test_upstream_records_every_byte(upstream):
    data = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    [answer] = raw_http.exchange(upstream.port, data, methods=("POST",))
    assert answer.status == 200 and answer.body == b"ok"
    assert upstream.requests[0].raw == data
    assert upstream.requests[0].body == b"abc"


def test_client_reads_pipelined_interim_and_chunked_answers(upstream):
    upstream.on("/interim", b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + response(body=b"one"))
    upstream.on("/chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\n")
    data = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/interim", b"/chunked"))
    first, second = raw_http.exchange(upstream.port, data, methods=("GET", "GET"))
    assert (first.body, first.interim[0].status) == (b"one", 103)
    assert (second.body, second.trailers) == (b"ab", [("X", "y")])


def test_client_says_when_an_answer_is_cut(upstream):
    def cut(_request, connection):
        connection.close()
        return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

    upstream.answer(cut)
    with pytest.raises(raw_http.Incomplete):
        raw_http.request(upstream.port)


def test_metrics_find_deltas_and_shrinking_counters():
    text = '# TYPE a_total counter\na_total{code="200",r="x\\"y"} %d\na_total{code="500"} 1\n# TYPE g gauge\ng %d\n'
    before, after = Metrics.parse(text % (1, 5)), Metrics.parse(text % (4, 2))
    assert (after - before).sum("a_total", code="200") == 3
    assert after.sum("a_total") == 5
    assert after.shrunk_since(before) == []
    assert len(before.shrunk_since(after)) == 1


def test_ports_differ_and_waits_end():
    assert len({reserve_port() for _ in range(20)}) == 20
    with pytest.raises(Deadline):
        wait_for(lambda: False, seconds=0.05)


@pytest.mark.parametrize("leaves", [True, False])
def test_an_upstream_knows_a_close_from_silence(upstream, leaves):
    seen, asked = [], threading.Event()

    def watch(_request, connection):
        asked.set()
        seen.append(connection.is_closed_by_peer(10 if leaves else 0.2))
        connection.close()
        return None

    upstream.answer(watch)
    with raw_http.Connection(upstream.port) as connection:
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert asked.wait(5)
        if leaves:
            connection.close()
        wait_for(lambda: seen, 5, "the finding")
    assert seen == [leaves]


def test_a_late_answer_comes_and_comes_late(upstream):
    upstream.answer(after(0.3))
    begin = time.monotonic()
    assert raw_http.request(upstream.port).body == b"ok"
    assert time.monotonic() - begin >= 0.3


BLOCK = """1/1 Testing: %s
1/1 Test: %s
Command: "x"
Output:
----------------------------------------------------------
%s<end of output>
Test time =   1.00 sec
----------------------------------------------------------
%s
"%s" end time: Nov 24 10:28 UTC

"""
PYTEST = """============================= test session starts ==============================
=================================== FAILURES ===================================
___________________________________ test_one ___________________________________
tests/e2e/test_x.py:4: in test_one
    helper()
/usr/lib/python3.11/subprocess.py:1024: in __init__
    self._execute_child(args, executable, preexec_fn, close_fds,
E   FileNotFoundError: [Errno 2] No such file or directory
=========================== short test summary info ============================
FAILED tests/e2e/test_x.py::test_one - FileNotFoundError: [Errno 2] No such...
=================== 1 failed, 3 passed, 1 skipped in 0.01s =====================
"""
CRITERION = """[\x1b[0;34m----\x1b[0m] test_y.c:2: Assertion Failed
[\x1b[0;31mFAIL\x1b[0m] a::b: (0.00s)
[====] Synthesis: Tested: 3 | Passing: 2 | Failing: 1 | Crashing: 0
"""


def totals(tmp_path, *results, arguments=()):
    log = tmp_path / "LastTest.log"
    log.write_text("".join(BLOCK % (name, name, output, "Test Passed." if passed else "Test Failed.", name)
                           for name, output, passed in results))
    run = subprocess.run(["/usr/bin/python3", "-P", "-B", os.path.join(ROOT, "dev.d", "totals.py"), *arguments, str(log)],
                         capture_output=True, text=True, check=False, timeout=30)
    assert not run.stderr
    return run.returncode, run.stdout.splitlines()


def test_totals_show_why_a_test_failed(tmp_path):
    code, lines = totals(tmp_path, ("e2e_x", PYTEST, False), ("unit_y", CRITERION, False), ("plain_z", "", False),
                         ("unit_ok", "fine\n", True))
    assert code == 1 and lines[-1] == "6 passed, 3 failed, 1 skipped"
    text = "\n".join(lines)
    for part in ("failed: e2e_x", "test_one", "tests/e2e/test_x.py:4", "E   FileNotFoundError", "FAILED tests/e2e",
                 "test_y.c:2: Assertion Failed", "a::b", "(printed nothing)"):
        assert part in text
    assert "subprocess.py" not in text and "fine" not in text


def test_totals_cut_long_reasons_and_name_second_tries(tmp_path):
    long = PYTEST.replace("E   File", "E   line\n" * 500 + "E   File")
    code, lines = totals(tmp_path, ("e2e_x", long, False), ("e2e_z", PYTEST, False), ("e2e_z", "", True))
    assert code == 1 and len(lines) < 50
    assert "passed on the second try: e2e_z" in lines and lines[-1] == "4 passed, 1 failed, 1 skipped"
    assert totals(tmp_path, ("unit_ok", "", True)) == (0, ["1 passed, 0 failed"])
    assert totals(tmp_path, ("unit_ok", "", True), arguments=("--extra-failures", "1")) == (1, ["1 passed, 1 failed"])
