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

CHANNELS = ("email", "sms", "webhook")
KINDS = ("confirmation", "change", "cancellation", "reminder", "refusal", "offer")
WITHOUT_CALENDAR = ("reminder", "refusal", "offer")
STATES = ("waiting", "sending", "sent", "failed", "cancelled")
LANGUAGES = ("en", "de")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """All that is written to a patient about one appointment. Mirrors `app.outgoing`; moments are aware.

    A refusal is about none, so that its `reference` is empty; the moments are those that were asked for. An
    offer is about a place that is held until `held_until`. `attempts` are those by this `channel`, with this one.
    `leased_until` is the name of the lease too: no two of a message end at one moment.
    """

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
    channel: str
    site: str
    test: str
    names_test: bool
    held_until: datetime | None
    leased_until: datetime | None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A calendar file; `method` is REQUEST or CANCEL (RFC 5546)."""

    name: str
    method: str
    content: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent: one message, whatever the number of appointments in it. `ids` are those of their notifications.

    `recipient` is an e-mail address, an E.164 number, or nobody for a webhook, whose `text` is JSON. Only e-mail has a
    sender, a subject, `html` (the same in HTML) and attachments.
    """

    channel: str
    ids: tuple[int, ...]
    message_id: str
    recipient: str
    text: str
    sender: str = ""
    subject: str = ""
    html: str = ""
    attachments: tuple[Attachment, ...] = ()


def together(rows: Iterable[Outgoing]) -> list[tuple[Outgoing, ...]]:
    """The rows of each message, in the order in which the messages first come."""
    messages: dict[uuid.UUID, list[Outgoing]] = {}
    for row in rows:
        messages.setdefault(row.message_id, []).append(row)
    return [tuple(parts) for parts in messages.values()]


def specimen(kind: str, language: str, channel: str = "email") -> Outgoing:
    """A message about nobody's appointment, to try a template with."""
    start = datetime(2030, 1, 7, 9, tzinfo=UTC)
    return Outgoing(
        notification_id=0,
        message_id=uuid.UUID(int=0),
        kind=kind,
        attempts=1,
        reference="7F3K-Q2MG",
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
        channel=channel,
        site="clinic",
        test="test",
        names_test=True,
        held_until=start if kind == "offer" else None,
        leased_until=None,
    )


_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€")


def sms_parts(text: str) -> int:
    """How many text messages it takes (3GPP TS 23.038): 160 characters of the GSM alphabet fit into one, else 70."""
    if _is_gsm(text):
        units, alone, each = len(text) + sum(char in _GSM_TWICE for char in text), 160, 153
    else:
        units, alone, each = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if units <= alone else -(-units // each)


def sms_size(text: str) -> str:
    """`2 text messages of up to 160 characters`: what somebody is told about that."""
    parts = sms_parts(text)
    return f"{parts} text message{'s' if parts > 1 else ''} of up to {160 if _is_gsm(text) else 70} characters"


def _is_gsm(text: str) -> bool:
    return all(char in _GSM or char in _GSM_TWICE for char in text)


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
