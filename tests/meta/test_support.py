"""The test tools themselves: a client and an upstream that were wrong would prove nothing."""

import pytest

from support import raw_http
from support.metrics import Metrics
from support.ports import reserve_port
from support.upstream import response
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
