"""Formulas in cells: never run by a spreadsheet, never changed by a round trip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.formats.cells import neutralise, restore

CELLS = st.text(max_size=30) | st.text(st.sampled_from("'=+-@\t\r\n0.1a＝ "), max_size=8)


@given(CELLS)
def test_a_cell_survives_export_and_import(cell: str) -> None:
    assert restore(neutralise(cell)) == cell


@given(CELLS)
def test_no_exported_cell_starts_a_formula(cell: str) -> None:
    exported = neutralise(cell)
    assert not exported.startswith(("=", "+", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    if exported.startswith("-"):
        assert float(exported) <= 0


@pytest.mark.parametrize(
    "cell",
    ["=cmd|' /C calc'!A0", "+49 30 1234", "+4930", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "--5", "-"],
)
def test_a_formula_gets_a_quote(cell: str) -> None:
    assert neutralise(cell) == "'" + cell


@pytest.mark.parametrize("cell", ["", "-5", "-5.25", "a=1", "O'Brien", "'quoted'", "''", "2026-12-01"])
def test_an_honest_cell_stays_as_it_is(cell: str) -> None:
    assert neutralise(cell) == cell
    assert restore(cell) == cell
