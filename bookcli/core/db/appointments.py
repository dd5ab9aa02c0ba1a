"""Reads of appointments: rows of `app.appointment_facts`, from the functions beside the kernel.

What must stay true: each of them is a look at patients, and the function that answers writes that down.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from .engine import Connection
from .kernel import answers


def of_day(
    connection: Connection, site_id: int, day: date, *, resource: str = "", status: str = ""
) -> list[dict[str, Any]]:
    """Every appointment that starts on a local day of a site, cancelled ones too, by start and resource."""
    return answers(connection, "agenda", site_id, day, resource or None, status or None)


def of_patient(connection: Connection, mrn: str, *, past: bool) -> list[dict[str, Any]]:
    """The appointments of whom a number means, ascending: those not over yet and still standing, or all of them."""
    return answers(connection, "history_of", mrn, past)


def during(
    connection: Connection, site_id: int, resource_id: int | None, period: tuple[datetime, datetime]
) -> list[dict[str, Any]]:
    """Who is booked or held in a slot that touches [start, end) at a site or one resource of it, by start."""
    return answers(connection, "affected", site_id, resource_id, *period)
