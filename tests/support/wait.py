"""Waiting for an event with a deadline. Tests never sleep a fixed time."""

import time


class Deadline(AssertionError):
    """The awaited event did not come in time."""


def wait_for(condition, seconds=10.0, what="the condition", poll_seconds=0.02):
    """Calls condition() until it returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Deadline(f"waited {seconds} s in vain for {what}")
        time.sleep(poll_seconds)
