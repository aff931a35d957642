"""Foreign, old, short and corrupt segments are refused by name; the process lives on, unready, and
goes on by itself once the segment is mended; ALLOW_PRIVATE_SEGMENT serves without it."""

import os
import struct

import pytest

from support.suite import Suite, require_binaries


def make_genuine():
    """The bytes of a real segment, made by a real process."""
    suite = Suite(processes=("limiter",))
    with suite:
        [path] = [p for p in suite.segment_files() if p[-1].isdigit()]
        with open(path, "rb") as file:
            data = file.read()
    return data


@pytest.fixture(scope="module")
def genuine():
    require_binaries(("limiter",))
    return make_genuine()


def foreign(_):
    return b"#!/bin/sh\necho somebody else's file\n" * 4096


def short(_):
    return b"ValveChn"


def empty(_):
    return b""


def cut(data):
    return data[: len(data) // 2]


def old(data):
    return data[:8] + struct.pack("<I", 0) + data[12:]


def newer(data):
    return data[:8] + struct.pack("<I", 999) + data[12:]


def corrupt(data):
    return data[:100] + bytes([data[100] ^ 0xFF]) + data[101:]


CASES = [(foreign, "not a ValveChain segment"), (short, "too short"), (empty, "too short"),
         (cut, "bytes, its header says"), (old, "ABI"), (newer, "ABI"), (corrupt, "corrupt")]
IDS = [case[0].__name__ for case in CASES]


def segment_path(suite):
    return os.path.join(suite.shm_dir, f"{suite.name}.1")


def plant(suite, data):
    with open(segment_path(suite), "wb") as file:
        file.write(data)


@pytest.mark.parametrize("make,reason", CASES, ids=IDS)
@pytest.mark.parametrize("process", ["limiter", "api-front"])
def test_it_is_refused_by_name_and_mended_by_removal(genuine, process, make, reason):
    suite = Suite(processes=(process,))
    plant(suite, make(genuine))
    victim = suite[process]
    try:
        victim.start(wait=False)
        entry = victim.wait_event("segment.refused")
        assert segment_path(suite) in entry["message"] and reason in entry["message"], entry
        assert victim.is_running() and not victim.ready.is_set()
        with open(segment_path(suite), "rb") as file:
            assert file.read() == make(genuine), "a file that is not ours was changed"
        os.unlink(segment_path(suite))
        victim.wait_ready(15)
    finally:
        suite.stop()


@pytest.mark.parametrize("make,reason", CASES, ids=IDS)
def test_a_gateway_may_serve_from_private_memory(genuine, upstream, make, reason):
    suite = Suite(processes=("api-front",),
                  env={"UPSTREAM_URL": upstream.url, "ALLOW_PRIVATE_SEGMENT": "true", "TIER_FREE_MAX": 3})
    plant(suite, make(genuine))
    with suite:
        entry = suite["api-front"].wait_event("segment.private")
        assert reason in entry["message"]
        assert [suite.get("/x").status for _ in range(4)] == [200, 200, 200, 429]
        assert "private" in suite.get("/api/health").text


def test_different_sizes_name_the_parameter():
    suite = Suite(processes=("limiter", "breaker"), process_env={"breaker": {"LIMIT_TABLE_CELLS": 262144}})
    try:
        suite["limiter"].start()
        suite["breaker"].start(wait=False)
        entry = suite["breaker"].wait_event("segment.refused")
        assert "LIMIT_TABLE_CELLS" in entry["message"], entry
    finally:
        suite.stop()


def test_a_folder_without_room_is_named():
    suite = Suite(processes=("limiter",), shm_dir="/nonexistent-folder-of-a-test")
    suite.segment_files = lambda: []
    victim = suite["limiter"]
    try:
        victim.start(wait=False)
        entry = victim.wait_event("segment.refused")
        assert "/nonexistent-folder-of-a-test" in entry["message"]
    finally:
        suite.stop()


def test_the_segment_fits_a_container(genuine):
    """A container's /dev/shm is 64 MiB by default, and an upgrade holds two: 24 MiB at most."""
    assert len(genuine) <= 24 << 20
