"""Queries about sites, tests and resources."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from ..model.catalog import Resource, Site, Test, shown_fasting, shown_quiet, shown_spans
from .engine import Connection
from .reads import rows
from .tables import resource, resource_test, site, test

_SITE = ("code", "name", "zone", "phone", "active", "quiet_from", "quiet_until", "names_test", "offer_minutes")


def sites(connection: Connection, *, everything: bool) -> list[Site]:
    """Sites by code; `everything` shows those out of use too."""
    statement = select(*(site.c[name] for name in _SITE)).order_by(site.c.code)
    found = rows(connection, statement if everything else statement.where(site.c.active))
    return [Site(quiet=shown_quiet(row.pop("quiet_from"), row.pop("quiet_until")), **row) for row in found]


def tests(connection: Connection, *, everything: bool) -> list[Test]:
    """Tests by code; `everything` shows those out of use too."""
    statement = select(*(column for column in test.c if column.name != "test_id")).order_by(test.c.code)
    found = rows(connection, statement if everything else statement.where(test.c.active))
    return [
        Test(**{**row, "remind_before": shown_spans(row["remind_before"]), "fasting": shown_fasting(row["fasting"])})
        for row in found
    ]


def resources(connection: Connection, *, site_code: str, everything: bool) -> list[Resource]:
    """Resources by site and code, with the codes of their tests."""
    offered = (
        select(func.array_agg(aggregate_order_by(cast(test.c.code, Text), test.c.code)))
        .join(resource_test, resource_test.c.test_id == test.c.test_id)
        .where(resource_test.c.resource_id == resource.c.resource_id)
        .scalar_subquery()
    )
    statement = (
        select(site.c.code.label("site"), resource.c.code, resource.c.name, offered.label("tests"), resource.c.active)
        .join(site, site.c.site_id == resource.c.site_id)
        .order_by(site.c.code, resource.c.code)
    )
    if site_code:
        statement = statement.where(site.c.code == site_code)
    if not everything:
        statement = statement.where(site.c.active, resource.c.active)
    return [Resource(**{**row, "tests": tuple(row["tests"] or ())}) for row in rows(connection, statement)]


def ids(connection: Connection, site_code: str, resource_code: str = "") -> dict[str, Any] | None:
    """{site_id, zone, resource_id} for exact codes; resource_id is None when no resource is named."""
    statement = select(site.c.site_id, site.c.zone).where(site.c.code == site_code)
    if resource_code:
        statement = statement.add_columns(resource.c.resource_id).join(
            resource, (resource.c.site_id == site.c.site_id) & (resource.c.code == resource_code)
        )
    found = rows(connection, statement)
    return {"resource_id": None, **found[0]} if found else None
