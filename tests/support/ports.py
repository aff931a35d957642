"""Free loopback ports that no other test of this machine is about to take.

Ports come from below the kernel's ephemeral range, so that an outgoing connection never sits on
one, and each is reserved by an abstract Unix socket of its number for the life of this process:
two tests that run at the same time never choose the same, and a killed test leaves no reservation.
"""

import random
import socket

_FIRST, _LAST = 10000, 31999
_reservations = []


def _is_free(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


HAS_IPV6 = _has_ipv6()


def _is_free_v4(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def reserve_port():
    """A port number that stays ours until this process ends."""
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.randint(_FIRST, _LAST)
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            holder.bind(f"\0valvechain-test-port-{port}")
        except OSError:
            holder.close()
            continue
        if _is_free(port) if HAS_IPV6 else _is_free_v4(port):
            _reservations.append(holder)
            return port
        holder.close()
    raise RuntimeError(f"no free port in {_FIRST}..{_LAST}")
