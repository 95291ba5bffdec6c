"""How a base made elsewhere reads and ends texts: its tokenizer, what ends its answers, its chat template, its usual
way of drawing. All is read from the files beside its weights, without the library that wrote them, whose import alone
would take longer than an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from reverie.errors import BundleError, UsageError, shorten
from reverie.jsonio import read_object
from reverie.tokens.text import TextTokenizer

__all__ = ["BaseWords", "ChatTemplate"]

_LINE_END = ("Ċ", "\n", "<0x0A>")  # how vocabularies write it: bytes as letters, as it is, bytes by number
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_PRINTED = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # bytes that byte-level BPE writes as they are
_DRAWING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class BaseWords:
    """The words of one base, in its own ids. Read them with ``read``.

    Args:
        tokenizer: the base's, with what it puts around a text
        ends: ids that end an answer
        template: its chat template, None where it has none
        drawing: its usual settings of drawing, by the names that ``Sampling`` has for them; empty: its likeliest words
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        ends: frozenset[int],
        template: ChatTemplate | None = None,
        drawing: Mapping[str, float] | None = None,
    ):
        self._tokenizer, self.ends, self.template, self.drawing = tokenizer, ends, template, dict(drawing or {})
        added = tokenizer.get_added_tokens_decoder()
        self._specials = {token: added[token].content for token in added if added[token].special}

    @classmethod
    def read(cls, folder: Path) -> BaseWords:
        """Raises BundleError for a folder without them, or where they are damaged."""
        tokenizer = TextTokenizer.load(folder).library
        tokenizer.no_truncation()  # files may say how long texts were in training
        tokenizer.no_padding()
        told = _read(folder / "tokenizer_config.json")
        drawing = _read(folder / "generation_config.json")
        model = _read(folder / "config.json")
        ends = {tokenizer.token_to_id(_text(told.get("eos_token"))), *_ids(drawing.get("eos_token_id"))}
        if not ends - {None}:
            ends = set(_ids(model.get("eos_token_id")))
        return cls(
            tokenizer,
            frozenset(token for token in ends if token is not None),
            ChatTemplate.read(folder, told),
            {name: drawing[name] for name in _DRAWING if isinstance(drawing.get(name), (int, float))}
            if drawing.get("do_sample")
            else {},
        )

    @property
    def library(self) -> Tokenizer:
        """The tokenizer that does the work."""
        return self._tokenizer

    @cached_property
    def text_ids(self) -> list[int]:
        """The ids that stand for text, ascending."""
        return sorted(set(self._tokenizer.get_vocab().values()) - self._specials.keys() - self.ends)

    @cached_property
    def byte_ids(self) -> frozenset[int]:
        """Ids that stand for a byte of a letter that has no id. What a row of them says is sure once it is over."""
        return frozenset(token for piece, token in self._tokenizer.get_vocab().items() if _BYTE.fullmatch(piece))

    @cached_property
    def line_ends(self) -> tuple[list[int], list[int]]:
        """Ids whose text ends with the only line feed in it; ids with a line feed elsewhere, or several."""
        last, others = list[int](), list[int]()
        for piece, token in self._tokenizer.get_vocab().items():
            if any(mark in piece for mark in _LINE_END) and (text := self.decode([token])).count("\n"):
                (last if text.index("\n") == len(text) - 1 else others).append(token)
        return last, others

    @cached_property
    def num_ids(self) -> int:
        """One more than its highest id."""
        return max(self._tokenizer.get_vocab().values()) + 1

    @property
    def special_ids(self) -> list[int]:
        """Ids of special tokens, ascending."""
        return sorted(self._specials)

    def special(self, name: str) -> int | None:
        """The id of a special token, None where there is none of that name."""
        token = self._tokenizer.token_to_id(name)
        return token if token in self._specials else None

    def as_json(self) -> str:
        """The tokenizer, as its library writes it."""
        return str(self._tokenizer.to_str())

    def encode(self, text: str, whole: bool = True) -> list[int]:
        """The ids of a text; ``whole`` with what the base puts around one, such as BOS. What is a special token's name
        in it is read as that token: see ``plain``."""
        return list(self._tokenizer.encode(text, add_special_tokens=whole).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out. A character that is cut off becomes U+FFFD."""
        return str(self._tokenizer.decode(list(ids)))

    def data(self, token: int) -> bytes:
        """The bytes that one id stands for; none of a special token, and of one that there is not."""
        piece = self._tokenizer.id_to_token(token)
        if piece is None or token in self._specials:
            return b""
        if _BYTE.fullmatch(piece):
            return bytes([int(piece[3:5], 16)])
        if self._byte_letters and all(letter in self._byte_letters for letter in piece):
            return bytes(self._byte_letters[letter] for letter in piece)
        return piece.replace("▁", " ").encode()

    @cached_property
    def _byte_letters(self) -> dict[str, int]:
        """The letters that stand for bytes; none where the vocabulary writes texts as they are."""
        if self._tokenizer.token_to_id("Ġ") is None:
            return {}
        others = [byte for byte in range(256) if byte not in _PRINTED]
        return {chr(byte): byte for byte in _PRINTED} | {chr(256 + n): byte for n, byte in enumerate(others)}

    @property
    def start(self) -> list[int]:
        """What stands for nothing at all: at least one id."""
        return self.encode("") or sorted(self.ends)[:1] or [0]

    def plain(self, text: str) -> str:
        """``text`` in which no special token is named any more, for words that are data."""
        for name in self._specials.values():
            if len(name) > 1 and name in text:
                text = text.replace(name, f"{name[0]} {name[1:]}")
        return text


class ChatTemplate:
    """A base's chat template (Jinja), as its makers write it into its folder."""

    def __init__(self, source: str, specials: Mapping[str, str] | None = None):
        self.source, self._specials = source, dict(specials or {})

    @classmethod
    def read(cls, folder: Path, told: Mapping[str, Any]) -> ChatTemplate | None:
        """From ``chat_template.jinja``, else from ``told``, the tokenizer's settings; None where there is none."""
        try:
            source: Any = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        except FileNotFoundError:
            source = told.get("chat_template")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"the chat template in {folder} cannot be read: {shorten(str(error))}") from error
        if isinstance(source, list):  # several by name
            named = {one.get("name"): one.get("template") for one in source if isinstance(one, dict)}
            source = named.get("default")
        specials = {name: _text(value) for name, value in told.items() if name.endswith("_token") and _text(value)}
        return cls(source, specials) if isinstance(source, str) and source else None

    @cached_property
    def takes_tools(self) -> bool:
        """Whether it tells the base of ``tools`` itself."""
        from jinja2 import meta

        return "tools" in meta.find_undeclared_variables(self._compiled.environment.parse(self.source))

    @cached_property
    def _compiled(self) -> Any:
        from jinja2 import TemplateError, nodes
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Generation(Extension):
            """Marks what the model says, for those who train; it is written as it stands."""

            tags = {"generation"}  # noqa: RUF012 - as the library has it

            def parse(self, parser: Any) -> Any:
                line = next(parser.stream).lineno
                return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

        extensions = [loopcontrols, Generation]
        room = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        room.filters["tojson"] = _tojson
        room.globals.update(raise_exception=_refuse, strftime_now=lambda form: datetime.now().strftime(form))
        try:
            return room.from_string(self.source)
        except TemplateError as error:
            raise UsageError(f"the base's chat template is damaged: {shorten(str(error), 160)}") from error

    def render(self, messages: Sequence[Mapping[str, Any]], answer: bool = True, **more: Any) -> str:
        """The talk as the base reads it, up to where its answer begins, or without that where no ``answer`` is to
        follow. ``messages``: role and content each, and what else a template reads of them; ``more``: further
        variables, such as ``tools``.

        Where the template knows no system turn, its words are put before the first question. Raises UsageError where it
        takes the talk neither way.
        """
        try:
            return self._render(messages, {**more, "add_generation_prompt": answer})
        except UsageError:
            if not messages or messages[0]["role"] != "system":
                raise
        first, *others = messages[1:] or [{"role": "user", "content": ""}]
        joined = f"{messages[0]['content']}\n\n{first['content']}".strip()
        return self._render([{**first, "content": joined}, *others], {**more, "add_generation_prompt": answer})

    def _render(self, messages: Sequence[Mapping[str, Any]], more: Mapping[str, Any]) -> str:
        try:
            given = [dict(message) for message in messages]
            return str(self._compiled.render(messages=given, **{**self._specials, **more}))
        except UsageError:
            raise
        except Exception as error:  # whatever a foreign template does
            raise UsageError(f"the base's chat template does not take this talk: {shorten(str(error), 160)}") from error


def _read(path: Path) -> dict[str, Any]:
    return read_object(path, BundleError, "the words of a base") if path.exists() else {}


def _text(token: Any) -> str:
    """A special token's text; older files keep it with its settings."""
    return str(token.get("content", "") if isinstance(token, dict) else token or "")


def _ids(told: Any) -> list[int]:
    given = told if isinstance(told, list) else [told]
    return [token for token in given if isinstance(token, int)]


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **settings: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **settings)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
