"""One talk: what is asked and answered in it, and what of it is kept in the log of talks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.cli import options
from reverie.cli.app import say_fault
from reverie.cli.output import Output, Spoken
from reverie.cli.showing import show_answer, show_evidence, show_winner
from reverie.errors import TalkLogError, UsageError, shorten

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.dreaming import Session
    from reverie.dreaming.question import Speaking, Turn
    from reverie.nouns import Answer
    from reverie.talks import Feedback, LoggedTurn, TalkLog

__all__ = ["Said", "Talk"]


@dataclass(frozen=True)
class Said:
    """A turn of this talk: ``answer`` is None for one of an earlier sitting, ``logged`` its id in the log, if it has
    one."""

    answer: Answer | None
    images: tuple[str, ...] = ()
    logged: int | None = None


@dataclass
class Talk:
    """A talk under way. ``turns`` are as many as the session's history has, in the same order.

    Args:
        model: as it was asked for
        settings: of each question, as ``Session.chat`` takes them
        streams: whether words are shown as they come
        log: where turns are kept; None: nowhere
        id: of the talk in the log; None until something is kept of it
        images: what the next question shows
    """

    out: Output
    session: Session
    speaking: Speaking
    settings: dict[str, Any]
    streams: bool
    model: str
    log: TalkLog | None = None
    id: int | None = None
    images: tuple[str, ...] = ()
    turns: list[Said] = field(default_factory=list)
    saved: set[Path] = field(default_factory=set)  # files that this talk was written to: they may be written again

    @property
    def answer(self) -> Answer:
        """The last one. Raises UsageError where there is none."""
        if not self.turns or (answer := self.turns[-1].answer) is None:
            raise UsageError("nothing was asked yet")
        return answer

    def go_on(self, talk: int, system: str) -> None:
        """Take up a talk of the log, told ``system`` first, or what it was told."""
        assert self.log is not None
        kept, turns = self.log.talk(talk), self.log.turns(talk)
        self.session.history = tuple(map(_turn_of, turns))
        self.turns = [Said(None, logged=turn.id) for turn in turns]
        self.speaking = replace(self.speaking, system=system or kept.system)
        self.id = talk
        self.out.note(f"talk {talk} goes on after {len(turns)} turns: {shorten(kept.opening, 60)}")

    def ask(self, question: str) -> None:
        """Ask, show the answer, keep it. What ends it amid leaves the talk as it was before."""
        from reverie.dreaming.export_images import answer_to_json

        images, self.images, before = self.images, (), self.session.history
        try:
            with Spoken(self.out) as spoken:
                heard = spoken if self.streams else None
                answer = self.session.chat(question, images, speaking=self.speaking, on_text=heard, **self.settings)
        except BaseException:  # Ctrl-C too
            self.session.history = before
            raise
        told = answer_to_json(answer)
        self.turns.append(Said(answer, images))
        self._keep(question, answer, told | ({"images": list(images)} if images else {}))
        self.out.result({"question": question, **told}, lambda console: self._show(console, answer, spoken.shown), None)

    def ask_again(self) -> None:
        """The last question once more, drawn anew. The answer that it had stays where that is ended amid."""
        answered, last, before = self.answer, self.turns[-1], self.session.history
        usual, waiting = self.speaking, self.images
        self.settings["seed"] += 1
        if not answered.dreams:  # a speaker that says its likeliest words would say them again
            assert isinstance(usual.sampling, Mapping)
            self.speaking = replace(usual, sampling={"temperature": options.DREAMS, **usual.sampling})
        self.session.history, self.images = before[:-1], self.turns.pop().images
        try:
            self.ask(before[-1].question)
        finally:
            self.speaking, self.images = usual, waiting
            if len(self.session.history) < len(before):
                self.session.history = before
                self.turns.append(last)
            else:
                self._unkeep(last)

    def take_back(self) -> None:
        """Undo the last turn, in the log too."""
        if not self.turns:
            raise UsageError("there is no turn to take back")
        self.session.history = self.session.history[:-1]
        self._unkeep(self.turns.pop())

    def forget(self) -> None:
        """Begin a new talk; the old one stays in the log."""
        self.session.history, self.turns, self.id, self.images = (), [], None, ()

    def judge(self, feedback: Feedback, correction: str) -> None:
        """Keep what is said of the last answer. Raises UsageError where nothing is kept of it."""
        logged = self.turns[-1].logged if self.turns else None
        if self.log is None or logged is None:
            raise UsageError("nothing is kept of this answer, so nothing can be said of it")
        from reverie.dreaming.gap_notes import GapNotes

        turn = self.log.judge(logged, feedback, correction)
        for notes in self.session.observers:
            if turn.feedback == "wrong" and isinstance(notes, GapNotes):
                notes.wrong(turn)

    def _keep(self, question: str, answer: Answer, details: Mapping[str, Any]) -> None:
        def keep() -> None:
            assert self.log is not None
            if self.id is None:
                self.id = self.log.begin(self.model, self.speaking.system)
            self.turns[-1] = replace(self.turns[-1], logged=self.log.add(self.id, question, answer, details))

        if self.log is not None:
            self._unless_refused(keep)

    def _unkeep(self, turn: Said) -> None:
        if self.log is not None and turn.logged is not None:
            self._unless_refused(self.log.remove_turn, turn.logged)

    def _unless_refused(self, write: Any, *about: Any) -> None:
        """A log that cannot be written ends no talk: it is told once, and nothing more is kept."""
        try:
            write(*about)
        except (TalkLogError, UsageError) as error:  # UsageError: somebody deleted the talk meanwhile
            say_fault(f"{error}. The talk goes on, and no more of it is kept.")
            self.log = None

    def _show(self, console: Console, answer: Answer, said: str) -> None:
        show_answer(console, answer, said)
        if answer.dreams and answer.known:
            show_winner(console, self.session, answer.dreams[answer.verdict.branch])
        if answer.evidence and answer.known:
            show_evidence(console, answer.evidence, answer.text)
        console.print()


def _turn_of(turn: LoggedTurn) -> Turn:
    from reverie.dreaming.question import Turn

    return Turn(turn.question, turn.answer, turn.details.get("guess", ""))
