"""Logging: coloured lines on stderr through rich, and a rotating file with one JSON object per line.

Library code only asks for ``logging.getLogger("reverie.…")``; the command line calls ``configure`` once.
"""

from __future__ import annotations

import functools
import json
import logging
import logging.handlers
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["configure", "console", "quiet_transformers"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
MAX_FILE_BYTES = 5_000_000
NUM_OLD_FILES = 3
RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def configure(level: str = "INFO", log_file: str | Path | None = None, as_json: bool = False) -> None:
    """Show Reverie's log from ``level`` up on stderr and, with everything from DEBUG up, in ``log_file``.

    ``as_json``: on stderr, too, one JSON object a line, for programs that gather logs.

    Calling it again replaces what the last call set. Raises UnknownNameError on an unknown level and ConfigError
    where the file cannot be written.
    """
    from rich.logging import RichHandler

    if level.upper() not in LEVELS:
        raise UnknownNameError("log level", level, LEVELS)
    shown: logging.Handler = RichHandler(console=console(), show_path=False, log_time_format="[%H:%M:%S]")
    if as_json:
        shown = logging.StreamHandler()
        shown.setFormatter(_JsonLines())
    shown.setLevel(level.upper())
    handlers: list[logging.Handler] = [shown]
    if log_file is not None:
        handlers.append(_file_handler(Path(log_file)))
    logger = logging.getLogger("reverie")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if log_file is not None else level.upper())


@functools.cache
def console() -> Console:
    """The one rich console on stderr, so that log lines and a progress bar do not write over each other."""
    from rich.console import Console

    return Console(stderr=True, emoji=False)


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=MAX_FILE_BYTES, backupCount=NUM_OLD_FILES, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(f"cannot write the log file {path}: {error.strerror}. Give another path.") from error
    handler.setFormatter(_JsonLines())
    return handler


class _JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the ``extra`` fields, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in RECORD_FIELDS}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers without its progress bars and reports; its settings are as before afterwards."""
    from transformers.utils import logging as logs

    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity(logging.CRITICAL)
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()
