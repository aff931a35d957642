"""The script that runs inside of the store, under a virtual clock and against a log of every admission."""

import os
import re
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MODEL = os.path.join(HERE, "lease_model", "model.lua")
SCRIPT = os.path.join(ROOT, "services", "limiter", "lease_script.lua")


def run_model(script, seed, rounds=40):
    return subprocess.run(["lua5.1", MODEL, script, str(seed), str(rounds)], capture_output=True,
                          text=True, timeout=120, check=False)


@pytest.mark.parametrize("seed", range(1, 9))
def test_no_window_ever_holds_more_than_the_limit(seed):
    run = run_model(SCRIPT, seed)
    assert run.returncode == 0, run.stderr
    granted, refusals, obeyed = map(int, re.findall(r"(\d+) (?:tokens|refusals|retry)", run.stdout))
    assert granted > 10000 and refusals > 1000 and obeyed > 100, run.stdout


def changed(tmp_path, *pairs):
    with open(SCRIPT, encoding="utf-8") as file:
        text = file.read()
    for right, wrong in pairs:
        assert right in text
        text = text.replace(right, wrong)
    (tmp_path / "changed.lua").write_text(text, encoding="utf-8")
    return str(tmp_path / "changed.lua")


FEW = ("local many, grain = 1024,", "local many, grain = 6,")


@pytest.mark.parametrize("seed", range(1, 5))
def test_leases_that_are_gathered_count_as_long(tmp_path, seed):
    run = run_model(changed(tmp_path, FEW), seed)
    assert run.returncode == 0, run.stderr
    assert int(re.search(r"(\d+) gathered", run.stdout)[1]) > 20, run.stdout


@pytest.mark.parametrize("right, wrong, complaint", [
    ("text(now + life + window), ARGV[8]", "text(now + window), ARGV[8]", "admitted in a window"),
    ("sum = sum - back", "sum = sum - tonumber(ARGV[i + 1])", "the sum says"),
    ("math.max(least, piece) - free", "least - free - 1", "the retry time was not true"),
    ("now <= not_after", "true", "a late ask is granted nothing"),
    ("math.ceil(over[i + 1] / grain) * grain", "math.floor(over[i + 1] / grain - 4) * grain",
     "admitted in a window"),
], ids=["life-not-counted", "return-not-clamped", "retry-too-early", "late", "gathered-too-early"])
def test_the_model_sees_a_script_that_is_wrong(tmp_path, right, wrong, complaint):
    run = run_model(changed(tmp_path, (right, wrong), FEW), 1, 60)
    assert run.returncode != 0 and complaint in run.stderr, run
