"""Reads a free question by a phrasebook: words without their inflections, pieces of patterns that cover them all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import snowballstemmer

from reverie.dreaming.spelling import REAL_WORDS
from reverie.worlds.phrasebook import Bindings, Pattern, Phrasebook

__all__ = ["Parser", "Reading", "words_of"]

_STEMMER = snowballstemmer.stemmer("english")
# form that no stemmer finds → its base
_IRREGULAR = {
    form: base
    for base, forms in {
        "be": "am are is was were been being s", "do": "does did done", "have": "has had", "will": "would shall wo ll",
        "can": "could might may ca", "fall": "fell fallen", "throw": "threw thrown", "break": "broke broken",
        "freeze": "froze frozen", "light": "lit", "leave": "left", "hold": "held", "give": "gave given",
        "go": "went gone goes", "get": "got gotten", "take": "took taken", "sink": "sank sunk", "rise": "rose risen",
        "fly": "flew flown", "become": "became", "come": "came", "make": "made", "stand": "stood", "see": "saw seen",
        "sit": "sat", "lie": "lay lain lying", "keep": "kept", "catch": "caught", "stick": "stuck", "find": "found",
        "slide": "slid", "spill": "spilt", "burn": "burnt", "know": "knew known", "think": "thought", "not": "nt",
        "begin": "began begun", "blow": "blew blown", "shake": "shook shaken", "melt": "molten", "say": "said",
        "tell": "told", "hit": "hitting", "half": "halves", "a": "an", "strike": "struck", "set": "setting",
    }.items()
    for form in forms.split()
}  # fmt: skip
# what people write in one word, or shortly
_WRITTEN = (
    (r"\bwon['’]?t\b", "will not"), (r"\bcan['’]?t\b|\bcannot\b", "can not"), (r"\bain['’]t\b", "is not"),
    (r"\b(do|does|did|is|are|was|were|would|could|should|has|have|had)n['’]?t\b", r"\1 not"),
    (r"['’]re\b", " are"), (r"['’]ve\b", " have"), (r"['’]ll\b", " will"), (r"['’]d\b", " would"), (r"['’]m\b", " am"),
    (r"\b(it|that|what|where|who|there|he|she|here|how|when|why|which)['’]s\b", r"\1 is"),
    (r"\bwhats\b", "what is"), (r"\bwheres\b", "where is"), (r"\blet['’]s\b", "let us"), (r"\bu\b", "you"),
    (r"\bgonna\b", "going to"), (r"\bwanna\b", "want to"), (r"\b(pls|plz)\b", "please"), (r"\b(wot|wat|wut)\b", "what"),
    (r"\bicecubes?\b", "ice cube"), (r"\bwoodblock\b", "wood block"), (r"\binto\b", "in to"), (r"\bonto\b", "on to"),
    (r"\bupside[- ]?down\b", "upside down"), (r"\babt\b", "about"), (r"\bfirst of all\b", ""), (r"\bteddybear\b",
    "teddy bear"), (r"\bfree[sz]er\b", "freezer"),
)  # fmt: skip
_MAX_WORDS = 60  # a longer question says more than a pattern holds
_MOST_READINGS = 64  # of the rest of a question from one word on


Named = tuple[tuple[str, str], ...]
_NOTHING: Bindings = {}


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    base = _IRREGULAR.get(word, word)
    return str(_STEMMER.stemWord(base))


def words_of(text: str) -> list[str]:
    """The words of a question in lower case; other signs that mean something are words of their own."""
    text = re.sub(r"[-=]+>|→", " ", unicodedata.normalize("NFKC", text).lower())
    for written, meant in _WRITTEN:
        text = re.sub(written, meant, text)
    return re.findall(r"\w+|[+*/=<>%&$#@^]", text)


@dataclass(frozen=True)
class Reading:
    """What a question says: all that it names, in how many pieces."""

    named: Bindings
    cost: int


Found = tuple[tuple[int, Bindings], ...]  # where a match ends, and what it names


@dataclass(frozen=True, eq=False)
class _Node:
    """A piece of a pattern. ``firsts``: the words that a match can begin with; ``empty``: it may be of no word.

    ``parts`` are those of a row or the options of a choice, which ``by_first`` finds by the word they begin with.
    """

    kind: Literal["word", "slot", "row", "choice"]
    text: str = ""
    parts: tuple[_Node, ...] = ()
    firsts: frozenset[str] = frozenset()
    empty: bool = False
    by_first: Mapping[str, tuple[_Node, ...]] = field(default_factory=dict)
    may_be_empty: tuple[_Node, ...] = ()


def _row(parts: Sequence[_Node]) -> _Node:
    if len(parts) == 1:
        return parts[0]
    firsts: set[str] = set()
    for part in parts:
        firsts |= part.firsts
        if not part.empty:
            break
    return _Node("row", "", tuple(parts), frozenset(firsts), all(part.empty for part in parts))


def _choice(options: Sequence[_Node]) -> _Node:
    if len(options) == 1:
        return options[0]
    by_first: dict[str, list[_Node]] = {}
    for option in options:
        for first in () if option.empty else option.firsts:
            by_first.setdefault(first, []).append(option)
    firsts = frozenset().union(*(option.firsts for option in options))
    empty = tuple(option for option in options if option.empty)
    index = {first: tuple(found) for first, found in by_first.items()}
    return _Node("choice", "", tuple(options), firsts, bool(empty), index, empty)


class Parser:
    """Reads questions by one phrasebook."""

    def __init__(self, book: Phrasebook):
        self._slots = {name: (slot.binds, _trie(slot.values)) for name, slot in book.slots.items()}
        self._texts, self._adverbs = book.macros, book.adverbs
        self._macros: dict[str, _Node] = {}
        patterns = [*book.patterns, *map(Pattern, book.fillers)]
        self._pieces = [(self._compile(one.text), one.binds) for one in patterns]
        texts = [one.text for one in patterns] + [*book.macros.values()]
        phrases = (phrase for slot in book.slots.values() for said in slot.values.values() for phrase in said)
        said = re.sub(r"\{\w+\}|<\w+>", " ", " ".join([*texts, *phrases]))
        self.words = frozenset(re.findall(r"\w+", said))
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
        match = _Match(self._slots, self.stems(words))
        best: list[tuple[int, int, tuple[str, ...]]] = [(0, 0, ())]  # by the number of words from there to the end
        for start in range(len(words) - 1, -1, -1):
            count, pieces, missing = best[-1]
            options = [(count + 1, pieces, (words[start], *missing))]
            for end, _ in self._matches(match, start):
                count, pieces, missing = best[len(words) - end]
                options.append((count, pieces + 1, missing))
            best.append(min(options, key=lambda one: one[:2]))
        return best[-1][2]

    def _mended(self, word: str) -> str:
        base = stem(word)
        if base in self._stems or len(word) < 4 or not word.isalpha() or word in REAL_WORDS:
            return base
        return _nearest(word, self._spelled) or base

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
            raise ValueError(f"a pattern has a bracket too many: {text}")
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
                rows[-1].append(inner if token == "(" else _choice([inner, _row([])]))
            else:
                rows[-1].append(self._part(token))
        return _choice([_row(parts) for parts in rows]), at

    def _part(self, token: str) -> _Node:
        name = token[1:-1]
        if token.startswith("{"):
            return _Node("slot", name, firsts=frozenset(self._slots[name][1]))
        if token.startswith("<"):
            if name not in self._macros:
                self._macros[name] = self._compile(self._texts[name])
            return self._macros[name]
        word = stem(token)
        return _Node("word", word, firsts=frozenset([word]))


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


def _nearest(word: str, known: frozenset[str]) -> str | None:
    """The stem of the one known word that was meant: of the same beginning, one slip away, two in a long word."""
    near: dict[int, set[str]] = {1: set(), 2: set()}
    for other in known:
        if other[0] == word[0] and (slips := _slips(word, other)) < 3:
            near[slips].add(stem(other))
    closest = near[1] or near[2]
    return closest.pop() if len(closest) == 1 else None


def _slips(word: str, other: str) -> int:
    """How many letters are wrong, missing, too many or swapped; 3 for more than one makes in words of that length."""
    from rapidfuzz.distance import OSA

    most = 1 if min(len(word), len(other)) < 8 else 2
    distance = int(OSA.distance(word, other, score_cutoff=most))
    return max(distance, 1) if distance <= most else 3
