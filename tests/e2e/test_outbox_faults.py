"""The outbox when its disk, its folder or its file fails: nothing that was acknowledged goes
without a word, what cannot be kept is refused with 503 and Retry-After, and the service goes on."""

import glob
import os
import select
import signal
import sqlite3
import subprocess
import time

import pytest

from support.ports import reserve_port
from support.suite import binary
from support.upstream import Upstream, response
from support.wait import wait_for

PROCESSES = ("api-front", "breaker")
ENV = {"ADVANCED_RATE_LIMITING": "false", "CB_VOLUME_THRESHOLD": 2, "CB_RESET_TIMEOUT": 200,
       "CB_RESET_TIMEOUT_MAX": 400, "CB_TIMEOUT": 1000, "OUTBOX_BACKOFF": 50, "OUTBOX_BACKOFF_MAX": 200,
       "OUTBOX_REPLAY_RATE": 1000}


def config_of(port):
    return {"upstreams": [{"name": "mail", "url": f"http://127.0.0.1:{port}"}],
            "routes": [{"path": "/mail", "upstream": "mail", "fallbacks": [{"kind": "queue"}, {"kind": "error"}]}]}


@pytest.fixture
def port():
    return reserve_port()


@pytest.fixture
def start(make_suite, port):
    def start(**env):
        return make_suite(processes=PROCESSES, env={**ENV, **env}, config=config_of(port))

    return start


def post(suite, key, body=b"hello", target="/mail/send"):
    return suite.request("POST", target, [("Idempotency-Key", f'"{key}"')], body)


def state(suite, location):
    return suite.get(location).json()["state"]


def assert_refused(answer, code):
    assert (answer.status, answer.json()["code"]) == (503, code), answer
    assert int(answer.header("Retry-After")) >= 1


def valvectl(suite, *words):
    return subprocess.run([binary("valvectl"), *words], env=suite["breaker"].environment(), capture_output=True,
                          text=True, timeout=30, check=False)


def wait_empty(suite):
    def is_empty():
        figures = suite.metrics()
        return all(figures.sum("valvechain_outbox_operations", state=s) == 0 for s in ("queued", "sending"))

    wait_for(is_empty, 20, "the outbox to be empty")


# ---- no folder, and the way out -------------------------------------------------------------


def test_no_folder_that_can_be_made(start, make_suite):
    """The defaults for EMAIL_UPSTREAM_URL, where neither /var/lib/NAME nor a home can be written."""
    mail = reserve_port()
    suite = make_suite(processes=PROCESSES, env={
        **ENV, "OUTBOX_PATH": None, "HOME": "/proc/nowhere", "XDG_STATE_HOME": None,
        "EMAIL_UPSTREAM_URL": f"http://127.0.0.1:{mail}"})
    for i in range(3):
        assert_refused(post(suite, f"k{i}", target="/api/email/send"), "outbox_nowhere")
    assert len(suite["breaker"].events("outbox.nowhere")) == 1, "told once"
    assert suite.metrics().sum("valvechain_outbox_refused_total", reason="storage") == 3
    assert "OUTBOX_PATH" in suite.get("/api/health").text
    with Upstream(port=mail):
        wait_for(lambda: suite.get("/api/email/x").status == 200, 10, "the breaker to close")


@pytest.mark.parametrize("signals", [1, 2])
def test_the_exit_is_clean_with_an_attempt_under_way(start, port, signals):
    suite = start(CB_TIMEOUT=60000, OUTBOX_MAX_ATTEMPTS=100)
    location = post(suite, "k1").header("Location")
    with Upstream(port=port, answer=lambda request, connection: connection.is_closed_by_peer(30) and None) as upstream:
        wait_for(lambda: upstream.requests, 10, "the attempt")
        breaker = suite["breaker"]
        for number in range(signals):
            breaker.signal(signal.SIGTERM)
            if number == 0:
                breaker.wait_event("process.draining")
        assert breaker.child.wait(15) == 0, breaker.tail()
        assert not breaker.errors
    breaker.start()
    with Upstream(port=port):
        wait_for(lambda: state(suite, location) == "done", 20, "its delivery after the restart")


