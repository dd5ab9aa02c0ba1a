"""Where a server is, and whether what goes there can be read or answered by somebody else on the way."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qs, urlsplit


def is_local(host: str) -> bool:
    """Whether a host is this machine: a socket's directory (or `@name`), a loopback address, or nothing."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def queue_is_exposed(url: str) -> bool:
    """Whether a Redis URL leads over a network without TLS, or without looking at the certificate and its name.

    What is no address leads nowhere.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "unix" or is_local(parts.hostname or ""):
        return False
    query = {name: texts[0].lower() for name, texts in parse_qs(parts.query).items()}
    careless = query.get("ssl_cert_reqs", "required") != "required"
    careless |= query.get("ssl_check_hostname", "true") in {"0", "f", "false", "n", "no"}
    return parts.scheme != "rediss" or careless
