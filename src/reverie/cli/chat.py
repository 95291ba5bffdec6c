"""``reverie chat``: a talk on the terminal, one question a line, or one question alone."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli import options
from reverie.cli.app import os_line, say_fault
from reverie.cli.chat_commands import obey
from reverie.cli.options import (
    command_app,
    examples,
    make_speaking,
    named_experts,
    note_unspoken,
    open_session,
    resting_on,
)
from reverie.cli.output import Output
from reverie.cli.talking import Talk
from reverie.errors import ReverieError, TalkLogError, UsageError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reverie.talks import TalkLog

app = command_app()

_BLOCK = '"""'  # begins and ends a question of several lines


@app.command(
    epilog=examples(
        "reverie chat",
        'reverie chat --model smol --system "You answer in one sentence."',
        "reverie chat --model ollama:llama3.2 --branches 0",
        'cat notes.txt | reverie chat "Summarise this."',
        'reverie chat --continue "And why?"',
        "reverie chat --json < questions.txt > answers.jsonl",
    )
)
def chat(
    prompt: Annotated[
        str | None,
        typer.Argument(help="One question: it is answered and that is all. What is piped in stands before it."),
    ] = None,
    overrides: options.Overrides = None,
    going_on: Annotated[bool, typer.Option("--continue", help="Go on with your last talk.")] = False,
    talk: Annotated[int | None, typer.Option("--talk", metavar="ID", help="Go on with this one.")] = None,
    no_log: Annotated[bool, typer.Option("--no-log", help="Keep nothing of this talk.")] = False,
    image: options.ImageOption = None,
    branches: Annotated[int, typer.Option("--branches", min=0, max=64, help="Futures; 0 answers directly.")] = 4,
    depth: options.DepthOption = 12,
    system: options.SystemOption = "",
    max_ids: options.MaxIdsOption = 256,
    temperature: options.AllTemperatureOption = None,
    top_p: options.TopPOption = None,
    top_k: options.TopKOption = None,
    min_p: options.MinPOption = None,
    repetition_penalty: options.PenaltyOption = None,
    stop: options.StopOption = None,
    unknown: options.MaybeUnknownOption = None,
    stream: options.StreamOption = None,
    memory: options.MemoryOption = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Rest on no memory at all.")] = False,
    remember: Annotated[bool, typer.Option("--remember", help="Keep what the winning dreams claim.")] = False,
    expert: options.ExpertOption = None,
    no_experts: options.NoExpertsOption = False,
    library: options.LibraryOption = None,
    evaluator: options.EvaluatorOption = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Never ask the remote model for words.")] = False,
    model: options.AnyModelOption = "auto",
    seed: options.SeedOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, one for each answer.")] = False,
) -> None:
    """Talk with a model: it has read what was said before, as much of it as fits.

    Lines that begin with a slash are for the command itself; /help lists them. Ctrl-C ends an answer, and that turn is
    left out of the talk; Ctrl-D or /quit ends the talk. Without a terminal every line of stdin is a question; a line
    that cannot be answered is told in one line, the talk goes on, and the exit code is 1 in the end.
    """
    if prompt is not None and _is_setting(prompt):  # settings may come without a question
        overrides, prompt = [prompt, *(overrides or [])], None
    rests_on, experts = resting_on(memory, no_memory, remember), named_experts(expert, no_experts)
    drawn = {"top_p": top_p, "top_k": top_k, "min_p": min_p, "repetition_penalty": repetition_penalty}
    prompt, on_text = _with_piped(prompt)
    # a text that is given is worked on: there the best that can be said is asked for
    speaking = make_speaking(
        system, max_ids, stop, unknown or ("guess" if on_text else "say"), temperature=temperature, **drawn
    )
    with (
        Output(as_json) as out,
        _log(no_log, going_on or talk is not None) as log,
        open_session(model, rests_on, library, evaluator, overrides, no_preview) as session,
    ):
        note_unspoken(out, session, speaking)
        settings = {
            "branches": branches,
            "depth": depth,
            "temperature": options.DREAMS if temperature is None else temperature,
            "seed": seed,
            "remember": remember,
            "experts": experts,
        }
        under_way = Talk(out, session, speaking, settings, out.streams(stream, session), model, log)
        under_way.images = tuple(image or ())
        if going_on or talk is not None:
            under_way.go_on(_last(log) if talk is None else talk, system)
        if prompt is not None:
            under_way.ask(prompt)
        elif _run(under_way):
            raise typer.Exit(1)


