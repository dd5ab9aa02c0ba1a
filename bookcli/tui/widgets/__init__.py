"""Widgets of the desk; each owns its keys, its style and its messages, in a file with its name."""
