"""Writes what the clinic's other systems are told of a message.

What must stay true: no patient is in it, and no test unless the site allows that; fields are only ever added.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .. import clock
from ..model.messages import Outgoing


def write(rows: Sequence[Outgoing]) -> str:
    """JSON of {version, id, kind, site: {code, name, zone, phone}, appointments}.

    An appointment is {reference, start, end, version, test?, held_until?}.
    """
    first = rows[0]
    content = {
        "version": 1,
        "id": str(first.message_id),
        "kind": first.kind,
        "site": {"code": first.site, "name": first.site_name, "zone": first.zone, "phone": first.site_phone},
        "appointments": [_appointment(row) for row in rows],
    }
    return json.dumps(content, ensure_ascii=False)


def _appointment(row: Outgoing) -> dict[str, Any]:
    start, end = (clock.to_local(moment, row.zone).isoformat() for moment in (row.starts_at, row.ends_at))
    return {
        "reference": row.reference or None,
        "start": start,
        "end": end,
        "version": row.appointment_version,
        **({"held_until": clock.to_local(row.held_until, row.zone).isoformat()} if row.held_until else {}),
        **({"test": row.test} if row.names_test else {}),
    }
