"""A message to a patient: what it is written from, and what is sent.

What must stay true: nothing about the test stands in a subject, which a locked screen shows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formataddr, parseaddr
from functools import lru_cache

from ..errors import InvalidInput

KINDS = ("confirmation", "change", "cancellation", "reminder")
STATES = ("waiting", "sending", "sent", "failed", "cancelled")
LANGUAGES = ("en", "de")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """All that is written to a patient about one appointment. Mirrors `app.outgoing`; moments are aware."""

    notification_id: int
    message_id: uuid.UUID
    kind: str
    attempts: int
    reference: str
    appointment_version: int
    starts_at: datetime
    ends_at: datetime
    zone: str
    site_name: str
    site_phone: str
    test_name: str
    preparation: str
    patient_name: str
    email: str
    phone: str
    language: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A calendar file; `method` is REQUEST or CANCEL (RFC 5546)."""

    name: str
    method: str
    content: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent: one message, whatever the number of appointments in it. `ids` are those of their notifications."""

    ids: tuple[int, ...]
    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str
    attachments: tuple[Attachment, ...]


def together(rows: Iterable[Outgoing]) -> list[tuple[Outgoing, ...]]:
    """The rows of each message, in the order in which the messages first come."""
    messages: dict[uuid.UUID, list[Outgoing]] = {}
    for row in rows:
        messages.setdefault(row.message_id, []).append(row)
    return [tuple(parts) for parts in messages.values()]


def specimen(kind: str, language: str) -> Outgoing:
    """A message about nobody's appointment, to try a template with."""
    start = datetime(2030, 1, 7, 9, tzinfo=UTC)
    return Outgoing(
        notification_id=0,
        message_id=uuid.UUID(int=0),
        kind=kind,
        attempts=1,
        reference="7F3K-Q2MD",
        appointment_version=0,
        starts_at=start,
        ends_at=start,
        zone="UTC",
        site_name="Clinic",
        site_phone="",
        test_name="Test",
        preparation="None.",
        patient_name="Patient",
        email="patient@example.org",
        phone="",
        language=language,
    )


@lru_cache(maxsize=16)
def address_of(sender: str) -> str:
    """The bare address of whoever messages come from; empty when there is none."""
    return parseaddr(sender)[1]


@lru_cache(maxsize=16)
def shown_as(sender: str) -> str:
    """Name and address of whoever messages come from, as they stand in a header."""
    return formataddr(parseaddr(sender))


@lru_cache(maxsize=16)
def domain_of(sender: str) -> str:
    """The domain of the address that messages come from. Raises InvalidInput `config-invalid` when it has none."""
    address = address_of(sender)
    domain = address.rpartition("@")[2]
    if "@" not in address or not domain or not address.isascii():
        raise InvalidInput(
            "The setting mail_from is no e-mail address.",
            hint="For example BOOKCLI_MAIL_FROM='Clinic North <appointments@clinic.example>'.",
            code="config-invalid",
        )
    return domain
