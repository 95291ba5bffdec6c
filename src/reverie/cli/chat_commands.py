"""What a line of a talk that begins with a slash does: a table of names, each with what it takes and what it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.cli.options import named_experts
from reverie.cli.showing import show_checks, show_dreams, show_evidence, show_experts, show_sentences
from reverie.cli.talking import Said, Talk
from reverie.errors import DataError, UnknownNameError, UsageError, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMMANDS", "Command", "help_page", "obey"]


@dataclass(frozen=True)
class Command:
    """``does`` is called with the talk and what stands after the name; ``takes`` names that on the help page."""

    takes: str
    told: str
    does: Callable[[Talk, str], None]


def obey(talk: Talk, line: str) -> None:
    """Do what ``line``, without its slash, says. Raises UnknownNameError, and what the command raises."""
    name, _, about = line.strip().partition(" ")
    if name not in COMMANDS:
        raise UnknownNameError("command", f"/{name}", [f"/{one}" for one in (*COMMANDS, "quit")])
    COMMANDS[name].does(talk, about.strip())


def help_page() -> str:
    """A line a command."""
    rows = [(f"/{name} {command.takes}".rstrip(), command.told) for name, command in COMMANDS.items()]
    rows.append(("/quit", "end the talk, as Ctrl-D does; Ctrl-C ends an answer alone"))
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{name:<{width}}{told}" for name, told in rows]
    return "\n".join((*lines, 'Lines between """ and """ are one question; a line that ends with \\ goes on.'))


def _new(talk: Talk, _: str) -> None:
    talk.forget()
    talk.out.note("what was said is forgotten")


def _system(talk: Talk, text: str) -> None:
    talk.speaking = replace(talk.speaking, system=text)
    talk.out.note("the model is told this before everything" if text else "the model is told nothing beforehand")


def _temp(talk: Talk, text: str) -> None:
    from reverie.dreaming.question import DreamSettings

    value = _number("/temp", text, float)
    DreamSettings(temperature=value)
    sampling = dict(talk.speaking.sampling or {})  # type: ignore[arg-type]  # a mapping, as the command made it
    talk.speaking = replace(talk.speaking, sampling=sampling | {"temperature": value})
    talk.settings["temperature"] = value
    talk.out.note(f"dreams and free words are drawn at temperature {value:g}")


def _tokens(talk: Talk, text: str) -> None:
    talk.speaking = replace(talk.speaking, max_ids=_number("/tokens", text, int))
    talk.out.note(f"an answer in free words has at most {talk.speaking.max_ids} ids")


def _stream(talk: Talk, text: str) -> None:
    talk.streams = talk.out.streams(_switch("/stream", text), talk.session)
    talk.out.note(f"words are shown {'as they come' if talk.streams else 'when all are there'}")


def _branches(talk: Talk, text: str) -> None:
    from reverie.dreaming.question import DreamSettings

    talk.settings["branches"] = DreamSettings(_number("/branches", text, int)).branches
    talk.out.note(f"{talk.settings['branches']} futures are dreamed" if text != "0" else "answers come without dreams")


def _expert(talk: Talk, text: str) -> None:
    names = text.split()
    if not names:
        raise UsageError("/expert needs names, as in /expert causal=0.8 spatial; or auto, or none")
    talk.settings["experts"] = None if names == ["auto"] else named_experts(names, False) if names != ["none"] else ()
    chosen = {"auto": "the router chooses who helps", "none": "nobody helps the base"}
    talk.out.note(chosen.get(text, f"{', '.join(names)} helps from now on"))


def _image(talk: Talk, text: str) -> None:
    from reverie.dreaming.pictures import open_picture

    if text:
        open_picture(Path(text).expanduser())  # a wrong one is told now
    talk.images = (str(Path(text).expanduser()),) if text else ()
    talk.out.note(f"the next question shows {text}" if text else "the next question shows no picture")


def _dreams(talk: Talk, _: str) -> None:
    answer = talk.answer
    if not answer.dreams:
        raise UsageError("the last answer was not dreamed")
    if not talk.out.as_json:
        show_dreams(talk.out.console, talk.session, answer.dreams, answer.verdict if answer.known else None)


def _why(talk: Talk, _: str) -> None:
    answer = talk.answer
    if talk.out.as_json:
        return
    console = talk.out.console
    if answer.why:
        console.print(answer.why, markup=False, highlight=False)
    show_checks(console, answer)
    show_experts(console, answer)
    if answer.evidence:
        show_evidence(console, answer.evidence, answer.text)
    show_sentences(console, answer)


def _memory(talk: Talk, text: str) -> None:
    if not text:
        raise UsageError("/memory needs what to recall, as in /memory who founded Lyon")
    facts = talk.session.grounding.recall(text, passages=True)
    if not facts:
        talk.out.note("the memory has nothing to say about this")
    elif not talk.out.as_json:
        show_evidence(talk.out.console, facts)


def _info(talk: Talk, _: str) -> None:
    settings, speaking = talk.settings, talk.speaking
    experts = settings["experts"]
    helped = "as the router chooses" if experts is None else ", ".join(experts) or "nobody"
    drawn: Any = speaking.sampling or {}
    rows = {
        "model": talk.session.name,
        "talk": f"{len(talk.turns)} turns, {'not kept' if talk.log is None else f'kept in {talk.log.path}'}",
        "system": shorten(speaking.system, 80) or "nothing",
        "dreams": f"{settings['branches']} branches, temperature {settings['temperature']:g}, seed {settings['seed']}",
        "free words": f"at most {speaking.max_ids} ids, {json.dumps(dict(drawn)) if drawn else 'drawn as usual'}",
        "experts": helped,
        "preview": "on" if talk.session.preview.enabled else "off",
    }
    talk.out.note("\n".join(f"{name:<12}{value}" for name, value in rows.items()))


def _preview(talk: Talk, text: str) -> None:
    from reverie.dreaming.preview import Preview, RuntimeConfig

    wanted = _switch("/preview", text)
    talk.session.preview = Preview(RuntimeConfig(wanted, talk.session.preview.config))
    if wanted and not talk.session.preview.enabled:
        raise UsageError("the remote model needs a key: set OPENAI_API_KEY before the talk begins")
    talk.streams = talk.out.streams(talk.streams, talk.session)
    talk.out.note(f"known answers are {'worded by the remote model' if wanted else 'never sent anywhere'}")


def _undo(talk: Talk, _: str) -> None:
    talk.take_back()
    talk.out.note(f"taken back; {len(talk.turns)} turns are left")


def _retry(talk: Talk, _: str) -> None:
    talk.ask_again()


def _good(talk: Talk, _: str) -> None:
    talk.judge("good", "")
    talk.out.note("kept: this was good")


def _wrong(talk: Talk, text: str) -> None:
    talk.judge("wrong", text)
    talk.out.note("kept: this was wrong" + (f", and should be: {shorten(text, 80)}" if text else ""))


def _save(talk: Talk, name: str) -> None:
    from reverie.files import atomic_write_text

    file = _file("/save", name)
    if file.exists() and file not in talk.saved:
        raise UsageError(f"{file} is there already: name another file")
    rows: list[dict[str, Any]] = []
    if talk.speaking.system:
        rows.append({"role": "system", "content": talk.speaking.system})
    for turn, said in zip(talk.session.history, talk.turns, strict=True):
        answer = said.answer
        told = {} if answer is None else {name: getattr(answer, name) for name in ("known", "confidence", "model")}
        told |= {"guess": turn.guess} if turn.guess else {}
        rows += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer, **told}]
    atomic_write_text(file, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    talk.saved.add(file)
    talk.out.note(f"{len(talk.turns)} turns in {file}")


def _load(talk: Talk, name: str) -> None:
    from reverie.dreaming.question import Turn

    file = _file("/load", name)
    said = _messages(file)
    system = said.pop(0)["content"] if said and said[0]["role"] == "system" else ""
    if [row["role"] for row in said] != ["user", "assistant"] * (len(said) // 2):
        raise DataError(f"{file}: a talk is questions of a user and answers of an assistant in turn")
    turns = [
        Turn(asked["content"], told["content"], str(told.get("guess") or ""))
        for asked, told in zip(said[::2], said[1::2], strict=True)
    ]
    talk.forget()
    talk.session.history, talk.turns = tuple(turns), [Said(None) for _ in turns]
    talk.speaking = replace(talk.speaking, system=system)
    talk.out.note(f"{len(turns)} turns from {file}")


def _help(talk: Talk, _: str) -> None:
    talk.out.note(help_page())


def _messages(file: Path) -> list[Mapping[str, str]]:
    """The rows of a saved talk. Raises DataError for one that is none, and OSError."""
    rows: list[Mapping[str, str]] = []
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("role", "content")):
            raise DataError(f"{file}, line {number}: no object with role and content: {shorten(line, 60)}")
        rows.append(row)
    return rows


def _file(command: str, name: str) -> Path:
    if not name:
        raise UsageError(f"{command} needs the name of a file, as in {command} talk.jsonl")
    return Path(name).expanduser()


def _number(command: str, text: str, kind: type[Any]) -> Any:
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"{command} needs {what}, got '{shorten(text)}'") from None


def _switch(command: str, text: str) -> bool:
    if text not in ("on", "off"):
        raise UsageError(f"{command} is on or off, got '{shorten(text)}'")
    return text == "on"


COMMANDS: dict[str, Command] = {
    "new": Command("", "forget what was said", _new),
    "system": Command("TEXT", "tell the model this before everything; without a text, nothing", _system),
    "temp": Command("NUMBER", "how freely dreams and words are drawn", _temp),
    "tokens": Command("NUMBER", "most ids of an answer in free words", _tokens),
    "stream": Command("on|off", "show words as they come", _stream),
    "branches": Command("NUMBER", "how many futures are dreamed; 0 answers directly", _branches),
    "expert": Command("NAME[=WEIGHT] …", "who helps; auto: the router chooses, none: nobody", _expert),
    "image": Command("FILE", "a picture that the next question shows; without a file, none", _image),
    "dreams": Command("", "show the dreams of the last answer", _dreams),
    "why": Command("", "what the last answer rests on, sentence by sentence: its checks, experts and evidence", _why),
    "memory": Command("WORDS", "what the memory has to say about this", _memory),
    "good": Command("", "keep that the last answer was good", _good),
    "wrong": Command("TEXT", "keep that it was wrong, and what it should have been", _wrong),
    "preview": Command("on|off", "let the remote model word known answers", _preview),
    "undo": Command("", "take the last turn back", _undo),
    "retry": Command("", "ask the last question again, drawn anew", _retry),
    "save": Command("FILE", "write the talk as JSON lines", _save),
    "load": Command("FILE", "go on with a talk that was saved", _load),
    "info": Command("", "the model and the settings of this talk", _info),
    "help": Command("", "this; a question that begins with a slash has a blank before it", _help),
}  # fmt: skip
