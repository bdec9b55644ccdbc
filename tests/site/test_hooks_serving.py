"""A port that is taken is one sentence, before anything is built."""

from __future__ import annotations

import socket

from docs._site.hooks import serving


def test_a_taken_port_is_said_and_a_free_one_is_not():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert serving.taken("127.0.0.1", port).startswith(f"port {port} is used by another program")
    assert serving.taken("127.0.0.1", port) == ""
