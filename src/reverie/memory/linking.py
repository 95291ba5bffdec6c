"""From words to nodes: which names stand in a question, and which stand in a passage. No model takes part.

``EntityIndex`` knows every name and alias of the store, folded: without case, accents and punctuation. A **passage** is
joined to the passages and entities that its text names, by the relation that the words before the name speak of
(``cues``): its title names it, also without what stands in parentheses, and its first words may give it further names.
"""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import OSA

from reverie.data import FactRow
from reverie.memory.contract import Node
from reverie.memory.relation_patterns import MENTIONS, said_relations, stem
from reverie.memory.store import Store

__all__ = ["LINKED", "Link", "EntityIndex", "bare_name", "further_names", "key_of", "link_question", "passage_facts"]

LINKED = "reading"  # source of the facts that rules read out of passages

STOP = frozenset(
    """a an the and or but nor not no yes of in on at to for by from with without into onto over under about as than
    then is are was were be been being am do does did done doing have has had having will would shall should can could
    may might must i you he she it we they me him her us them my your his its our their this that these those there here
    who whom whose which what when where why how if because while so such both either neither each every all any some
    more most much many few first last other another same own just only very too also ever never again s t ii iii iv
    born died later earlier older younger longer one two film song movie director""".split()
)
LIGHT = frozenset("need use make get want like find happen mean take go come give put keep say tell know think".split())
_EMPTY = STOP | LIGHT  # no name alone
_LETTERS = str.maketrans({"ø": "o", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ı": "i"})
_WORD = re.compile(r"[^\W_]+(?:['’`ʻʼ][^\W_]+)*")
_APOSTROPHES = str.maketrans(dict.fromkeys("'’`ʻʼ"))
_LONGEST = 16  # words of a name
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’.\-]*"
_SMALL = r"(?:of|the|de|da|di|du|von|van|der|den|la|le|bin|ibn|al|and|&)"
_SPAN = rf"{_CAPITAL}(?:,? (?:{_SMALL} )*(?:{_CAPITAL}|\d+(?:st|nd|rd|th)))*"
_FIRST_WORDS = re.compile(rf"^[\"“ ]*({_SPAN})")
_ALSO = re.compile(
    r"(?:known as|a\.?k\.?a\.?|née|released as|English (?:title|version)|original title|retitled|also spelled"
    rf"|personal name|styled|born)[ :,]*[\"“']?\s*({_SPAN})"
)
_PARTICLES = frozenset("de da di du von van der den la le bin ibn al".split())
_CHUNK = 5_000  # passages read at a time
_HEAD = 400  # characters of a passage that may give it further names


@dataclass(frozen=True)
class Word:
    """A folded word of a text and where it stands there."""

    folded: str
    start: int
    end: int
    capital: bool  # starts with a capital or a digit


@dataclass(frozen=True)
class Link:
    """A node that a question speaks of. ``weight`` in (0, 1]; ``words``: those of the question that name it."""

    node: int
    weight: float
    words: str
    exact: bool = True


@lru_cache(maxsize=65_536)
def fold(word: str) -> str:
    """Without case, accents, apostrophes and the 's of a genitive."""
    if not word.isascii():
        plain = unicodedata.normalize("NFKD", word)
        word = "".join(letter for letter in plain if not unicodedata.combining(letter))
    word = word.casefold()
    if len(word) > 3 and word.endswith(("'s", "’s")):
        word = word[:-2]
    return word.translate(_APOSTROPHES) if word.isascii() else word.translate(_LETTERS).translate(_APOSTROPHES)


def split_words(text: str) -> list[Word]:
    words: list[Word] = []
    for found in _WORD.finditer(text):
        start, capital = found.start(), not found.group()[0].islower()
        if words and start and text[start - 1] == "-" and words[-1].end == start - 1:
            capital = capital or words[-1].capital  # Kim Ki-young
        words.append(Word(fold(found.group()), start, found.end(), capital))
    return words


def key_of(name: str) -> str:
    return " ".join(fold(word) for word in _WORD.findall(name))


def bare_name(name: str) -> str:
    """``name`` without what stands in parentheses at its end."""
    return re.sub(r"\s*\([^)]*\)\s*$", "", name) or name


class EntityIndex:
    """Every name in the store -> its nodes; follows the store by change number. Names of more than 16 words are not
    looked for."""

    def __init__(self) -> None:
        self.seq = 0
        self.passages: set[int] = set()
        self._nodes: dict[str, int | tuple[int, ...]] = {}
        self._short: dict[str, int | tuple[int, ...]] = {}  # a passage's name without some of its words
        self._longest: dict[str, int] = {}  # first word -> words of the longest name that starts with it
        self._by_stem: dict[str, array[int]] = {}
        self._words: defaultdict[int, set[str]] = defaultdict(set)  # by their length
        self._gone: set[int] = set()
        self.count = 0

    def refresh(self, store: Store) -> int:
        """Learn what is new in the store; returns how many names that is."""
        now, before = store.seq(), self.count
        if now == self.seq:
            return 0
        if self.seq:
            self._gone.update(store.changes(self.seq).gone.tolist())
        passages: list[int] = []
        for batch in store.names(self.seq):
            for node, name, kind in batch:
                self.add(node, name, kind)
            passages += dict.fromkeys(node for node, _, kind in batch if kind == "passage")
        for start in range(0, len(passages), _CHUNK):
            for passage in store.nodes(passages[start : start + _CHUNK]):
                for name in further_names(passage):
                    self._put(self._nodes, key_of(name), passage.id)
        self.seq = now
        return self.count - before

    def add(self, node: int, name: str, kind: str) -> None:
        key = key_of(name)
        if not key:
            return
        self._gone.discard(node)
        self.count += 1
        self._put(self._nodes, key, node)
        words = set(key.split())
        for word in words:
            self._words[len(word)].add(word)
        for word in {stem(word) for word in words}:
            posted = self._by_stem.setdefault(word, array("q"))
            if not posted or posted[-1] != node:
                posted.append(node)
        bare = bare_name(name)
        if bare != name and (bare_key := key_of(bare)):
            self._put(self._nodes, bare_key, node)
        if kind == "passage":
            self.passages.add(node)
            for short in _shorter(bare):
                self._put(self._short, short, node)

    def find(self, key: str) -> tuple[tuple[int, ...], float]:
        """The nodes of a folded name, and how sure it is that it means one of them."""
        nodes, weight = self._nodes.get(key), 1.0
        if nodes is None:
            nodes, weight = self._short.get(key), 0.45
        if nodes is None:
            return (), 0.0
        found = (nodes,) if isinstance(nodes, int) else nodes
        return (tuple(node for node in found if node not in self._gone) if self._gone else found), weight

    def scan(self, words: Sequence[Word]) -> list[tuple[int, int, tuple[int, ...], float]]:
        """Names in a text: (first word, word after the last, nodes, weight), the longest at each place."""
        found, place = [], 0
        while place < len(words):
            longest = min(self._longest.get(words[place].folded, 0), len(words) - place)
            taken = 1
            for length in range(longest, 0, -1):
                nodes, weight = self.find(" ".join(word.folded for word in words[place : place + length]))
                if nodes:
                    found.append((place, place + length, nodes, weight))
                    taken = length
                    break
            place += taken
        return found

    def sharing(self, weights: Mapping[str, float], limit: int) -> list[int]:
        """The ``limit`` nodes whose names hold the most of these stems, by their weights."""
        posted = {word: self._by_stem[word] for word in weights if word in self._by_stem}
        found = {word: np.unique(np.frombuffer(nodes, np.int64)) for word, nodes in posted.items()}
        if not found:
            return []
        ids, places = np.unique(np.concatenate(list(found.values())), return_inverse=True)
        sums = np.bincount(places, np.repeat([weights[word] for word in found], list(map(len, found.values()))))
        best = np.argsort(-sums, kind="stable")[:limit]
        return [node for node in ids[best].tolist() if node not in self._gone]

    def rarity(self, stemmed: str) -> float:
        """How much a word says: the logarithm of one in how many names holds it."""
        return math.log(1 + self.count / (1 + len(self._by_stem.get(stemmed, ()))))

    def corrected(self, word: str) -> str:
        """``word``, or the commonest known word one letter (or two that are swapped) from it where no name holds it."""
        if not 5 <= len(word) <= 24 or not word.isascii() or word in STOP or stem(word) in self._by_stem:
            return word
        alike = [near for length in range(len(word) - 1, len(word) + 2) for near in self._words.get(length, ())]
        near = [found for found, *_ in process.extract(word, alike, scorer=OSA.distance, score_cutoff=1, limit=None)]
        return min(near, key=lambda found: (-len(self._by_stem.get(stem(found), ())), found)) if near else word

    def _put(self, names: dict[str, int | tuple[int, ...]], key: str, node: int) -> None:
        length = key.count(" ") + 1
        if length > _LONGEST:
            return
        before = names.get(key)
        if before is None:
            names[key] = node
        elif isinstance(before, int):
            names[key] = before if before == node else (before, node)
        elif node not in before:
            names[key] = (*before, node)
        first = key.split(" ", 1)[0]
        self._longest[first] = max(self._longest.get(first, 0), length)


# questions --------------------------------------------------------------------------------------------------------


def link_question(
    question: str, names: EntityIndex, store: Store, partial: int = 24, max_words: int = 512
) -> list[Link]:
    """The nodes that ``question`` names, best first.

    A name in full weighs up to 1 (of an entity: by the rarity of its words beside the rarest in the question); a name
    that shares words with the question less, the more of it is missing (the ``partial`` best). Words with one wrong
    letter are understood. Only the first ``max_words`` words are read.
    """
    words = split_words(question[: 40 * max_words])[:max_words]
    words = [replace(word, folded=names.corrected(word.folded)) for word in words]
    told = any(word.capital for word in words[1:])  # capitals tell names from other words
    content = {stem(word.folded): _telling(word.folded, names) for word in words if word.folded not in STOP}
    capitals = {stem(word.folded) for word in words if word.capital or not told}
    total = sum(content.values()) or 1.0
    best: dict[int, Link] = {}
    explained: set[str] = set()  # words that a name in full accounts for

    def offer(node: int, weight: float, said: str, exact: bool) -> None:
        if node not in best or best[node].weight < weight:
            best[node] = Link(node, weight, said, exact)

    for first, last, nodes, weight in names.scan(words):
        span = words[first:last]
        capital = any(word.capital for word in span[first == 0 :])
        if all(word.folded in _EMPTY for word in span) and not (capital and len(span) > 1):
            continue
        said = question[span[0].start : span[-1].end]
        share = sum(content.get(stem(word.folded), 0.0) for word in span) / total
        if capital:
            explained.update(word.folded for word in span)
        for node in nodes:
            if capital:
                offer(node, weight, said, True)
            elif node not in names.passages or not told:
                offer(node, weight * min(1.0, 0.3 + 0.7 * math.sqrt(share)), said, True)
    offered = []
    for near in store.nodes(list(names.sharing(content, 8 * partial))):
        known = {word: content[word] for word in content if near.kind != "passage" or word in capitals}
        shared, part = _overlap(near, known, names)
        part *= 0.3 if explained.issuperset(shared.split()) else 0.75 if part < 0.85 else 0.9
        share = sum(known[stem(word)] for word in shared.split()) / total
        offered.append((part * math.sqrt(share), near.id, shared))
    for weight, found, said in sorted(offered, key=lambda item: (-item[0], item[1]))[:partial]:
        if weight > 0.1:
            offer(found, weight, said, False)
    return sorted(best.values(), key=lambda link: (-link.weight, link.node))


def _telling(word: str, names: EntityIndex) -> float:
    """How much a word of a question says about what it is after."""
    return names.rarity(stem(word)) * (0.3 if word in LIGHT else 1.0)


def _overlap(node: Node, content: Collection[str], names: EntityIndex) -> tuple[str, float]:
    """The words that a node's name shares with the question, and how much of the name they are, in [0, 1]."""
    best = ("", 0.0)
    for name in (node.name, *node.aliases):
        spelled = key_of(name).split()
        words = [word for word in spelled if word not in STOP]
        shared = [word for word in words if stem(word) in content]
        whole = sum(names.rarity(stem(word)) for word in words) + 0.5 * (len(spelled) - len(words))
        if shared and (part := sum(names.rarity(stem(word)) for word in shared) / whole) > best[1]:
            best = (" ".join(dict.fromkeys(shared)), part)
    return best


# passages ---------------------------------------------------------------------------------------------------------


def further_names(passage: Node) -> list[str]:
    """What the first words of a passage call it besides its title, where that is more than one word."""
    head, title = passage.text[:_HEAD], set(key_of(passage.name).split()) - STOP
    found = _ALSO.findall(head)
    if (first := _FIRST_WORDS.match(head)) and title & set(key_of(first.group(1)).split()):
        found.append(first.group(1))
    return [name for name in (name.strip(" ,.'’") for name in found) if " " in name and len(name) <= 80]


def passage_facts(passage: Node, names: EntityIndex, store: Store) -> list[FactRow]:
    """What ``passage`` names: one fact for each node and relation, its confidence how surely the words mean it."""
    words, text = split_words(passage.text), passage.text
    best: dict[tuple[int, str], float] = {}
    for first, last, nodes, weight in names.scan(words):
        span = words[first:last]
        if not (span[0].capital and span[-1].capital) or passage.id in nodes:
            continue
        if len(span) == 1 and (span[0].folded in STOP or len(span[0].folded) < 3):
            continue
        if _inside_a_longer_name(words, first, last, text):
            weight *= 0.4 if len(span) == 1 else 0.7
        sure = weight / math.sqrt(len(nodes))
        said = said_relations(text, span[0].start, span[-1].end) or {MENTIONS: 0.8}
        for node in nodes:
            for relation, trust in said.items():
                best[node, relation] = max(best.get((node, relation), 0.0), sure * trust)
    targets = {node.id: node for node in store.nodes(sorted({node for node, _ in best}))}
    return [
        FactRow(
            passage.name,
            relation,
            targets[node].name,
            passage.kind,
            targets[node].kind,
            source=LINKED,
            confidence=round(confidence, 3),
            origin=passage.name,
        )
        for (node, relation), confidence in best.items()
        if node in targets
    ]


def _inside_a_longer_name(words: Sequence[Word], first: int, last: int, text: str) -> bool:
    """Whether a capital stands right beside the name: 'Abraham' in 'Abraham Lincoln'."""
    before = first > 1 and words[first - 1].capital and text[words[first - 1].end : words[first].start] == " "
    after = last < len(words) and words[last].capital and text[words[last - 1].end : words[last].start] == " "
    return after or (before and last - first == 1)


def _shorter(name: str) -> list[str]:
    """Folded shorter forms of a title: before a comma, before 'of', without de or von, first and last word."""
    key, found = key_of(name), []
    if "," in name:
        found.append(key_of(name.split(",")[0]))
    found += [" ".join(word for word in form.split() if word not in _PARTICLES) for form in (key, *found)]
    words = key.split()
    if len(words) >= 3 and "," not in name and words[0] not in STOP and not STOP & set(words):
        found.append(f"{words[0]} {words[-1]}")
    if " of " in key and key.split(" of ")[0].count(" "):
        found.append(key.split(" of ")[0])
    return [short for short in found if short and short != key]
