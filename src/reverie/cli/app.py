"""The ``reverie`` command: finds a command's file, runs it, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

import reverie
from reverie.errors import ConfigError, ReverieError, UsageError, nearest, shorten
from reverie.ranks import leads

__all__ = ["COMMANDS", "log_file", "main", "os_line", "say_fault"]

# Every command is the Typer app named `app` in the file of its name, in the order of the help page.
COMMANDS = (
    "ask",
    "chat",
    "logs",
    "dream",
    "simulate",
    "plan",
    "worlds",
    "experts",
    "memory",
    "data",
    "generator",
    "train",
    "teach",
    "distill",
    "learn",
    "gaps",
    "grow",
    "calibrate",
    "init",
    "models",
    "serve",
    "export",
    "bundle",
    "compare",
    "bench",
    "doctor",
    "info",
)

log = logging.getLogger("reverie.cli")


class _Commands(MutableMapping[str, Any]):
    """The commands by name; a command's file is imported when the command is first looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._loaded:
            command = get_command(importlib.import_module(f"reverie.cli.{name}").app)
            command.name = name
            self._loaded[name] = command
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _LazyGroup(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()


app = typer.Typer(
    name="reverie",
    cls=_LazyGroup,
    add_completion=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reverie {reverie.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more about the work on stderr.")] = False,
) -> None:
    """Reverie pictures what will happen before it answers, and shows what the answer rests on.

    Start with: reverie ask "What happens when you drop an egg?"
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    _start_logs("INFO" if verbose else "WARNING")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    _never_fail_to_print()
    # Threads that wait spinning for work take it from whoever else is at work: on a busy machine a step took ten times
    # as long. It is read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        _check_text(arguments)
        code = get_command(app).main(args=arguments, prog_name="reverie", standalone_mode=False)
    except TyperException as error:
        helped = not error.format_message()  # a group without a command: its help page says it all
        return error.exit_code if helped else say_fault(_usage_line(error), error.exit_code)
    except typer.Abort:
        return say_fault("stopped.", 1)
    except ReverieError as error:
        return error.exit_code if error.spoken else say_fault(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = 130
    except MemoryError:
        return say_fault("out of memory. Try fewer branches or smaller pictures.", 1)
    except OSError as error:
        return say_fault(os_line(error), 1)
    except Exception as error:
        log.debug("unexpected error", exc_info=True)
        line = f"unexpected {type(error).__name__}: {error}. This is our mistake; the log file has the details."
        return say_fault(line, 1)
    if code in (130, 143) and leads():
        return say_fault(f"stopped by {'Ctrl-C' if code == 130 else 'SIGTERM'}.", code)
    return code if isinstance(code, int) else 0


def log_file() -> Path:
    """Where the log of all commands goes: ``reverie.log`` in ``paths.log_dir``."""
    from reverie.paths import log_dir

    return log_dir() / "reverie.log"


def _start_logs(level: str) -> None:
    from reverie.logs import configure

    try:
        configure(level, log_file())
    except ConfigError:  # a home that cannot be written is no reason to refuse an answer
        configure(level)


def say_fault(message: str, code: int = 1) -> int:
    """Print one line on stderr, without what would steer a terminal, and hand back the exit code."""
    printable = "".join(letter if letter.isprintable() else " " for letter in message)
    print("reverie:", shorten(printable, 600), file=sys.stderr)
    return code


def _check_text(arguments: Sequence[str]) -> None:
    """UsageError for bytes that are no UTF-8, which only the name of a file that is there may hold."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            if not any(os.path.exists(part) for part in (argument, argument.partition("=")[2])):
                raise UsageError(f"an argument is no UTF-8 after '{argument[: error.start][-60:]}'") from error


def _never_fail_to_print() -> None:
    """What a stream's encoding lacks is shown as an escape instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _usage_line(error: TyperException) -> str:
    """What was wrong with the call, the nearest name, and where the help is."""
    context = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    message = error.format_message()
    if option and hasattr(error, "possibilities"):
        known = [name for parameter in context.command.params for name in parameter.opts] if context else []
        near = nearest(option, known)
        message = f"no such option: {shorten(option)}." + (f" Did you mean '{near}'?" if near else "")
        if option[1:2].isdigit() or " " in option:
            message += " Words that begin with a dash come after two: -- '-5 degrees'."
    where = context.command_path if context else "reverie"
    return f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} See '{where} --help'."


def os_line(error: OSError) -> str:
    """What the system refused, and for which file."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {error.filename}" if error.filename else reason
