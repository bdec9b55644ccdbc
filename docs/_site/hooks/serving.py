"""What `mkdocs serve` needs before its first build."""

from __future__ import annotations

import errno
import socket


def taken(host: str, port: int) -> str:
    """Return a sentence if another program answers at the address, else an empty string."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return f"port {port} is used by another program: stop that one, or try `make serve PORT={port + 1}`"
    return ""
