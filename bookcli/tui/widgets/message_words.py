"""Why a message has not gone, in the words of a desk.

What must stay true: a code that nobody knows is shown as it is rather than not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DROPPED = "dropped"
"""What a message is called that will not be sent: `cancelled` is said of appointments."""
WHY = {
    "declined": "the patient declined messages",
    "not-wanted": "the patient wants none",
    "no-address": "there is no address",
    "no-webhook": "no webhook is set up",
    "not-booked": "it is not booked any more",
    "booked": "it was booked after all",
    "too-late": "it would come too late",
    "offer-over": "the offer is over",
    "too-many-attempts": "it was tried too often",
    "quiet-hours": "until quiet hours are over",
    "undone": "it was taken back",
    "stopped": "somebody stopped it",
}
SERVERS = {"smtp": "mail server", "sms": "SMS provider", "webhook": "webhook"}
TROUBLE = {
    "away": "does not answer",
    "refused": "refuses connections",
    "time-out": "takes too long",
    "cut-off": "hung up",
    "untrusted": "is not trusted",
    "login": "refuses our login",
    "no-tls": "does not encrypt",
    "not-taken": "did not take it",
}


def why(row: Mapping[str, Any]) -> str:
    """A code in words: what is known of it, or the code itself."""
    reason = row["reason"] or (f"not by {row['bounced']}" if row["bounced"] else "")
    server, _, trouble = reason.partition("-")
    if reason in WHY or server not in SERVERS:
        return WHY.get(reason, reason.replace("-", " "))
    known = TROUBLE.get(trouble)
    return f"the {SERVERS[server]} {known or f'said {trouble}'}"
