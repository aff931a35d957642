"""./dev run, as a person meets it: what it prints works, Ctrl-C leaves nothing behind, twice."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dev_run import DevRun, counts, run_line  # noqa: E402

from support import raw_http  # noqa: E402
from support.ports import reserve_port  # noqa: E402
from support.suite import BUILD, ROOT  # noqa: E402
from support.wait import wait_for  # noqa: E402

pytestmark = pytest.mark.skipif(BUILD != os.path.join(ROOT, "build", "release"), reason="./dev run builds release")


@pytest.fixture
def start():
    runs = []

    def make(**options):
        runs.append(DevRun(f"vctest-run-{os.getpid()}-{len(runs)}", **options))
        return runs[-1]

    yield make
    for run in runs:
        if run.child.poll() is None:
            run.terminate()


def programs():
    """Every program of the build, with what changes when it is built anew."""
    folder = os.path.join(BUILD, "bin")
    return {entry.name: (entry.inode(), entry.stat().st_mtime_ns) for entry in os.scandir(folder)}


def test_a_current_build_is_not_touched(start):
    """Other tests start these programs at the same time (and so does who runs a second suite)."""
    before = programs()
    run = start(port=reserve_port()).wait_ready()
    assert programs() == before, "./dev run built anew: not current, or something makes it look so"
    assert run.press_ctrl_c() == 0


def test_what_it_prints_works_and_ctrl_c_leaves_nothing(start):
    run = start(port=reserve_port()).wait_ready()
    hello, limit, breaker_opens, breaker_closes, *looks = run.commands()
    assert "200 OK" in run_line(hello) and "Hello from the application" in run_line(hello)
    assert counts(run_line(limit)) == {"200": 100, "429": 5}
    opened = counts(run_line(breaker_opens))
    assert opened["500"] >= 5 and opened["503"] >= 1 and sum(opened.values()) == 20, opened
    assert "Ada" in run_line(breaker_closes)
    health, metrics, breakers, limits, scaling = [run_line(line) for line in looks]
    assert '"status":' in health and "database" in health
    assert "valvechain_" in metrics
    assert "CLOSED" in breakers and "database" in breakers
    assert "premium" in limits
    assert "recommendations" in scaling
    assert run.press_ctrl_c() == 0, run.text
    assert run.left_behind() == [], run.text


@pytest.mark.parametrize("env", [
    {"ADMIN_PORT": reserve_port()},
    {"LISTEN_ADDRESS": "127.0.0.2"},
    {"READINESS_ENDPOINT": "/are-you-there", "HEALTH_CHECK_ENDPOINT": "/how-are-you", "METRICS_ENDPOINT": "/figures",
     "AUTOSCALING_ENDPOINT": "/scaling", "RATE_LIMIT_STATS_ENDPOINT": "/limits", "CIRCUIT_BREAKER_STATS_ENDPOINT": "/breakers"},
    {"LOG_LEVEL": "error"},
    {"ALLOW_PRIVATE_SEGMENT": "true", "SHM_DIR": "/nonexistent"},
], ids=lambda env: next(iter(env)))
def test_it_sees_readiness_whatever_is_set(start, env):
    run = start(port=reserve_port(), **env).wait_ready()
    hello, _, _, _, *looks = run.commands()
    assert "200 OK" in run_line(hello), run.text
    outputs = [run_line(line) for line in looks]
    for mark, output in zip(('"status":', "valvechain_", '"database"', "premium", "recommendations"), outputs):
        assert mark in output, (looks, outputs)
    assert run.press_ctrl_c() == 0
    assert run.left_behind() == []


def test_it_is_ready_when_nobody_may_ask(start):
    run = start(port=reserve_port(), SYSTEM_ALLOW="none").wait_ready()
    assert "Hello" in run_line(f"curl -s {run.url}/api/app/hello")
    assert "403 Forbidden" in run_line(f"curl -si {run.url}/readyz")
    assert run.press_ctrl_c() == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP])
def test_other_ends_are_as_clean(start, end):
    run = start(port=reserve_port()).wait_ready()
    run.child.send_signal(end)
    assert run.finish(60) == 0, run.text
    assert run.left_behind() == [], run.text


def test_even_its_own_death_leaves_no_process(start):
    run = start(port=reserve_port()).wait_ready()
    run.child.kill()
    run.child.wait(10)

    def all_gone():
        return [what for what in run.left_behind() if what.startswith("process")] == []

    wait_for(all_gone, 40, "the suite to follow its script")
    for name in os.listdir("/dev/shm"):
        if name.startswith(f"{run.name}."):
            os.unlink(f"/dev/shm/{name}")


def test_two_run_side_by_side_and_a_second_of_one_name_is_refused(start):
    one = start(port=reserve_port()).wait_ready()
    two = start(port=reserve_port()).wait_ready()
    assert one.url != two.url and one.knobs != two.knobs
    for run in (one, two):
        assert "Hello" in run_line(f"curl -s {run.url}/api/app/hello")
    third = DevRun(one.name, port=reserve_port())
    assert third.finish(120) != 0
    assert "already" in third.text and "VALVECHAIN_NAME=" in third.text
    assert one.press_ctrl_c() == 0
    assert one.left_behind() == []
    assert "Hello" in run_line(f"curl -s {two.url}/api/app/hello"), "the other one suffered"
    assert two.press_ctrl_c() == 0
    assert two.left_behind() == []


def test_its_own_backend_in_one_variable(start, upstream):
    run = start(port=reserve_port(), UPSTREAM_URL=upstream.url).wait_ready()
    assert raw_http.request(int(run.url.rsplit(":", 1)[1]), target="/anything").body == b"ok"
    assert "knobs" not in run.text
    assert run.press_ctrl_c() == 0
    assert run.left_behind() == []


def test_a_taken_port_is_said(start, upstream):
    run = start(port=upstream.port)
    assert run.finish(120) == 1
    assert f"PORT={upstream.port} is taken" in run.text
    assert run.left_behind() == []


def test_a_bad_value_is_said_and_nothing_stays(start):
    run = start(port=reserve_port(), GLOBAL_RATE_MAX="many")
    assert run.finish(120) == 1
    assert "GLOBAL_RATE_MAX" in run.text
    assert run.left_behind() == []


def test_a_dead_helper_is_reported_and_not_restarted(start):
    run = start(port=reserve_port()).wait_ready()
    [pid] = [what.split()[1].rstrip(":") for what in run.left_behind() if what.endswith("valvechain-limiter")]
    os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: "limiter ended by itself" in run.text, what="the report")
    assert "Hello" in run_line(f"curl -s {run.url}/api/app/hello")
    assert run.press_ctrl_c() == 0
    assert run.left_behind() == []