def _is_setting(word: str) -> bool:
    name, found, _ = word.partition("=")
    return bool(found) and name.replace(".", "_").isidentifier()


def _with_piped(prompt: str | None) -> tuple[str | None, bool]:
    """``prompt`` below what is piped in, and whether anything is. Without a prompt what is piped are questions."""
    if prompt is None or sys.stdin is None or sys.stdin.isatty():
        return prompt, False
    piped = "\n".join(_piped_lines()).strip()
    return (f"{piped}\n\n{prompt}", True) if piped else (prompt, False)


@contextlib.contextmanager
def _log(unwanted: bool, needed: bool) -> Iterator[TalkLog | None]:
    """The log of talks, or None where it is unwanted, or cannot be opened and is not ``needed``."""
    from reverie.talks import TalkLog

    log = None
    if unwanted and needed:
        raise UsageError("--no-log goes with neither --continue nor --talk")
    try:
        log = None if unwanted else TalkLog()
    except TalkLogError as error:
        if needed:
            raise
        say_fault(f"{error}. Nothing of this talk is kept.")
    with log or contextlib.nullcontext():
        yield log


def _last(log: TalkLog | None) -> int:
    talks = log.talks(1) if log is not None else []
    if not talks:
        raise UsageError("there is no talk to go on with yet")
    return talks[0].id


def _run(talk: Talk) -> bool:
    """Line by line to the end; whether one failed that nobody at a terminal could ask again."""
    at_terminal = sys.stdin.isatty()
    failed = stopped = False
    if at_terminal:
        talk.out.note(f"{talk.session.name} listens; /help says what else there is, Ctrl-D ends the talk")
    for line in _terminal_lines(talk.out) if at_terminal else _piped_lines():
        try:
            if line.strip() == "/quit":
                break
            if line.startswith("/"):
                obey(talk, line[1:])
            else:
                talk.ask(line)
            stopped = False
        except KeyboardInterrupt:
            if stopped and not at_terminal:
                raise  # twice in a row: it is the whole that is to end
            stopped = failed = True
            if at_terminal:
                talk.out.note("")  # below the ^C that the terminal shows
            _fault(talk.out, line, "stopped by Ctrl-C: this turn is left out of the talk")
        except (ReverieError, OSError) as error:
            failed = True
            _fault(talk.out, line, os_line(error) if isinstance(error, OSError) else str(error))
    return failed and not at_terminal


def _fault(out: Output, line: str, what: str) -> None:
    """One line for people, and one for who reads an answer a line."""
    say_fault(what)
    if out.as_json:
        out.result({"question": shorten(line, 200), "error": shorten(what, 600)}, lambda _: None, None)


def _terminal_lines(out: Output) -> Iterator[str]:
    """What is typed, with the history and the keys of readline where it is there."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() uses it once it is imported
    while True:
        try:
            yield _whole(input("> "))
        except EOFError:
            out.note("")
            return
        except KeyboardInterrupt:
            out.note("\nCtrl-D or /quit ends the talk")


def _whole(line: str) -> str:
    """A question of several lines: one in blocks of quotes, or as long as lines end with a backslash."""
    if line.strip().startswith(_BLOCK):
        lines = [line.strip().removeprefix(_BLOCK)]
        while not lines[-1].rstrip().endswith(_BLOCK):
            lines.append(input("… "))
        return "\n".join(lines).rstrip().removesuffix(_BLOCK).strip()
    while line.endswith("\\"):
        line = f"{line[:-1]}\n{input('… ')}"
    return line


def _piped_lines() -> Iterator[str]:
    """The lines of stdin; what is no UTF-8 in them is left to who reads them."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for line in iter(sys.stdin.readline, ""):
        yield line.rstrip("\r\n")
