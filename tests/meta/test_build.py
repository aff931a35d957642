"""Configuring again changes nothing: else ./dev run would build anew what a test is about to start."""

import os
import subprocess

from support.suite import ROOT


def commands(folder):
    """What the commands of build.ninja are made of, in its order."""
    subprocess.run(["cmake", "--preset", "release", "-B", folder], cwd=ROOT, check=True, capture_output=True, timeout=120)
    with open(os.path.join(folder, "build.ninja"), encoding="utf-8") as file:
        return [line for line in file if line.startswith(("  FLAGS", "  DEFINES", "  INCLUDES", "  LINK", "  COMMAND"))]


def test_configuring_twice_gives_the_same_commands(tmp_path):
    first = commands(str(tmp_path))
    assert len(first) > 100
    assert [pair for pair in zip(first, commands(str(tmp_path))) if pair[0] != pair[1]] == []
