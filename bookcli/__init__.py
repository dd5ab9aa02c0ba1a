"""Book diagnostic tests at clinic desks; importing this package must cost nothing."""

__version__ = "0.1.0"
