"""Writes a small file of the format MaxMind DB (version 2.0), for tests of GEOIP_DB.

    write("geo.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "JP"},
                                          "continent": {"code": "AS"}}})

IPv6 tree, IPv4 addresses below ::/96 as the format says; 24-bit records.
"""

import ipaddress
import struct

MARKER = b"\xab\xcd\xefMaxMind.com"


def _control(kind, size):
    extended = kind > 7
    assert size < 29
    return bytes([(0 if extended else kind) << 5 | size]) + (bytes([kind - 7]) if extended else b"")


def encode(value):
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(encode(item) for item in value)
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return _control(3, 8) + struct.pack(">d", value)
    width, number = value  # (bytes, number): an unsigned integer of that width
    kind = {2: 5, 4: 6, 8: 9}[width]
    return _control(kind, width) + number.to_bytes(width, "big")


def write(path, networks):
    nodes, data = [[None, None]], b""
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        bits, length = int(network.network_address), network.prefixlen + (96 if network.version == 4 else 0)
        at, offset = 0, len(data)
        data += encode(record)
        for depth in range(length):
            side = bits >> (127 - depth) & 1
            if depth == length - 1:
                nodes[at][side] = ("data", offset)
            else:
                if nodes[at][side] is None:
                    nodes.append([None, None])
                    nodes[at][side] = len(nodes) - 1
                at = nodes[at][side]
    def record_of(entry):
        if entry is None:
            return len(nodes)
        return len(nodes) + 16 + entry[1] if isinstance(entry, tuple) else entry
    tree = b"".join(record_of(side).to_bytes(3, "big") for node in nodes for side in node)
    metadata = {"node_count": (4, len(nodes)), "record_size": (2, 24), "ip_version": (2, 6),
                "database_type": "Test", "languages": ["en"], "binary_format_major_version": (2, 2),
                "binary_format_minor_version": (2, 0), "build_epoch": (8, 1), "description": {"en": "test"}}
    with open(path, "wb") as file:
        file.write(tree + b"\0" * 16 + data + MARKER + encode(metadata))
