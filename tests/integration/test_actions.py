"""ACTION: a changed advice carried out by a real program and by a POST to a real sink."""

import hashlib
import hmac
import http.server
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from support.agents import Agents
from support.certificates import Authority
from support.suite import Suite, binary
from support.wait import wait_for

SECRET = "a secret of the tests, long enough"


class World:
    """An advisor that hears one simulated agent with two instances, its minimum is what it advises."""

    def __init__(self, parameters, **env):
        self.parameters = {"MIN_INSTANCES": 3, "COOLDOWN_PERIOD": 0, "CPU_EVALUATION_PERIOD": 2,
                           "RPS_EVALUATION_PERIOD": 2, "ACTION_RETRY_MAX": 1, **parameters}
        self.suite = Suite(processes=("scaler-advisor",), config=self.config(), env=env)
        self.advisor = self.suite["scaler-advisor"]
        os.makedirs(self.suite.socket_dir, exist_ok=True)
        self.agents = Agents()
        self.agents.bind("host", f"ipc://{self.suite.socket_dir}/metrics-agent.1.events", instances=2)

    def config(self):
        return {"parameters": self.parameters}

    def __enter__(self):
        try:
            self.suite.start()
        except BaseException:
            self.agents.close()
            raise
        return self

    def __exit__(self, *_):
        self.agents.close()
        self.suite.stop()

    def change(self, **parameters):
        self.parameters.update(parameters)
        self.suite.write_config(self.config())
        self.advisor.signal(signal.SIGHUP)

    def path(self, name):
        return os.path.join(self.suite.dir, name)

    def program(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        return path

    def count(self, name, **labels):
        run = subprocess.run([binary("valvectl"), "metrics", "--json", name], capture_output=True, text=True,
                             timeout=20, env={**os.environ, **{k: str(v) for k, v in self.suite.environment().items()}})
        wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
        return sum(s["value"] for s in json.loads(run.stdout) if wanted in s.get("labels", ""))

    def wait_attempts(self, number, outcome):
        wait_for(lambda: self.count("valvechain_action_attempts", outcome=outcome) >= number, 30,
                 f"{number} attempts that end {outcome}\n{self.advisor.tail()}")


def runs_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file.read().split("\n")[:-1]]


def test_a_program_gets_each_changed_number_once(tmp_path):
    out, environ = str(tmp_path / "out"), str(tmp_path / "env")
    program = tmp_path / "scale"
    program.write_text(f"#!/bin/sh\nenv > {environ}\nls /proc/self/fd > {environ}.fds\ncat >> {out}; echo >> {out}\n"
                       "echo 'not a line of the log'\n")
    program.chmod(0o755)
    with World({"ACTION": "exec", "ACTION_PROGRAM": str(program)}, JWT_SECRET="not for programs, 32 bytes long.") as world:
        wait_for(lambda: len(runs_of(out)) == 1, 30, "the first number")
        first = runs_of(out)[0]
        assert (first["desired"], first["current"], first["action"]) == (3, 2, "scale_up")
        assert first["suite"] == world.suite.name and first["reason"]
        assert abs(first["asof"] - time.time()) < 60
        world.advisor.wait_event("action.done")
        world.change(MIN_INSTANCES=4)
        wait_for(lambda: len(runs_of(out)) == 2, 30, "the second number")
        assert runs_of(out)[1]["desired"] == 4
        decisions = world.count("valvechain_advice_decisions")
        wait_for(lambda: world.count("valvechain_advice_decisions") >= decisions + 3, 20, "three more decisions")
        assert len(runs_of(out)) == 2  # the same number is not carried out again
        assert world.count("valvechain_action_attempts", outcome="ok") == 2
        assert world.count("valvechain_action_instances") == 4 and world.count("valvechain_action_behind") == 0
        assert "not a line of the log" in world.advisor.errors
        with open(environ, encoding="utf-8") as file:
            names = {line.partition("=")[0] for line in file}
        assert {"PATH", "VALVECHAIN_NAME", "VALVECHAIN_DESIRED"} <= names
        assert not names & {"JWT_SECRET", "SOCKET_DIR", "NOTIFY_SOCKET"}
        with open(f"{environ}.fds", encoding="utf-8") as file:
            assert set(file.read().split()) <= {"0", "1", "2", "3"}  # 3: ls reads the folder


def test_a_program_that_fails_is_tried_again_until_it_works(tmp_path):
    program = tmp_path / "scale"
    program.write_text(f"#!/bin/sh\necho x >> {tmp_path}/tries\n[ -e {tmp_path}/works ] || exit 7\n")
    program.chmod(0o755)
    with World({"ACTION": "exec", "ACTION_PROGRAM": str(program)}) as world:
        failed = world.advisor.wait_event("action.failed", 30)
        assert failed["result"] == "exit code 7" and failed["desired"] == 3
        world.wait_attempts(2, "refused")
        assert world.count("valvechain_action_behind") == 1
        (tmp_path / "works").touch()
        world.advisor.wait_event("action.done", 30)
        wait_for(lambda: world.count("valvechain_action_behind") == 0, 10, "nothing behind")


def test_a_program_that_hangs_is_killed_with_its_children_and_never_runs_twice(tmp_path):
    program = tmp_path / "scale"
    program.write_text(f"#!/bin/sh\nsleep 600 & echo $! >> {tmp_path}/children\n"
                       f"echo $$ >> {tmp_path}/leaders\nwait\n")
    program.chmod(0o755)
    with World({"ACTION": "exec", "ACTION_PROGRAM": str(program), "ACTION_TIMEOUT": 2}) as world:
        world.wait_attempts(1, "timeout")
        assert "killed" in world.advisor.wait_event("action.failed")["result"]
        wait_for(lambda: len(read_numbers(tmp_path / "leaders")) == 2, 30, "a second attempt")
        first_child, first_leader = read_numbers(tmp_path / "children")[0], read_numbers(tmp_path / "leaders")[0]
        wait_for(lambda: not is_alive(first_child) and not is_alive(first_leader), 10, "the first group gone")
        last = read_numbers(tmp_path / "children")[-1]
    wait_for(lambda: not is_alive(last), 10, "what ran at the end gone, too")


