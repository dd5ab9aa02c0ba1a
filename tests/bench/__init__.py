"""Yardsticks (design.md §13): every figure is a ratio with both sides measured in one run."""
