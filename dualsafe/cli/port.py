"""The address that a command listens on, taken before anything is loaded."""

from __future__ import annotations

import socket


def bound(host: str, port: int) -> socket.socket:
    """A socket on an address that is free; it does not listen yet.

    Raises:
        OSError: the address is in use, or is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except OSError as error:
        raise OSError(f"--host {host} --port {port}: {error.strerror or error}") from error
    return found
