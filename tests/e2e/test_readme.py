"""What the README tells people to type works, and its walk is the one that ./dev run prints."""

import os
import re
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dev_run import DevRun, counts, run_line  # noqa: E402

from support.ports import reserve_port  # noqa: E402
from support.suite import BUILD, ROOT  # noqa: E402


def blocks():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return re.findall(r"^```sh\n(.*?)^```", file.read(), re.M | re.S)


def test_the_first_screen_has_exactly_two_commands():
    commands = [line.split("#")[0].strip() for line in blocks()[0].splitlines()]
    assert commands == ["./dev run", "./dev test"]
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        assert "./dev test" in "".join(file.readlines()[:15])


def test_every_link_leads_somewhere():
    wrong = []
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            for link in re.findall(r"\]\(([^)#:]+)\)", file.read()):
                if not os.path.exists(os.path.join(ROOT, link)):
                    wrong.append(f"{name}: {link}")
    assert not wrong, wrong


@pytest.mark.skipif(BUILD != os.path.join(ROOT, "build", "release"), reason="./dev run builds release")
def test_the_walk_and_the_looks_inside_work():
    name = f"vctest-readme-{os.getpid()}"
    run = DevRun(name, port=reserve_port())
    try:
        run.wait_ready()
        first, own, walk, inside = blocks()
        printed = [line.replace(run.url, "http://127.0.0.1:3000").replace(run.knobs, "http://127.0.0.1:3900/knobs")
                   for line in run.commands()]
        assert [line for line in walk.splitlines() if line.startswith("curl")] == printed
        here = walk.replace("http://127.0.0.1:3900/knobs", run.knobs).replace("http://127.0.0.1:3000", run.url)
        lines = [line for line in here.splitlines() if not line.startswith("#")]
        outputs = [run_line(line) for line in lines]
        assert "200 OK" in outputs[0]
        assert counts(outputs[1]) == {"200": 100, "429": 5}
        assert counts(outputs[2])["503"] >= 1
        assert all(output.strip() for output in outputs), list(zip(lines, outputs))
        for line in inside.splitlines():
            done = subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=ROOT, text=True, capture_output=True, timeout=30,
                                  check=False, env={**os.environ, "VALVECHAIN_NAME": name})
            assert "api-front" in done.stdout or "limit-table" in done.stdout, (line, done.stdout, done.stderr)
    finally:
        if run.child.poll() is None:
            assert run.press_ctrl_c() == 0, run.text
    assert run.left_behind() == []
