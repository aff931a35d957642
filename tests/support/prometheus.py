"""A real Prometheus server on a free port, and what it says; its data are gone with it.

    with Prometheus({"front": f"127.0.0.1:{suite.port}"}) as server:
        server.wait_for("sum(valvechain_http_requests_total)", lambda value: value >= 3)
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request

from .ports import reserve_port
from .wait import wait_for

START_SECONDS = 60  # with the sanitizers' builds beside it


class Prometheus:
    """`targets` {job: "host:port"}; `rules` paths of rule files; every job is scraped each second."""

    def __init__(self, targets, rules=()):
        self.targets, self.rules = targets, list(rules)
        self.port = reserve_port()
        self.dir = tempfile.mkdtemp(prefix="vcp-")
        self.child = None

    def _config(self):
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]}
                for job, target in self.targets.items()]
        return json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                           "rule_files": self.rules, "scrape_configs": jobs})  # JSON is YAML, too

    def __enter__(self):
        path = os.path.join(self.dir, "prometheus.yml")
        with open(path, "w", encoding="ascii") as file:
            file.write(self._config())
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.child = subprocess.Popen(
                ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.dir}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--enable-feature=exemplar-storage"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, start_new_session=True)
        try:
            wait_for(self._is_ready, START_SECONDS, f"prometheus to be ready\n{self.log()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]

    def _is_ready(self):
        assert self.child.poll() is None, f"prometheus ended:\n{self.log()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **arguments):
        """The data of one API answer."""
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression):
        """The values of an instant query by their labels (a tuple of sorted pairs)."""
        result = self.ask("query", query=expression)["result"]
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in result}

    def wait_for(self, expression, is_right, seconds=60):
        """Waits until the query has one series whose value is right; returns the value."""
        def ask():
            found = list(self.query(expression).values())
            return found if len(found) == 1 and is_right(found[0]) else None

        return wait_for(ask, seconds, f"{expression}\n{self.log()}", poll_seconds=0.1)[0]