def test_terms_at_every_moment_of_leaving_end_it_cleanly(start):
    suite = start()
    breaker = suite["breaker"]
    for i in range(5):
        assert post(suite, f"k{i}").status == 202
        while breaker.is_running():  # some thousand a second; without a pause it would do nothing but take signals
            breaker.signal(signal.SIGTERM)
            select.select([], [], [], 0.0002)
        assert breaker.child.returncode == 0, breaker.tail()
        breaker.start()


# ---- a damaged file -------------------------------------------------------------------------


def fill(suite, count, body=b"x" * 3000):
    """The locations of `count` operations that wait."""
    answers = [post(suite, f"k{i}", b"%d " % i + body) for i in range(count)]
    assert {answer.status for answer in answers} == {202}, answers
    return [answer.header("Location") for answer in answers]


def database(suite):
    return os.path.join(suite.dir, "outbox.db")


def checkpoint(path):
    """Everything of the log into the file itself."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def cut(path, share):
    os.truncate(path, int(os.path.getsize(path) * share))


def flip_a_body(path):
    checkpoint(path)
    with open(path, "rb") as file:
        at = file.read().index(b"20 xxx")
    flip(path, at + 1000)


def flip_a_page_head(path):
    checkpoint(path)
    with open(path, "rb") as file:
        at = file.read().index(b"20 xxx")
    flip(path, at // 8192 * 8192)


def tear_the_file(path):
    checkpoint(path)
    cut(path, 0.6)


def no_database(path):
    checkpoint(path)
    with open(path, "r+b") as file:
        file.write(b"This is something else" * 100)


def empty_the_file(path):
    checkpoint(path)
    cut(path, 0)


def remove_the_file(path):
    checkpoint(path)
    os.unlink(path)


def flip_the_log(path):
    flip(path + "-wal", os.path.getsize(path + "-wal") // 2)


def tear_the_log(path):
    cut(path + "-wal", 0.6)


@pytest.mark.parametrize("damage,least", [
    (flip_a_body, 39), (flip_a_page_head, 20), (tear_the_file, 0), (no_database, 0), (empty_the_file, 0),
    (remove_the_file, 0), (flip_the_log, 5), (tear_the_log, 5)], ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_found_set_aside_and_told(start, port, damage, least):
    suite = start()
    breaker, path = suite["breaker"], database(suite)
    locations = fill(suite, 40)
    assert valvectl(suite, "outbox", "pause", "mail").returncode == 0
    breaker.kill()
    damage(path)
    breaker.start()
    told = breaker.wait_event("outbox.damaged")
    print(told["why"], told["operations_saved"], told["operations_unreadable"])
    aside = told["set_aside"]
    assert aside.startswith(path + ".damaged-")
    assert glob.glob(aside + "*"), "what was damaged is still there"
    assert suite.metrics().sum("valvechain_outbox_damaged_total") == 1
    assert "set aside" in suite.get("/api/health").text
    left = [location for location in locations if suite.get(location).status == 200]
    assert least <= len(left) < 40 and len(left) == told["operations_saved"]
    assert post(suite, "after").status == 202, "the service goes on"
    valvectl(suite, "outbox", "resume", "mail")
    with Upstream(port=port) as upstream:
        wait_empty(suite)
        assert len({request.body for request in upstream.requests}) == len(left) + 1
    breaker.terminate()
    breaker.start()  # the new file is whole
    breaker.wait_event("outbox.opened")
    assert len(breaker.events("outbox.damaged")) == 1


# ---- a full disk, a folder that cannot be written -------------------------------------------


@pytest.fixture
def on_small_disk(start, tmp_path):
    """Starts a suite whose breaker has a file system of `kib` for the outbox, in a mount namespace of
    its own: (suite, run), run(words) runs a command inside."""
    disk = tmp_path / "disk"
    disk.mkdir()
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    tried = subprocess.run(["unshare", "--mount", *user, "mount", "-t", "tmpfs", "none", str(disk)],
                           capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace here: {tried.stderr.strip()}")

    def start_on(kib, **env):
        suite = start(OUTBOX_PATH=str(disk / "outbox.db"), **env)
        breaker = suite["breaker"]
        breaker.kill()
        breaker.wrapper = ["unshare", "--mount", *user, "sh", "-c",
                           f'mount -t tmpfs -o size={kib}k none {disk} && exec "$@"', "sh"]
        breaker.start()

        def run(*words):
            enter = ["nsenter", "--target", str(breaker.pid), "--mount", *(["--user", "--preserve"] if user else [])]
            done = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return suite, run, str(disk)

    return start_on


def test_a_full_disk_refuses_and_goes_on(on_small_disk, port):
    suite, run, disk = on_small_disk(1024)
    kept, refused = [], 0
    for i in range(200):
        answer = post(suite, f"k{i}", b"%d " % i + b"x" * 20000)
        if answer.status == 202:
            kept.append(answer.header("Location"))
        else:
            assert_refused(answer, "outbox_disk_full")
            refused += 1
            if refused == 5:
                break
    assert refused == 5 and len(kept) >= 5, (refused, len(kept))
    figures = suite.metrics()
    assert figures.sum("valvechain_outbox_refused_total", reason="storage") == 5
    assert figures.sum("valvechain_outbox_commit_failures_total") >= 5
    assert suite["breaker"].is_running()
    large = post(suite, "large", b"y" * 900_000)
    assert large.status == 503 and large.header("Retry-After"), large
    for location in kept:  # 503 where a question shared its transaction with a write
        told = wait_for(lambda location=location: next((a for a in [suite.get(location)] if a.status != 503), None),
                        10, "an answer about it")
        assert told.json()["state"] in ("queued", "sending")
    print(len(kept), "kept on 1 MiB")
    run("mount", "-o", "remount,size=16384k", disk)  # somebody makes room
    wait_for(lambda: post(suite, "room").status == 202, 10, "an operation to be kept again")
    with Upstream(port=port) as upstream:
        wait_empty(suite)
        assert len({request.body for request in upstream.requests}) == len(kept) + 1
    assert {state(suite, location) for location in kept} == {"done"}
    assert not suite["breaker"].events("outbox.damaged")


def test_delivery_goes_on_with_a_full_disk(on_small_disk, port):
    """What is there is delivered as soon as there is room to count attempts; nothing is sent uncounted."""
    suite, run, disk = on_small_disk(1024)
    kept = [post(suite, f"k{i}", b"%d" % i).header("Location") for i in range(10)]
    run("sh", "-c", f"cat /dev/zero > {disk}/other; true")
    with Upstream(port=port) as upstream:
        wait_for(lambda: suite.metrics().sum("valvechain_outbox_commit_failures_total") > 3, 20, "failed commits")
        assert suite["breaker"].is_running() and suite.get("/mail/x").status in (200, 503)
        run("rm", f"{disk}/other")
        wait_empty(suite)
        delivered = [request.body for request in upstream.requests if request.method == b"POST"]
        assert len(set(delivered)) == len(kept)
    assert {state(suite, location) for location in kept} == {"done"}


def test_a_folder_that_becomes_read_only(on_small_disk, port):
    suite, run, disk = on_small_disk(4096)
    first = post(suite, "k1")
    assert first.status == 202
    suite["breaker"].kill()
    suite["breaker"].wrapper[-2] = suite["breaker"].wrapper[-2].replace("-o size", "-o ro,size")
    suite["breaker"].start()
    assert_refused(post(suite, "k2"), "outbox_read_only")
    assert "cannot be opened" in suite.get("/api/health").text
    assert len(suite["breaker"].events("outbox.unavailable")) == 1, "told once"
    run("mount", "-o", "remount,rw", disk)
    wait_for(lambda: post(suite, "k3").status == 202, 10, "an operation to be kept again")
    wait_for(lambda: "cannot be opened" not in suite.get("/api/health").text, 10, "health to be well again")


# ---- JSON-RPC, Retry-After, age ---------------------------------------------------------------


def test_a_raw_transaction_waits_for_its_chain(make_suite):
    chain = reserve_port()
    suite = make_suite(processes=PROCESSES, env={**ENV, "BLOCKCHAIN_UPSTREAM_URL": f"http://127.0.0.1:{chain}"})

    def send(id, params='["0xf86c"]', method="eth_sendRawTransaction"):
        body = f'{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}'
        return suite.request("POST", "/api/chain", [("Content-Type", "application/json")], body.encode())

    first = send('"a-7"')
    assert first.status == 202 and first.header("Location"), first
    told = first.json()
    assert told["id"] == "a-7" and "result" not in told and told["error"]["code"] == -32000
    assert told["error"]["data"]["state"] == "queued"
    for number in range(5):  # with the breaker open, too; the same transaction is one operation
        again = send(number)
        assert again.status in (202, 409) and again.json()["id"] == number and "error" in again.json(), again
        assert again.header("Location") == first.header("Location")
    answer = response(headers=[("Content-Type", "application/json")],
                      body=b'{"jsonrpc":"2.0","id":"a-7","result":"0xabc"}')
    with Upstream(port=chain, answer=answer) as upstream:
        wait_for(lambda: state(suite, first.header("Location")) == "done", 10, "its delivery")
        assert sum(b"0xf86c" in request.body for request in upstream.requests) == 1
    replayed = send(99)  # away again: the answer of then, with the id of this call
    assert (replayed.status, replayed.header("Idempotent-Replayed")) == (200, "true"), replayed
    assert replayed.json() == {"jsonrpc": "2.0", "id": 99, "result": "0xabc"}


def test_retry_after_is_obeyed_and_old_age_ends_it(start, port):
    suite = start(OUTBOX_MAX_AGE=4000)
    times = []

    def busy(request, _):
        if request.method == b"POST":
            times.append(time.monotonic())
        return b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"

    location = post(suite, "k1").header("Location")
    with Upstream(port=port, answer=busy) as upstream:
        wait_for(lambda: state(suite, location) == "dead", 15, "its death of old age")
    assert len(times) >= 1 and all(b - a >= 1.9 for a, b in zip(times, times[1:])), times
    assert "old" in suite.get(location).json()["lastError"]


def test_an_operator_pauses_resumes_discards_and_retries(start, port):
    suite = start()
    assert valvectl(suite, "outbox", "pause", "mail").returncode == 0
    first, second = (post(suite, key, key.encode()).header("Location") for key in ("k1", "k2"))
    suite["breaker"].kill()
    suite["breaker"].start()  # still paused
    suite["breaker"].wait_event("outbox.opened")
    with Upstream(port=port) as upstream:
        wait_for(lambda: suite.get("/mail/x").status == 200, 10, "the breaker to close")
        assert state(suite, first) == state(suite, second) == "queued"
        gone = first.rsplit("/", 1)[1]
        assert valvectl(suite, "outbox", "discard", gone).returncode == 0
        assert valvectl(suite, "outbox", "retry", gone).returncode != 0, "it is over"
        assert valvectl(suite, "outbox", "retry", "0" * 32).returncode != 0, "there is none"
        assert valvectl(suite, "outbox", "resume", "mail").returncode == 0
        wait_for(lambda: state(suite, second) == "done", 10, "its delivery")
        assert state(suite, first) == "discarded"
        assert [r.body for r in upstream.requests if r.method == b"POST"] == [b"k2"]
