#!/usr/bin/env python3
"""Writes the traces of this folder anew: tests/traces/make_traces.py. The same bytes each time.

Every trace is 15 s a sample. A request costs 0.7 % of an instance's CPU, so an instance at 70 % takes 100
requests/s; noise is a few percent from a fixed seed.
"""

import math
import os
import random

STEP = 15
COST = 0.7  # percent of an instance for 1 request/s
COLUMNS = ("time_s", "rps", "cpu_load", "in_flight", "latency_ms", "quota_refusals_per_s", "dependency_open", "replacing")


class Trace:
    def __init__(self, name, hours, seed):
        self.path = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.csv")
        self.hours, self.random, self.rows = hours, random.Random(seed), []

    def times(self):
        return range(0, int(self.hours * 3600), STEP)

    def add(self, time_s, rps, cost=COST, dependency=0, replacing=0):
        """rps None: nothing was measured."""
        if rps is None:
            self.rows.append([str(time_s)] + [""] * (len(COLUMNS) - 1))
            return
        rps *= 1 + self.random.uniform(-0.03, 0.03)
        self.rows.append([str(time_s), f"{rps:.1f}", f"{rps * cost:.1f}", f"{rps * 0.05:.1f}", "50", "0",
                          str(dependency), str(replacing)])

    def write(self):
        with open(self.path, "w", encoding="ascii", newline="\n") as file:
            file.write("# valvechain-trace 1\n" + ",".join(COLUMNS) + "\n")
            for row in self.rows:
                file.write(",".join(row) + "\n")


def day(time_s):
    """Requests/s of an ordinary day: 60 at three in the morning, 700 in the afternoon."""
    return 380 - 320 * math.cos((time_s / 3600 - 3) / 24 * 2 * math.pi)


def diurnal():
    trace = Trace("diurnal", 24, 1)
    for time_s in trace.times():
        trace.add(time_s, day(time_s))
    trace.write()


def step_x10():
    trace = Trace("step-x10", 2, 2)
    for time_s in trace.times():
        trace.add(time_s, 800 if 2400 <= time_s < 5400 else 80)
    trace.write()


def spike():
    trace = Trace("spike", 2, 3)
    for time_s in trace.times():
        trace.add(time_s, 900 if 3600 <= time_s < 3690 else 120)
    trace.write()


def sawtooth():
    trace = Trace("sawtooth", 4, 4)
    for time_s in trace.times():
        trace.add(time_s, 100 + 700 * (time_s % 1200) / 1200)
    trace.write()


def dependency_outage():
    """For 20 minutes a dependency is open: answers come at once and cost next to nothing."""
    trace = Trace("dependency-outage", 2, 5)
    for time_s in trace.times():
        out = 2400 <= time_s < 3600
        trace.add(time_s, 600, cost=0.05 if out else COST, dependency=int(out))
    trace.write()


def rolling_update():
    """Two at a time are replaced for ten minutes, and what starts up burns CPU."""
    trace = Trace("rolling-update", 2, 6)
    for time_s in trace.times():
        rolls = 3000 <= time_s < 3600
        trace.add(time_s, 500, cost=COST * 1.4 if rolls else COST, replacing=2 if rolls else 0)
    trace.write()


def missing_data():
    """A morning with holes: one of 40 minutes on the way up, short ones all along."""
    trace = Trace("missing-data", 6, 7)
    for time_s in trace.times():
        hole = 7200 <= time_s < 9600 or (time_s // STEP) % 17 in (3, 4, 5)
        trace.add(time_s, None if hole else day(time_s + 7 * 3600))
    trace.write()


if __name__ == "__main__":
    for make in (diurnal, step_x10, spike, sawtooth, dependency_outage, rolling_update, missing_data):
        make()