def read_numbers(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_dies_or_is_missing_is_named(tmp_path):
    program = tmp_path / "scale"
    with World({"ACTION": "exec", "ACTION_PROGRAM": str(program)}) as world:
        failed = world.advisor.wait_event("action.failed", 30)
        assert str(program) in failed["result"] and "No such file" in failed["result"]
        program.write_text("#!/bin/sh\nkill -SEGV $$\n")
        program.chmod(0o755)
        died = world.advisor.wait_event("action.failed", 30, lambda entry: entry["outcome"] == "refused")
        assert "signal 11" in died["result"]


class Sink:
    """An HTTP server that answers with `status` and keeps what it got."""

    def __init__(self, context=None):
        self.got, self.status, self.headers, self.hang = [], 200, {}, None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers), body))
                if outer.hang:
                    outer.hang.wait(60)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        if self.hang:
            self.hang.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def sink():
    sink = Sink()
    yield sink
    sink.close()


def check_signature(headers, body):
    stamp = headers["Valvechain-Timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["Valvechain-Signature"] == f"v1={expected}"


def test_a_webhook_is_signed_and_tried_again_until_the_sink_recovers(sink, tmp_path):
    sink.status = 503
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "ACTION_SECRET").write_text(SECRET + "\n")
    with World({"ACTION": "webhook", "ACTION_URL": f"http://127.0.0.1:{sink.port}/scale?a=b"},
               CREDENTIALS_DIRECTORY=str(credentials)) as world:
        world.wait_attempts(2, "refused")
        assert world.advisor.wait_event("action.failed")["result"] == "answered 503"
        sink.status = 204
        world.advisor.wait_event("action.done", 30)
        path, headers, body = sink.got[-1]
        assert path == "/scale?a=b" and headers["Content-Type"] == "application/json"
        assert json.loads(body)["desired"] == 3
        for _, each, text in sink.got:
            check_signature(each, text)
        assert len({each["Valvechain-Delivery"] for _, each, _ in sink.got}) == 1
        world.change(MIN_INSTANCES=5)
        wait_for(lambda: json.loads(sink.got[-1][2])["desired"] == 5, 30, "the next number")
        assert sink.got[-1][1]["Valvechain-Delivery"] != headers["Valvechain-Delivery"]
        assert SECRET not in world.advisor.text + world.advisor.errors


def test_a_webhook_gives_up_after_its_time_and_tries_the_next_number(sink):
    sink.status = 500
    with World({"ACTION": "webhook", "ACTION_URL": f"http://127.0.0.1:{sink.port}/", "ACTION_RETRY_FOR": 2},
               ACTION_SECRET=SECRET) as world:
        world.advisor.wait_event("action.given_up", 30)
        assert world.count("valvechain_action_given_up") == 1
        tried = len(sink.got)
        sink.status = 200
        decisions = world.count("valvechain_advice_decisions")
        wait_for(lambda: world.count("valvechain_advice_decisions") >= decisions + 3, 20, "three more decisions")
        assert len(sink.got) == tried
        world.change(MIN_INSTANCES=4)
        assert world.advisor.wait_event("action.done", 30)["desired"] == 4


def test_a_webhook_does_not_wait_for_ever_and_trusts_no_stranger(sink, tmp_path):
    sink.hang = threading.Event()
    with World({"ACTION": "webhook", "ACTION_URL": f"http://127.0.0.1:{sink.port}/", "ACTION_TIMEOUT": 1},
               ACTION_SECRET=SECRET) as world:
        world.wait_attempts(1, "timeout")
        authority = Authority(tmp_path)
        secure = Sink(authority.server(authority.issue("127.0.0.1")))
        try:
            world.change(ACTION_URL=f"https://127.0.0.1:{secure.port}/", ACTION_TIMEOUT=10)
            failed = world.advisor.wait_event("action.failed", 30, lambda entry: entry["outcome"] == "unreached")
            assert "certificate" in failed["result"] and not secure.got
            world.change(ACTION_CA_FILE=authority.ca_file)
            world.advisor.wait_event("action.done", 30)
            check_signature(secure.got[-1][1], secure.got[-1][2])
        finally:
            secure.close()


@pytest.mark.parametrize("env, words", [
    ({"ACTION": "exec"}, "ACTION_PROGRAM"),
    ({"ACTION": "exec", "ACTION_PROGRAM": "bin/x"}, "absolute path"),
    ({"ACTION": "webhook"}, "ACTION_URL"),
    ({"ACTION": "webhook", "ACTION_URL": "ftp://x/", "ACTION_SECRET": SECRET}, "ACTION_URL"),
    ({"ACTION": "webhook", "ACTION_URL": "http://a:b@x/", "ACTION_SECRET": SECRET}, "ACTION_URL"),
    ({"ACTION": "webhook", "ACTION_URL": "https://x/", "ACTION_SECRET": "short"}, "at least 16 bytes"),
    ({"ACTION": "mail"}, "none, exec, webhook"),
])
def test_what_cannot_work_is_refused_with_its_name(env, words):
    run = subprocess.run([binary("scaler-advisor"), "--check"], env={"PATH": os.environ["PATH"], **env},
                         capture_output=True, text=True, timeout=20)
    assert run.returncode == 1 and words in run.stdout + run.stderr
    assert "short" not in run.stdout + run.stderr
