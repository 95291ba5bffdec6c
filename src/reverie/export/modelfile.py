"""A Modelfile, as ``ollama create`` takes it: the file, an adapter, how a talk is written down, how words are drawn.

Ollama writes talks by a template of Go, not of Jinja. What a chat template puts around each turn is found by writing
down talks of marked turns; what comes of that is kept only where it writes other talks as the chat template does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reverie.errors import BundleError, UsageError, shorten
from reverie.export.source import Source
from reverie.tokens.base_words import ChatTemplate

__all__ = ["Turns", "find_turns", "modelfile", "read_modelfile"]

_MOST_CONTEXT = 8192  # of ids that Ollama keeps room for, unless somebody asks for more
_NAMES = {"repetition_penalty": "repeat_penalty"}  # where Ollama calls a setting of drawing otherwise
_COMMANDS = {"from", "adapter", "template", "parameter", "system", "license", "message", "renderer", "parser", "draft"}
_COMMANDS |= {"requires"}
_SYSTEM, _USER, _SAID, _NEXT = "ßSYSTEMß", "ßUSERß", "ßSAIDß", "ßNEXTß"  # turns that no template has in it
_TALKS = (
    ("user", "hi"),
    ("system", "Be brief."),
    ("user", "What is 2 + 2?"),
    ("assistant", "4"),
    ("user", "  and\n3?"),
    ("assistant", "Six.\n"),
    ("user", "Why?"),
)


@dataclass(frozen=True)
class Turns:
    """What stands around each turn of a talk; ``start`` before one that begins with no system turn."""

    start: str
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str  # where the answer begins
    last: bool = False  # only the last turn is written down

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The talk up to where its answer begins, as the template of ``go`` writes it."""
        kept = messages[-1:] if self.last else messages
        start = "" if kept[:1] and kept[0]["role"] == "system" else self.start
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        return start + "".join(one["content"].join(around[one["role"]]) for one in kept) + self.answer

    def go(self) -> str:
        """The same as a template of Go."""
        if self.last:
            before, after = self.user
            each, is_last = "{{ range $i, $m := .Messages }}", "{{ if eq (len (slice $.Messages $i)) 1 }}"
            return f"{each}{is_last}{before}{{{{ $m.Content }}}}{after}{{{{ end }}}}{{{{ end }}}}{self.answer}"
        start = f'{{{{ if and (eq $i 0) (ne $m.Role "system") }}}}{self.start}{{{{ end }}}}' if self.start else ""
        roles = {"system": self.system, "user": self.user, "assistant": self.assistant}
        branches = [
            f'if eq $m.Role "{role}" }}}}{before}{{{{ $m.Content }}}}{after}{{{{ '
            for role, (before, after) in roles.items()
        ]
        return (
            f"{{{{ range $i, $m := .Messages }}}}{start}{{{{ {'else '.join(branches)}end }}}}{{{{ end }}}}{self.answer}"
        )


def find_turns(template: ChatTemplate, bos: str = "") -> Turns | None:
    """What a chat template puts around turns, without the ``bos`` that is put before a text anyway; None where it does
    more than that."""
    try:
        found = _marked(template) or _marked_last(template)
        if found is None or not _holds(found, template):
            return None
    except (UsageError, ValueError):
        return None
    if bos and found.start.startswith(bos) and (found.last or found.system[0].startswith(bos)):
        return replace(
            found, start=found.start.removeprefix(bos), system=(found.system[0].removeprefix(bos), found.system[1])
        )
    return found


def modelfile(
    source: Source, base: str, adapter: str = "", system: str = "", bos: bool = False
) -> tuple[str, list[str]]:
    """The text of a Modelfile beside the GGUF files ``base`` and ``adapter``, and what is to be known of it.

    ``system``: what is said before every talk; ``bos``: llama.cpp puts BOS before a text by itself.
    """
    notes = []
    mark = source.token(source.specials["bos"]) if bos and "bos" in source.specials else ""
    named = {f"{name}_token": source.token(token) for name, token in source.specials.items()}
    turns = find_turns(ChatTemplate(source.template, named), mark)
    lines = [f"FROM ./{base}", *([f"ADAPTER ./{adapter}"] if adapter else [])]
    if turns is not None:
        turns, own = _without_system(turns)
        system = system or own
    written = turns.go() if turns is not None else ""
    if turns is None or not _writable(written):
        notes.append("its chat template says more than Ollama's can: Ollama takes one that it knows, or none")
    else:
        lines.append(f"TEMPLATE {_quoted(written)}")
    if system:
        lines.append(f"SYSTEM {_quoted(system)}")
    ends = [source.token(token) for token in source.ends]
    lines += [f"PARAMETER stop {_quoted(text)}" for text in (*filter(None, ends), *source.stop)]
    if source.max_ids:
        lines.append(f"PARAMETER num_ctx {min(source.max_ids, _MOST_CONTEXT)}")
    # Said whatever they are: Ollama's own would draw at random, and punish words that were said.
    drawn = {"temperature": 0, "repeat_penalty": 1.0} | {
        _NAMES.get(name, name): value for name, value in source.drawing.items()
    }
    lines += [f"PARAMETER {name} {value}" for name, value in drawn.items()]
    if source.licence:
        lines.append(f"LICENSE {_quoted(source.licence)}")
    return "\n".join(lines) + "\n", notes


