"""What messages say: each is made from the templates beside the code, or from the clinic's own."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.formats import letters
from bookcli.core.model.messages import KINDS, LANGUAGES, Outgoing, sms_parts, sms_size, specimen

START = datetime(2027, 3, 9, 8, 30, tzinfo=UTC)


def about(kind: str = "confirmation", language: str = "en", **more: object) -> Outgoing:
    """A message as a clinic would have it."""
    usual: dict[str, object] = {
        "message_id": uuid.uuid4(),
        "starts_at": START,
        "ends_at": START + timedelta(minutes=30),
        "zone": "Europe/Berlin",
        "site_name": "Klinikum am Südpark",
        "site_phone": "+49 30 901820",
        "test_name": "Blood draw",
        "preparation": "Nothing to eat for 8 hours.",
        "patient_name": "Ana Müller",
        "names_test": False,
    }
    return dataclasses.replace(specimen(kind, language), **{**usual, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_message_fits_into_one_and_says_what_must_be_known(tmp_path: Path, kind: str, language: str) -> None:
    text = letters.write_short([about(kind, language)], tmp_path)
    assert sms_parts(text) == 1 and "\n" not in text and "  " not in text
    assert ("7F3K-Q2MG" in text) == (kind != "refusal") and "9:30" in text and "+49 30 901820" in text
    assert "Ana" not in text and "Blood" not in text and "eat" not in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_subject_names_the_test_only_where_the_site_allows_it(tmp_path: Path, kind: str, language: str) -> None:
    rows = [about(kind, language), about(kind, language, test_name="ECG", preparation="")]
    words = letters.write(rows, tmp_path)
    assert "Blood" not in words.subject and "Blood draw" in words.text and "ECG" in words.text
    allowed = letters.write([dataclasses.replace(row, names_test=True) for row in rows], tmp_path)
    assert allowed.subject == f"{words.subject}: Blood draw, ECG" and allowed.text == words.text
    assert ("Nothing to eat" in words.text) == (kind not in ("cancellation", "refusal"))


def test_html_says_the_same_as_the_text_and_obeys_nothing(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> & \"quotes\" 'n' {{ 7 * 7 }}"
    words = letters.write([about(patient_name=evil, site_name=evil, test_name=evil, preparation=evil)], tmp_path)
    assert evil in words.text and evil in words.subject and "<script>" not in words.html
    assert words.html.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp;") >= 5 and 'lang="en"' in words.html
    for line in words.text.split("\n"):
        shown = line.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert shown.replace('"', "&#34;").replace("'", "&#39;") in words.html
    assert "http" not in words.html and "src=" not in words.html


def test_the_clinics_own_templates_are_used_and_are_escaped_too(tmp_path: Path) -> None:
    tmp_path.joinpath("confirmation.en.txt").write_text("Subject: Hi\n\nCome, {{ patient }}.")
    words = letters.write([about(patient_name="<i>")], tmp_path)
    assert words.text == "Come, <i>.\n" and "Come, &lt;i&gt;." in words.html and "this confirms" not in words.html
    tmp_path.joinpath("confirmation.en.html").write_text("<h1>{{ subject }}: {{ patient }}</h1>")
    tmp_path.joinpath("confirmation.en.sms.txt").write_text("{{ site }}\n{{ patient }}\n")
    words = letters.write([about(patient_name="<i>")], tmp_path)
    assert words.html == "<h1>Hi: &lt;i&gt;</h1>"
    assert letters.write_short([about(patient_name="<i>")], tmp_path) == "Klinikum am Südpark <i>"


@pytest.mark.parametrize("name", ["confirmation.en.txt", "confirmation.en.html", "confirmation.en.sms.txt"])
@pytest.mark.parametrize("content", ["{{ ''.__class__.__mro__ }}", "{{ nobody }}", "{% if %}", "{{ 1 // 0 }}"])
def test_a_template_that_cannot_be_used_says_so_without_the_patient(tmp_path: Path, name: str, content: str) -> None:
    tmp_path.joinpath(name).write_text(content)
    with pytest.raises(InvalidInput) as refusal:
        letters.write([about()], tmp_path)
        letters.write_short([about()], tmp_path)
    assert name in refusal.value.message and "Ana" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("ü" * 160, 1),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ł" * 70, 1),
        ("ł" * 71, 2),
        ("🙂" * 35, 1),
        ("a" * 306, 2),
        ("", 1),
    ],
)
def test_the_parts_of_a_text_message_are_counted_as_they_are_charged(text: str, parts: int) -> None:
    assert sms_parts(text) == parts
    most = 70 if set(text) & set("ł🙂") else 160
    assert sms_size(text) == f"{parts} text message{'s' if parts > 1 else ''} of up to {most} characters"
