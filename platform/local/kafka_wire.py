"""The one question that tells whether a broker answers, in Kafka's own bytes.

A Metadata request, version 1, without topics: the answer lists the brokers that are alive. It spares
the start a client library, its threads and its warnings about a broker that is not there yet.
"""

from __future__ import annotations

import base64
import socket
import struct
import uuid

from .ports import LOOPBACK

METADATA, VERSION = 3, 1
CLIENT = b"headwater"
NO_TOPICS = 0


def brokers_alive(port: int, *, timeout_s: float = 1.0) -> int:
    """How many brokers the one on `port` knows to be alive; 0 where nothing answers."""
    body = struct.pack(f">hhih{len(CLIENT)}si", METADATA, VERSION, 1, len(CLIENT), CLIENT, NO_TOPICS)
    try:
        with socket.create_connection((LOOPBACK, port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            with connection.makefile("rb") as answer:
                _size, _correlation, count = struct.unpack(">iii", answer.read(12))
    except (OSError, struct.error):
        return 0
    return int(count)


def new_cluster_id() -> str:
    """A random id in the form that Kafka wants: 22 characters of URL-safe base64, no leading dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
