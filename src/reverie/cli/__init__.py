"""The command line: one file per command, and no model logic in any of them.

Read ``app.py`` first: it finds the commands, runs one, and turns every error into one line and an exit code.
``options.py`` holds the options that commands share, ``output.py`` the way they speak (people or ``--json``).
"""

from reverie.cli.app import main

__all__ = ["main"]
