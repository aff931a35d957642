#!/usr/bin/python3
"""Adds up what ctest ran: totals.py [--extra-failures N] LastTest.log... prints failures and 'N passed, N failed[, N skipped]'.

A Criterion program counts as many tests as its synthesis line says, a pytest file as its summary
says, any other program as one. A program that ctest calls failed counts at least one failure,
whatever its own line says (a sanitizer's exit code, a time limit).
"""

import re
import sys

BLOCK = re.compile(r"^\d+/\d+ Testing: (\S+)\n(.*?)^Test time =[^\n]*\n-+\n(.*?)\n\"", re.S | re.M)
CRITERION = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
PYTEST = re.compile(r"^=+ (?:.* )?((?:\d+ \w+(?:, )?)+) in [\d.:]+s.*=+$", re.M)


def count(output, ctest_passed):
    """(passed, failed, skipped) of one program."""
    output = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output)
    passed = failed = skipped = 0
    synthesis = CRITERION.findall(output)
    summaries = PYTEST.findall(output)
    if synthesis:
        for _, ok, bad, crashed in synthesis:
            passed += int(ok)
            failed += int(bad) + int(crashed)
    elif summaries:
        for number, word in re.findall(r"(\d+) (\w+)", summaries[-1]):
            if word in ("passed", "xpassed", "xfailed"):
                passed += int(number)
            elif word in ("failed", "error", "errors"):
                failed += int(number)
            elif word == "skipped":
                skipped += int(number)
    elif ctest_passed:
        passed = 1
    if not ctest_passed and failed == 0:
        failed = 1
    return passed, failed, skipped


def main():
    totals, failures, paths, extra = [0, 0, 0], [], sys.argv[1:], 0
    if paths[:1] == ["--extra-failures"]:
        extra, paths = int(paths[1]), paths[2:]
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        # Of a test that was tried again the last try counts.
        last = {name: (output, verdict) for name, output, verdict in BLOCK.findall(text)}
        for name, (output, verdict) in last.items():
            numbers = count(output, verdict == "Test Passed.")
            totals = [a + b for a, b in zip(totals, numbers)]
            if numbers[1]:
                failures.append(name)
    for name in failures:
        print(f"failed: {name}")
    passed, failed, skipped = totals
    failed = max(failed, extra)  # something failed that no test counts
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


sys.exit(main())
