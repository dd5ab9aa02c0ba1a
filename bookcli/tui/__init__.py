"""The desk: a terminal UI over the same services as the commands.

What must stay true: textual is imported here and nowhere else, services run in calls.py and nowhere else, and whatever
came from outside is shown as text, never as markup.
"""
