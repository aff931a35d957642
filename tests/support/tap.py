"""Events over ZeroMQ, read as an operator reads them: by `valvectl tap`."""

import json
import os
import subprocess

from support.suite import binary, kept_environment
from support.wait import wait_for


class Tap:
    """`valvectl tap`, its lines parsed as they come."""

    def __init__(self, suite, *topics):
        self.path = os.path.join(suite.dir, "tap.jsonl")
        with open(self.path, "wb") as out:
            self.child = subprocess.Popen(
                [binary("valvectl"), "tap", *topics], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT,
                env={**kept_environment(),
                     **{key: str(value) for key, value in suite.environment().items()}})

    def messages(self, topic):
        with open(self.path, encoding="utf-8") as file:
            lines = file.read().split("\n")[:-1]
        return [message["message"] for message in map(json.loads, lines) if message["topic"] == topic]

    def wait(self, topic, number=1, where=lambda message: True, seconds=15.0):
        return wait_for(lambda: (found := list(filter(where, self.messages(topic))))
                        and len(found) >= number and found, seconds, f"{number} x {topic}")

    def close(self):
        self.child.terminate()
        self.child.wait(10)
