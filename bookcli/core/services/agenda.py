"""The day of a site: everybody who comes, came, cancelled or did not come."""

from __future__ import annotations

from datetime import date
from typing import Any

from ..context import Context
from ..db import appointments as queries
from ..db import catalog as catalog_queries
from ..errors import InvalidInput
from ..model.text import nearest
from . import catalog

STATUSES = ("pending", "booked", "arrived", "checked-in", "fulfilled", "cancelled", "noshow")
"""What an appointment of a day can be: FHIR Appointment.status."""


def day(context: Context, site: str, day: date, *, resource: str = "", status: str = "") -> list[dict[str, Any]]:
    """Rows of `app.appointment_facts` that start on a local day of a site, by start and resource.

    Cancelled and missed ones are there, holds only while they hold. Raises NotFound, InvalidInput `status-unknown`.
    """
    if status and status not in STATUSES:
        hint = "Did you mean " + " or ".join(nearest(status, STATUSES) or STATUSES) + "?"
        raise InvalidInput("That is not a status.", hint=hint, code="status-unknown", details={"field": "status"})
    site_code = catalog.site(context, site).code
    resource_code = catalog.resource(context, site_code, resource).code if resource else ""
    ids = catalog_queries.ids(context.connection(), site_code)
    assert ids is not None, "the site was just looked up, and nothing is ever deleted"
    return queries.of_day(context.connection(), ids["site_id"], day, resource=resource_code, status=status)
