"""The command line: one file per command, and no model logic in any of them.

Read ``app.py`` first: it finds the commands, runs one, and turns every error into one line and an exit code.
``options.py`` holds the options that commands share, ``output.py`` the way they speak (people or ``--json``).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # without typing, which takes a while
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code.

    Ctrl-C ends in one line and exit code 130 from the first import on.
    """
    try:
        from reverie.cli.app import main as run

        return run(argv)
    except KeyboardInterrupt:
        print("reverie: stopped by Ctrl-C.", file=sys.stderr)
        return 130
