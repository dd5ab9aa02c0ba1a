"""One attempt at every function that a machine may call, with the permission that it takes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

from bookcli.core.db import engine
from tests.clinic import Clinic

PEOPLE = ("desk", "manager", "auditor", "worker")


def booking(clinic: Clinic) -> str:
    slot = clinic.slot("blood", 3)
    document = {"key": str(uuid.uuid4()), "patient": "P1", "test": "blood", "slot": slot}
    return json.dumps([document])


class Attempt:
    """A call of one granted function, and the permission that it takes."""

    def __init__(self, permission: str, statement: str, *values: Callable[[Clinic], Any] | Any) -> None:
        self.permission = permission
        self.statement = statement
        self.values = values

    def run(self, connection: engine.Connection, clinic: Clinic, token: str | None) -> list[Any]:
        given = [value(clinic) if callable(value) else value for value in self.values]
        return connection.execute(self.statement.encode(), [*given, token]).fetchall()


def reference_of(clinic: Clinic) -> str:
    return str(clinic.row("SELECT app.reference_of(min(appointment_id)) FROM appointment")[0])


def message_of(clinic: Clinic) -> int:
    return int(clinic.row("SELECT min(notification_id) FROM notification")[0])


def start_of(clinic: Clinic) -> Any:
    return clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 5),))[0]


ATTEMPTS = {
    "book": Attempt("book", "SELECT verdict FROM app.book(%s::jsonb, token => %s)", booking),
    "confirm": Attempt("book", "SELECT verdict FROM app.confirm(%s, %s)", reference_of),
    "confirm_visit": Attempt("book", "SELECT verdict FROM app.confirm_visit(%s, %s)", reference_of),
    "release": Attempt("book", "SELECT verdict FROM app.release(%s, %s)", reference_of),
    "renew": Attempt("book", "SELECT verdict FROM app.renew(%s, 300, token => %s)", reference_of),
    "steps_of": Attempt("see-patients", "SELECT * FROM app.steps_of(%s, %s)", reference_of),
    "undo": Attempt("book", "SELECT verdict FROM app.undo(%s, %s)", reference_of),
    "list_undoable": Attempt("book", "SELECT reference FROM app.list_undoable(%s)"),
    "cancel": Attempt("book", "SELECT verdict FROM app.cancel(%s, token => %s)", reference_of),
    "set_status": Attempt("book", "SELECT verdict FROM app.set_status(%s, 'arrived', %s)", reference_of),
    "place_of": Attempt("book", "SELECT * FROM app.place_of(%s, %s)", reference_of),
    "refused_keys": Attempt("book", "SELECT * FROM app.refused_keys(%s::uuid[], %s)", lambda _: [uuid.uuid4()]),
    "look_at": Attempt("see-patients", "SELECT patient_name FROM app.look_at(%s, %s)", reference_of),
    "references_from": Attempt("see-patients", "SELECT * FROM app.references_from('', 5, %s)"),
    "agenda": Attempt("see-patients", "SELECT patient_name FROM app.agenda(1, %s, token => %s)", lambda c: c.day(1)),
    "history_of": Attempt("see-patients", "SELECT patient_name FROM app.history_of('P1', true, %s)"),
    "affected": Attempt(
        "see-patients", "SELECT * FROM app.affected(1, NULL, %s, now() + interval '9 d', %s)", start_of
    ),
    "look_at_patient": Attempt("see-patients", "SELECT name FROM app.look_at_patient('P1', %s)"),
    "survivor_of": Attempt("see-patients", "SELECT number FROM app.survivor_of('P1', %s)"),
    "find_patients": Attempt("see-patients", "SELECT name FROM app.find_patients('P1', '', '{}', '{}', 5, %s)"),
    "known_numbers": Attempt("edit-patients", "SELECT * FROM app.known_numbers('{P1}', %s)"),
    "save_patients": Attempt(
        "edit-patients", """SELECT * FROM app.save_patients('[{"mrn": "P1", "note": "x"}]', %s)"""
    ),
    "merge_patients": Attempt("edit-patients", "SELECT verdict FROM app.merge_patients('P1', 'P2', %s)"),
    "publish": Attempt("manage-schedules", "SELECT * FROM app.publish('[]', %s)"),
    "publish_hours": Attempt("publish-hours", "SELECT * FROM app.publish_hours('[]', %s)"),
    "close_period": Attempt(
        "manage-schedules",
        "SELECT slots FROM app.close_period(1, 1, tstzrange(%s, now() + interval '8 d'), 'x', %s)",
        start_of,
    ),
    "find_closure": Attempt(
        "manage-schedules", "SELECT app.find_closure(1, 1, tstzrange(%s, now() + interval '8 d'), 'x', %s)", start_of
    ),
    "close_and_move": Attempt(
        "manage-schedules",
        "SELECT verdict FROM app.close_and_move(1, 1, tstzrange(%s, now() + interval '8 d'), 'x', '[]', true, %s)",
        start_of,
    ),
    "report_utilisation": Attempt(
        "manage-schedules", "SELECT * FROM app.report_utilisation('2030-01-01', '2030-01-02', NULL, %s)"
    ),
    "report_noshow": Attempt(
        "manage-schedules", "SELECT * FROM app.report_noshow('2030-01-01', '2030-01-02', NULL, %s)"
    ),
    "report_lead_time": Attempt(
        "manage-schedules", "SELECT * FROM app.report_lead_time('2030-01-01', '2030-01-02', NULL, %s)"
    ),
    "reopen": Attempt("manage-schedules", "SELECT app.reopen(99, %s)"),
    "undo_closing": Attempt("manage-schedules", "SELECT verdict FROM app.undo_closing(99, %s)"),
    "replace_schedules": Attempt(
        "manage-schedules", "SELECT * FROM app.replace_schedules('{99}', '2030-01-01', '[]', %s)"
    ),
    "save_schedules": Attempt("manage-schedules", "SELECT * FROM app.save_schedules('[]', %s)"),
    "set_capacity": Attempt(
        "manage-capacity", "SELECT verdict FROM app.set_capacity(%s, 4, %s)", lambda c: c.slot("blood", 4)
    ),
    "save_sites": Attempt("manage-catalog", "SELECT * FROM app.save_sites('[]', %s)"),
    "save_tests": Attempt("manage-catalog", "SELECT * FROM app.save_tests('[]', %s)"),
    "save_resources": Attempt("manage-catalog", "SELECT * FROM app.save_resources('[]', %s)"),
    "export_highest": Attempt("export", "SELECT * FROM app.export_highest(%s)"),
    "export_patients": Attempt("export", "SELECT name FROM app.export_patients(0, 9, %s)"),
    "export_appointments": Attempt("export", "SELECT patient FROM app.export_appointments(0, 9, token => %s)"),
    "audit_entries": Attempt("read-audit", "SELECT action FROM app.audit_entries('{}', token => %s)"),
    "audit_highest": Attempt("read-audit", "SELECT app.audit_highest(%s)"),
    "ask_audit": Attempt("read-audit", "SELECT app.ask_audit('P1', %s)"),
    "numbers_of": Attempt("read-audit", "SELECT * FROM app.numbers_of('{1}', %s)"),
    "seal_audit": Attempt("seal-audit", "SELECT app.seal_audit(1, %s)"),
    "verify_audit": Attempt("verify", "SELECT * FROM app.verify_audit(token => %s)"),
    "verify": Attempt("verify", "SELECT * FROM app.verify(%s)"),
    "let_holds_expire": Attempt("expire-holds", "SELECT app.let_holds_expire(%s)"),
    "claim_notifications": Attempt("send", "SELECT app.claim_notifications(5, %s)"),
    "lease_notifications": Attempt(
        "send", "SELECT reference FROM app.lease_notifications(ARRAY[%s::bigint], 60, token => %s)", message_of
    ),
    "mark_sent": Attempt("send", "SELECT app.mark_sent(ARRAY[%s::bigint], %s)", message_of),
    "mark_failed": Attempt(
        "send", "SELECT app.mark_failed(ARRAY[%s::bigint], now(), 'x', false, false, NULL, '{}', %s)", message_of
    ),
    "book_for": Attempt("send", "SELECT verdict FROM app.book_for('a-desk', %s::jsonb, false, false, %s)", booking),
    "remind": Attempt("remind", "SELECT made FROM app.remind('1 day', NULL, false, %s)"),
    "look_at_messages": Attempt("see-patients", "SELECT reference FROM app.look_at_messages('{}', 5, %s)"),
    "message_facts_of": Attempt(
        "see-patients", "SELECT email FROM app.message_facts_of(%s, 'confirmation', %s)", reference_of
    ),
    "retry_message": Attempt("book", "SELECT app.retry_message(%s, %s)", message_of),
    "stop_message": Attempt("book", "SELECT app.stop_message(%s, %s)", message_of),
    "add_to_waitlist": Attempt(
        "book", "SELECT verdict FROM app.add_to_waitlist('P1', 'mri', 'north', '2036-01-01', '2036-01-02', %s)"
    ),
    "waitlist": Attempt("see-patients", "SELECT patient_name FROM app.waitlist(token => %s)"),
    "remove_from_waitlist": Attempt("book", "SELECT app.remove_from_waitlist(99, %s)"),
    "offer_place": Attempt("send", "SELECT verdict FROM app.offer_place(token => %s)"),
    "end_waiting": Attempt("send", "SELECT app.end_waiting(%s)"),
    "measures": Attempt("verify", "SELECT name FROM app.measures(%s)"),
    "list_staff": Attempt("manage-staff", "SELECT name FROM app.list_staff(%s)"),
    "list_sessions": Attempt("manage-staff", "SELECT name FROM app.list_sessions(%s)"),
    "revoke_sessions": Attempt("manage-staff", "SELECT app.revoke_sessions('nobody', NULL, %s)"),
    "change_staff": Attempt("manage-staff", "SELECT app.change_staff('nobody', 'desk', token => %s)"),
    "add_staff": Attempt(
        "manage-staff",
        "SELECT app.add_staff('eve', 'Eve', 'desk', '{}', %s, %s, 2, 65536, 1, %s)",
        lambda _: b"k" * 32,
        lambda _: b"s" * 16,
    ),
    "reset_password": Attempt(
        "manage-staff",
        "SELECT app.reset_password('nobody', %s, %s, 2, 65536, 1, %s)",
        lambda _: b"k" * 32,
        lambda _: b"s" * 16,
    ),
}
WORKERS_ONLY = {
    "claim_notifications",
    "lease_notifications",
    "mark_sent",
    "mark_failed",
    "book_for",
    "offer_place",
    "end_waiting",
    "publish_hours",
}
"""What no desk may even call: it hands out what a message is written from, or books under another name."""
WITHOUT_SESSION = {
    "find_slots": "SELECT count(*) FROM app.find_slots(NULL, 'mri', '2026-01-01', '2036-01-01')",
    "day_board": "SELECT * FROM app.day_board('north', (SELECT min(local_start)::date FROM app.slot))",
    "counters": "SELECT slots FROM app.counters()",
    "oldest_unsent": "SELECT app.oldest_unsent()",
    "sign_in_parameters": "SELECT passes FROM app.sign_in_parameters('nobody')",
    "sign_in": "SELECT verdict FROM app.sign_in('nobody', 'x')",
    "sign_out": "SELECT app.sign_out('x')",
    "lock_session": "SELECT app.lock_session('x')",
    "whoami": "SELECT count(*) FROM app.whoami('x')",
}
"""What needs no session, because it tells nothing about a patient and changes nothing but the session itself."""


def outcome(connection: engine.Connection, attempt: Attempt, clinic: Clinic, token: str | None) -> str:
    """`done`, the code with which the gateway ended it, or `no-execute`; nothing of it stays."""
    try:
        with connection.transaction(force_rollback=True):
            attempt.run(connection, clinic, token)
    except psycopg.errors.InsufficientPrivilege as refusal:
        message = refusal.diag.message_primary or ""
        return "no-execute" if message.startswith("permission denied for function") else message
    return "done"
