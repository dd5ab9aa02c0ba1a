"""The colours of the desk: two of its own beside those of the terminal.

What must stay true: no state is told by a colour alone, and none by red against green.
"""

from __future__ import annotations

from textual.css.stylesheet import Stylesheet
from textual.theme import Theme

DARK = Theme(
    name="dark",
    primary="#5fb0f2",
    secondary="#8fa6bf",
    accent="#f2a65a",
    foreground="#d9e1ea",
    background="#10161d",
    surface="#161e27",
    panel="#1f2a36",
    success="#6cc3d5",
    warning="#f2a65a",
    error="#ff8f77",
    dark=True,
    variables={"block-cursor-text-style": "none", "footer-key-foreground": "#f2a65a"},
)
LIGHT = Theme(
    name="light",
    primary="#0b5cad",
    secondary="#4a6078",
    accent="#b35900",
    foreground="#17222e",
    background="#fbfcfd",
    surface="#f1f4f7",
    panel="#e3e9ef",
    success="#0b6e84",
    warning="#a85200",
    error="#b3261e",
    dark=False,
    variables={"block-cursor-text-style": "none", "footer-key-foreground": "#a85200"},
)
NAMES = ("dark", "light", "ansi-dark", "ansi-light")


class Styles(Stylesheet):
    """Parses nothing twice for the same colours: Textual parses everything anew for each screen that it shows first."""

    def set_variables(self, variables: dict[str, str]) -> None:
        """What the theme says; forgets what was parsed for another one."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Reads what has come since. Raises StylesheetParseError."""
        self.parse()
