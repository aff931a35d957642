#!/usr/bin/python3
"""Adds up what ctest ran: totals.py [--extra-failures N] LastTest.log...

Prints the decisive lines of every test that failed (decisive_lines), the names of those that passed
only when tried again, and as the last line 'N passed, N failed[, N skipped]'.

A Criterion program counts as many tests as its synthesis line says, a pytest file as its summary
says, any other program as one. A program that ctest calls failed counts at least one failure,
whatever its own line says (a sanitizer's exit code, a time limit).
"""

import re
import sys

BLOCK = re.compile(r"^\d+/\d+ Testing: (\S+)\n.*?^Output:\n-+\n(.*?)^<end of output>\n"
                   r"Test time = *([\d.]+) sec\n-+\n(.*?)\n\"", re.S | re.M)
CRITERION = re.compile(r"Synthesis: Tested: \d+ \| Passing: (\d+) \| Failing: (\d+) ")  # a crash is a failing one, too
PYTEST = re.compile(r"^=+ ((?:\d+ \w+(?:, )?)+) in [\d.:]+s.*=+$", re.M)
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
REPORT = re.compile(r"(?:ERROR|WARNING): \w+Sanitizer|runtime error:")
MOST_LINES = 40  # of one failed test ...
ALL_LINES = 72  # ... and of all, so that the end of a long output has the cause; each gets at least
FEWEST_LINES = 6


def count(output, ctest_passed):
    """(passed, failed, skipped) of one program."""
    if 'Command: ""\n' in output:  # a test that this build leaves out
        return 0, 0, 1
    passed = failed = skipped = 0
    synthesis = CRITERION.findall(output)
    summaries = PYTEST.findall(output)
    if synthesis:
        for ok, bad in synthesis:
            passed += int(ok)
            failed += int(bad)
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


def sanitizer_report(lines):
    """The first report, up to its summary."""
    start = next((i for i, line in enumerate(lines) if REPORT.search(line)), None)
    if start is None:
        return []
    report = []
    for line in lines[start:start + 30]:
        if line.strip(" E="):
            report.append(line)
        if "SUMMARY: " in line:
            break
    return report


def pytest_lines(lines):
    """Each failure's name, our own line it happened in, what was wrong (E ...), and pytest's summary."""
    kept, place = [], None
    for line in lines:
        if re.match(r"_{3,} .* _{3,}$", line):
            kept.append(line.strip("_ "))
        elif re.match(r"\S*tests/\S+:\d+: in ", line):
            place = line
        elif re.match(r"E(   |$)", line):
            if place:
                kept.append(f"  {place}")
                place = None
            kept.append(f"  {line}")
    return kept + [line for line in lines if re.match(r"(FAILED|ERROR) \S*test", line)]


def decisive_lines(output, verdict, most):
    """What tells why a program failed, at most that many lines: no source of libraries, no passing tests."""
    lines = [line[:300] for line in output.splitlines()]
    if PYTEST.search(output) or "= test session starts =" in output:
        kept = pytest_lines(lines)
        if len(kept) > most:  # the reasons first; of the summary what still fits
            kept = kept[:most - 1] + [f"[{len(kept) - most + 1} lines more]"]
    else:
        kept = sanitizer_report(lines)[:most]
        kept += [line for line in lines if re.match(r"\[(----|FAIL|ERR)\]", line) and line not in kept][:most - len(kept)]
    if not kept:
        kept = [line for line in lines if line.strip()][-min(most, 15):] or ["(printed nothing)"]
    return ([] if verdict == "Test Failed." else [verdict]) + kept


def read(path):
    """({name: (output, seconds, verdict) of its last try}, names that were tried again)"""
    with open(path, encoding="utf-8", errors="replace") as file:
        tries = BLOCK.findall(ANSI.sub("", file.read()))
    names = [name for name, *_ in tries]
    return {name: results for name, *results in tries}, {n for n in names if names.count(n) > 1}


def main():
    totals, failures, again, paths, extra = [0, 0, 0], [], [], sys.argv[1:], 0
    if paths[:1] == ["--extra-failures"]:
        extra, paths = int(paths[1]), paths[2:]
    for path in paths:
        last, repeated = read(path)
        for name, (output, seconds, verdict) in last.items():
            numbers = count(output, verdict == "Test Passed.")
            totals = [a + b for a, b in zip(totals, numbers)]
            if numbers[1]:
                failures.append((name, f"{seconds} s, all of it: {path}", output, verdict))
            elif name in repeated:
                again.append(name)
    most = min(MOST_LINES, max(FEWEST_LINES, ALL_LINES // max(1, len(failures))))
    for name, where, output, verdict in failures:
        print(f"failed: {name} ({where})")
        print("\n".join(f"    | {line}" for line in decisive_lines(output, verdict, most)))
    for name in again:
        print(f"passed on the second try: {name}")
    passed, failed, skipped = totals
    failed = max(failed, extra)  # something failed that no test counts
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