def read_modelfile(text: str) -> list[tuple[str, str]]:
    """(command, value) of each, commands in small letters; of a parameter and a message its name stands in the value.

    Raises BundleError naming the line of what ``ollama create`` would not take.
    """
    found, lines, at = [], text.split("\n"), 0
    while at < len(lines):
        line, number = lines[at].strip(), at + 1
        at += 1
        if not line or line.startswith("#"):
            continue
        command, _, value = line.partition(" ")
        if command.lower() not in _COMMANDS:
            raise BundleError(f"the Modelfile's line {number} begins with no command: '{shorten(command, 30)}'")
        head, value = _split_name(command.lower(), value.strip())
        quote = next((one for one in ('"""', '"') if value.startswith(one)), "")
        while quote and (len(value) < 2 * len(quote) or not value.rstrip().endswith(quote)):
            if at >= len(lines):
                raise BundleError(f"the Modelfile's line {number} opens a quote that nothing closes")
            value += "\n" + lines[at]
            at += 1
        if quote:
            value = value.rstrip()[len(quote) : -len(quote)]
        found.append((command.lower(), head + value))
    if not any(command == "from" for command, _ in found):
        raise BundleError("the Modelfile has no FROM line")
    return found


def _split_name(command: str, value: str) -> tuple[str, str]:
    if command not in ("parameter", "message"):
        return "", value
    name, _, rest = value.partition(" ")
    return f"{name} ", rest.strip()


def _marked(template: ChatTemplate) -> Turns | None:
    """From a talk of two questions; None where only the last turn is written down."""
    user, said = {"role": "user", "content": _USER}, {"role": "assistant", "content": _SAID}
    after_user = template.render([user], answer=False).split(_USER)[-1]
    alone = template.render([user])
    talk = template.render([user, said, {"role": "user", "content": _NEXT}])
    if _USER not in talk:
        return None
    start, rest = alone.split(_USER)
    _, to_said, to_next, _ = _cut(talk, (_USER, _SAID, _NEXT))
    after_said = template.render([user, said], answer=False).split(_SAID)[-1]
    before_user = _after(to_next, after_said)
    whole = template.render([{"role": "system", "content": _SYSTEM}, user])
    system, to_user, _ = _cut(whole, (_SYSTEM, _USER))
    return Turns(
        _before(start, before_user),
        (system, _before(to_user, before_user)),
        (before_user, after_user),
        (_after(to_said, after_user), after_said),
        _after(rest, after_user),
    )


def _marked_last(template: ChatTemplate) -> Turns | None:
    alone = template.render([{"role": "user", "content": _USER}])
    if alone.count(_USER) != 1:
        return None
    before, after = alone.split(_USER)
    nothing = ("", "")
    return Turns("", nothing, (before, after), nothing, "", last=True)


def _cut(text: str, marks: Sequence[str]) -> list[str]:
    """What stands between the marks. Raises ValueError where one is not there once."""
    parts = []
    for mark in marks:
        before, text = text.split(mark)
        parts.append(before)
    return [*parts, text]


def _after(text: str, start: str) -> str:
    if not text.startswith(start):
        raise ValueError(text)
    return text[len(start) :]


def _before(text: str, end: str) -> str:
    if not text.endswith(end):
        raise ValueError(text)
    return text[: len(text) - len(end)]


def _holds(turns: Turns, template: ChatTemplate) -> bool:
    """Whether talks are written down as the chat template does it."""
    talk = [{"role": role, "content": content} for role, content in _TALKS]
    talks = [talk[:1], talk[2:5], talk[2:]]
    if not turns.last:  # whose template leaves a system turn out, too
        talks += [talk[1:3], talk[1:5], talk[1:]]
    return all(turns.render(one) == template.render(one) for one in talks)


def _without_system(turns: Turns) -> tuple[Turns, str]:
    """The turns without what their start says as a system turn, and that: SYSTEM says it as well."""
    before, after = turns.system
    own = turns.start.removeprefix(before).removesuffix(after)
    if own and turns.start == before + own + after and before:
        return replace(turns, start=""), own
    return turns, ""


def _writable(text: str) -> bool:
    """Whether a Modelfile can hold it: Ollama drops letters that are not printable, and knows no escapes."""
    plain = text.replace("\n", "").replace("\t", "").replace(" ", "")
    return plain.isprintable() and '"""' not in text and not text.endswith('"')


def _quoted(text: str) -> str:
    """As Ollama reads it back: one line without quotes stands as it is."""
    if '"""' in text or text.endswith('"'):
        raise UsageError(f"a Modelfile cannot hold a text with three quotes, or one at its end: {shorten(text, 60)}")
    return f'"""{text}"""' if "\n" in text or '"' in text or text != text.strip() else (f'"{text}"' if text else '""')
