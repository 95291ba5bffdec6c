"""Reads a free question by a phrasebook: words without their inflections, pieces of patterns that cover them all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from reverie.dreaming.english import less_often, mended, stem, words_of
from reverie.errors import ConfigError
from reverie.worlds.phrasebook import Bindings, Phrasebook

__all__ = ["Parser", "Piece", "Reading"]

_MAX_WORDS = 60  # a longer question says more than a pattern holds
_MOST_READINGS = 64  # of the rest of a question from one word on


Named = tuple[tuple[str, str], ...]
_NOTHING: Bindings = {}


@dataclass(frozen=True)
class Reading:
    """What a question says: all that it names, in how many pieces."""

    named: Bindings
    cost: int


@dataclass(frozen=True)
class Piece:
    """The words from ``start`` to before ``end`` of a question, and what they may say; nothing where no piece is."""

    start: int
    end: int
    says: tuple[Bindings, ...]


Found = tuple[tuple[int, Bindings], ...]  # where a match ends, and what it names


@dataclass(frozen=True, eq=False)
class _Node:
    """A piece of a pattern. ``firsts``: the words that a match can begin with; ``empty``: it may be of no word.

    ``parts`` are those of a row or the options of a choice.
    """

    kind: Literal["word", "slot", "row", "choice"]
    text: str = ""
    parts: tuple[_Node, ...] = ()
    firsts: frozenset[str] = frozenset()
    empty: bool = False

    @cached_property
    def may_be_empty(self) -> tuple[_Node, ...]:
        return tuple(option for option in self.parts if option.empty)

    @cached_property
    def by_first(self) -> Mapping[str, tuple[_Node, ...]]:
        """The options of a choice by the word they begin with, without those that may be empty. Found when first
        needed: most choices never are."""
        found: dict[str, list[_Node]] = {}
        for option in self.parts:
            for first in () if option.empty else option.firsts:
                found.setdefault(first, []).append(option)
        return {first: tuple(options) for first, options in found.items()}


def _row(parts: Sequence[_Node]) -> _Node:
    firsts: set[str] = set()
    for part in parts:
        firsts |= part.firsts
        if not part.empty:
            break
    return _Node("row", "", tuple(parts), frozenset(firsts), all(part.empty for part in parts))


def _choice(options: Sequence[_Node]) -> _Node:
    firsts = frozenset().union(*(option.firsts for option in options))
    return _Node("choice", "", tuple(options), firsts, any(option.empty for option in options))


class Parser:
    """Reads questions by one phrasebook."""

    def __init__(self, book: Phrasebook):
        self._slots = {name: (slot.binds, _trie(slot.values)) for name, slot in book.slots.items()}
        self.ask = book.ask
        self._texts, self._adverbs = book.macros, book.adverbs
        self._macros: dict[str, _Node] = {}
        self._nodes: dict[tuple[object, ...], _Node] = {}
        self._pieces = [(self._compile(one.text), one.binds) for one in book.patterns]
        texts = [one.text for one in book.patterns] + [*book.macros.values()]
        phrases = (phrase for slot in book.slots.values() for said in slot.values.values() for phrase in said)
        said = re.sub(r"\{\w+\}|<\w+>", " ", " ".join([*texts, *phrases]))
        self.words = frozenset(re.findall(r"\w+|[+=]", said))
        self._spelled = frozenset(word for word in book.spelled if len(word) > 3)
        self._stems = frozenset(map(stem, self.words))

    def stems(self, words: Sequence[str]) -> list[str]:
        """What the words are without inflections, spelling mistakes mended where it is plain what was meant."""
        return [self._mended(word) for word in words]

    def read(self, words: Sequence[str]) -> list[Reading]:
        """Every way in which pieces cover all of the words and agree, the ones in fewest pieces first."""
        if not 0 < len(words) <= _MAX_WORDS:
            return []
        return self._read(words) or self._read([word for word in words if word not in self._adverbs])

    def _read(self, words: Sequence[str]) -> list[Reading]:
        match = _Match(self._slots, self.stems(words))
        rest: dict[int, dict[Named, int]] = {len(words): {(): 0}}
        for start in range(len(words) - 1, -1, -1):
            found: dict[Named, int] = {}
            for end, named in self._matches(match, start):
                for after, cost in rest[end].items():
                    joined = _joined(named, dict(after))
                    if joined is not None:
                        key = tuple(sorted(joined.items()))
                        found[key] = min(found.get(key, cost + 1), cost + 1)
            rest[start] = dict(sorted(found.items(), key=lambda one: one[1])[:_MOST_READINGS])
        return [Reading(dict(named), cost) for named, cost in rest[0].items()]

    def left_over(self, words: Sequence[str]) -> tuple[str, ...]:
        """The fewest words that no piece covers."""
        words = [word for word in words[:_MAX_WORDS] if word not in self._adverbs]
        return tuple(words[piece.start] for piece in self.pieces(words) if not piece.says)

    def pieces(self, words: Sequence[str]) -> list[Piece]:
        """The fewest pieces that leave the fewest words over, whether they agree or not, and those words."""
        match = _Match(self._slots, self.stems(words))
        best: list[tuple[int, int, Piece | None]] = [(0, 0, None)]  # by the number of words from there to the end
        for start in range(len(words) - 1, -1, -1):
            ways: dict[int, list[Bindings]] = {start + 1: []}
            for end, named in self._matches(match, start):
                ways.setdefault(end, []).append(named)
            options = [
                (best[len(words) - end][0] + (not says), best[len(words) - end][1] + 1, Piece(start, end, tuple(says)))
                for end, says in ways.items()
            ]
            best.append(min(options, key=lambda one: one[:2]))
        found: list[Piece] = []
        while (piece := best[len(words) - (found[-1].end if found else 0)][2]) is not None:
            found.append(piece)
        return found

    def strange(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words that are in no pattern."""
        known = self._stems | self._adverbs
        return tuple(word for word in words if word not in self._adverbs and self._mended(word) not in known)

    @lru_cache(maxsize=1024)  # noqa: B019 (parsers live as long as the process)
    def things_done(self, text: str) -> frozenset[tuple[str, str]]:
        """What a text may say is done: (thing, action)."""
        found = (reading.named for reading in self.read(words_of(text)))
        return frozenset((one["thing"], one["action"]) for one in found if {"thing", "action"} <= one.keys())

    def _mended(self, word: str) -> str:
        tried = (stem(word), *map(stem, less_often(word)))
        return next((base for base in tried if base in self._stems), None) or mended(word, self._spelled)

    def _matches(self, match: _Match, start: int) -> Iterator[tuple[int, Bindings]]:
        for node, binds in self._pieces:
            if match.stems[start] in node.firsts:
                for end, named in match(node, start):
                    joined = _joined(binds, named)
                    if end > start and joined is not None:
                        yield end, joined

    def _compile(self, text: str) -> _Node:
        tokens = re.findall(r"\w+|\{\w+\}|<\w+>|\S", text)
        node, used = self._options(tokens, 0)
        if used != len(tokens):
            raise ConfigError(f"a pattern of a phrasebook has a bracket too many: {text}")
        return node

    def _options(self, tokens: Sequence[str], at: int) -> tuple[_Node, int]:
        rows: list[list[_Node]] = [[]]
        while at < len(tokens) and tokens[at] not in ")]":
            token = tokens[at]
            at += 1
            if token == "|":
                rows.append([])
            elif token in "([":
                inner, at = self._options(tokens, at)
                at += 1
                rows[-1].append(inner if token == "(" else self._shared(_choice, [inner, self._shared(_row, [])]))
            else:
                rows[-1].append(self._part(token))
        return self._shared(_choice, [self._shared(_row, parts) for parts in rows]), at

    def _shared(self, make: Callable[[Sequence[_Node]], _Node], parts: Sequence[_Node]) -> _Node:
        """A node of these parts, one for all places that have the same: what it matches is then found once."""
        if len(parts) == 1:
            return parts[0]
        key = (make, *map(id, parts))
        if key not in self._nodes:
            self._nodes[key] = make(parts)
        return self._nodes[key]

    def _part(self, token: str) -> _Node:
        name = token[1:-1]
        if token[0] in "{<" and name not in (self._slots if token[0] == "{" else self._texts):
            raise ConfigError(f"a phrasebook uses {token} and does not say what that is")
        if (token,) in self._nodes:
            return self._nodes[token,]
        if token.startswith("{"):
            return self._nodes.setdefault((token,), _Node("slot", name, firsts=frozenset(self._slots[name][1])))
        if token.startswith("<"):
            if name not in self._macros:
                self._macros[name] = self._compile(self._texts[name])
            return self._macros[name]
        word = stem(token)
        node = self._nodes.setdefault(("", word), _Node("word", word, firsts=frozenset([word])))
        return self._nodes.setdefault((token,), node)


