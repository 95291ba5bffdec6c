"""``reverie chat``: a talk on the terminal, or one question a line."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options
from reverie.cli.app import os_line, say_fault
from reverie.cli.options import (
    command_app,
    examples,
    make_speaking,
    named_experts,
    note_unspoken,
    open_session,
    resting_on,
)
from reverie.cli.output import Output, Spoken
from reverie.cli.showing import show_answer, show_dreams, show_evidence, show_winner
from reverie.errors import ReverieError, UnknownNameError, UsageError, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from reverie.dreaming import Session
    from reverie.dreaming.question import Speaking
    from reverie.nouns import Answer

app = command_app()

_HELP = """/new            forget what was said
/system TEXT    tell the model this before everything; without a text, nothing
/dreams         show the dreams of the last answer
/save FILE      write the talk as JSON lines
/help           this; a question that begins with a slash has a blank before it
/quit           end the talk, as Ctrl-D does; Ctrl-C ends an answer alone"""


@app.command(
    epilog=examples(
        "reverie chat",
        'reverie chat --model smol --system "You answer in one sentence."',
        "reverie chat --model ollama:llama3.2 --branches 0",
        "reverie chat --json < questions.txt > answers.jsonl",
    )
)
def chat(
    overrides: options.Overrides = None,
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
    unknown: options.UnknownOption = "say",
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
    rests_on, experts = resting_on(memory, no_memory, remember), named_experts(expert, no_experts)
    drawn = {"top_p": top_p, "top_k": top_k, "min_p": min_p, "repetition_penalty": repetition_penalty}
    speaking = make_speaking(system, max_ids, stop, unknown, temperature=temperature, **drawn)
    with (
        Output(as_json) as out,
        open_session(model, rests_on, library, evaluator, overrides, no_preview) as session,
    ):
        note_unspoken(out, session, speaking)
        dreams = {
            "branches": branches,
            "depth": depth,
            "temperature": options.DREAMS if temperature is None else temperature,
            "seed": seed,
            "remember": remember,
            "experts": experts,
        }
        talk = _Talk(out, session, speaking, dreams, out.streams(stream, session))
        failed = talk.run()
    if failed:
        raise typer.Exit(1)


@dataclass
class _Talk:
    """One talk: what is said, and the commands within it."""

    out: Output
    session: Session
    speaking: Speaking
    settings: dict[str, Any]  # of each question
    streams: bool
    answers: list[Answer] = field(default_factory=list)  # one a turn of the session's history
    saved: set[Path] = field(default_factory=set)

    def run(self) -> bool:
        """Line by line to the end; whether one failed that nobody at a terminal could ask again."""
        at_terminal = sys.stdin.isatty()
        failed = stopped = False
        if at_terminal:
            self.out.note(f"{self.session.name} listens; /help says what else there is, Ctrl-D ends the talk")
        for line in _terminal_lines(self.out) if at_terminal else _piped_lines():
            try:
                going = self._command(line) if line.startswith("/") else self._ask(line)
                stopped = False
            except KeyboardInterrupt:
                if stopped and not at_terminal:
                    raise  # twice in a row: it is the whole that is to end
                going = stopped = failed = True
                self.session.history = self.session.history[: len(self.answers)]
                if at_terminal:
                    self.out.note("")  # below the ^C that the terminal shows
                self._fault(line, "stopped by Ctrl-C: this turn is left out of the talk")
            except (ReverieError, OSError) as error:
                going = failed = True
                self._fault(line, os_line(error) if isinstance(error, OSError) else str(error))
            if not going:
                break
        return failed and not at_terminal

    def _ask(self, line: str) -> bool:
        from reverie.dreaming.export_images import answer_to_json

        with Spoken(self.out) as spoken:
            answer = self.session.chat(
                line, speaking=self.speaking, on_text=spoken if self.streams else None, **self.settings
            )
        self.answers.append(answer)
        payload = {"question": line, **answer_to_json(answer)}
        self.out.result(payload, lambda console: self._show(console, answer, spoken.shown), None)
        return True

    def _show(self, console: Console, answer: Answer, said: str) -> None:
        show_answer(console, answer, said)
        if answer.dreams and answer.known:
            show_winner(console, self.session, answer.dreams[answer.verdict.branch])
        if answer.evidence and answer.known:
            show_evidence(console, answer)
        console.print()

    def _fault(self, line: str, what: str) -> None:
        """One line for people, and one for who reads an answer a line."""
        say_fault(what)
        if self.out.as_json:
            self.out.result({"question": shorten(line, 200), "error": shorten(what, 600)}, lambda _: None, None)

    def _command(self, line: str) -> bool:
        """Whether the talk goes on."""
        name, _, about = line[1:].strip().partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "new": self._new,
            "system": self._system,
            "dreams": self._dreams,
            "save": self._save,
            "help": lambda _: self.out.note(_HELP),
        }
        if name == "quit":
            return False
        if name not in commands:
            raise UnknownNameError("command", f"/{name}", [f"/{one}" for one in (*commands, "quit")])
        commands[name](about.strip())
        return True

    def _new(self, _: str) -> None:
        self.session.history = ()
        self.answers.clear()
        self.out.note("what was said is forgotten")

    def _system(self, text: str) -> None:
        self.speaking = replace(self.speaking, system=text)
        self.out.note("the model is told this before everything" if text else "the model is told nothing beforehand")

    def _dreams(self, _: str) -> None:
        if not self.answers or not self.answers[-1].dreams:
            raise UsageError("the last answer was not dreamed")
        answer = self.answers[-1]
        verdict = answer.verdict if answer.known else None
        if not self.out.as_json:
            show_dreams(self.out.console, self.session, answer.dreams, verdict)

    def _save(self, name: str) -> None:
        from reverie.files import atomic_write_text

        if not name:
            raise UsageError("/save needs the name of a file, as in /save talk.jsonl")
        file = Path(name).expanduser()
        if file.exists() and file not in self.saved:
            raise UsageError(f"{file} is there already: name another file")
        rows: list[dict[str, Any]] = (
            [{"role": "system", "content": self.speaking.system}] if self.speaking.system else []
        )
        for turn, answer in zip(self.session.history, self.answers, strict=True):
            told = {"known": answer.known, "confidence": answer.confidence, "model": answer.model}
            rows += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer, **told}]
        atomic_write_text(file, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        self.saved.add(file)
        self.out.note(f"{len(self.answers)} turns in {file}")


def _terminal_lines(out: Output) -> Iterator[str]:
    """What is typed, with the history and the keys of readline where it is there."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # input() uses it once it is imported
    while True:
        try:
            yield input("> ")
        except EOFError:
            out.note("")
            return
        except KeyboardInterrupt:
            out.note("\nCtrl-D or /quit ends the talk")


def _piped_lines() -> Iterator[str]:
    """The lines of stdin; what is no UTF-8 in them is left to who reads them."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for line in iter(sys.stdin.readline, ""):
        yield line.rstrip("\r\n")