class _Match:
    """Matches of pieces within one question, each found once."""

    def __init__(self, slots: Mapping[str, tuple[str, Mapping[str, Any]]], stems: Sequence[str]):
        self._slots, self.stems = slots, stems
        self._found: dict[tuple[int, int], Found] = {}

    def __call__(self, node: _Node, at: int) -> Found:
        if not node.empty and (at >= len(self.stems) or self.stems[at] not in node.firsts):
            return ()
        if node.kind == "word":
            return ((at + 1, _NOTHING),)
        key = (id(node), at)
        if key not in self._found:
            self._found[key] = self._match(node, at)
        return self._found[key]

    def _match(self, node: _Node, at: int) -> Found:
        if node.kind == "slot":
            binds, trie = self._slots[node.text]
            return tuple((end, {binds: value}) for end, value in _walk(trie, self.stems, at))
        if node.kind == "choice":
            first = self.stems[at] if at < len(self.stems) else ""
            return _once(
                one for option in (*node.by_first.get(first, ()), *node.may_be_empty) for one in self(option, at)
            )
        found: Found = ((at, _NOTHING),)
        for part in node.parts:
            found = _once(
                (end, joined)
                for middle, named in found
                for end, more in self(part, middle)
                if (joined := _joined(more, named)) is not None
            )
        return found


def _once(found: Iterable[tuple[int, Bindings]]) -> Found:
    return tuple({(end, *sorted(named.items())): (end, named) for end, named in found}.values())


def _joined(one: Bindings, other: Bindings) -> Bindings | None:
    """Both together; None where they name different things."""
    if not one or not other:
        return one or other
    if any(other.get(key, value) != value for key, value in one.items()):
        return None
    return {**other, **one}


def _trie(values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for value, phrases in values.items():
        for phrase in phrases:
            node = root
            for word in phrase.split():
                node = node.setdefault(stem(word), {})
            node.setdefault("", []).append(value)
    return root


def _walk(trie: Mapping[str, Any], stems: Sequence[str], at: int) -> Iterator[tuple[int, str]]:
    """Every phrase that begins at a word: (where it ends, its value)."""
    node: Mapping[str, Any] | None = trie
    for place in range(at, len(stems)):
        node = node.get(stems[place]) if node else None
        if node is None:
            return
        for value in node.get("", ()):
            yield place + 1, value
