"""From words to nodes: which names stand in a question, and which stand in a passage. No model takes part.

``EntityIndex`` knows every name and alias of the store, folded: without case, accents and punctuation. A **passage** is
joined to the passages and entities that its text names, by the relation that the words before the name speak of
(``cues``): its title names it, also without what stands in parentheses, and its first words may give it further names.
"""

from __future__ import annotations

import gc
import math
import re
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from reverie.data import FactRow
from reverie.memory.contract import Node
from reverie.memory.relation_patterns import MENTIONS, said_relations, stem
from reverie.memory.scripts import is_unspaced
from reverie.memory.spelling import (
    SpelledWords,
    Word,
    alone_in_its_script,
    key_of,
    near_word,
    split_words,
)
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
_LONGEST, _LONGEST_RUN = 16, 24  # words of a name; letters, where it has no spaces
_FEW = 8  # nodes of one name that are kept in a tuple: all passages of a document may have the same
_Names = dict[str, int | tuple[int, ...] | dict[int, None]]  # a folded name → its nodes
_CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’.\-]*"
_SMALL = r"(?:of|the|de|da|di|du|von|van|der|den|la|le|bin|ibn|al|and|&)"
_SPAN = rf"{_CAPITAL}(?:,? (?:{_SMALL} )*(?:{_CAPITAL}|\d+(?:st|nd|rd|th)))*"
_FIRST_WORDS = re.compile(rf"^[\"“ ]*({_SPAN})")
_ALSO = re.compile(
    r"(?:known as|a\.?k\.?a\.?|née|released as|English (?:title|version)|original title|retitled|also spelled"
    rf"|personal name|styled|born)[ :,]*[\"“']?\s*({_SPAN})"
)
_PARTICLES = frozenset("de da di du von van der den la le bin ibn al".split())
_PARENTHESES = re.compile(r"\s*\([^)]*\)\s*$")
_CHUNK = 5_000  # passages read at a time
_MENDED = 0.8  # what a word counts of which one letter was wrong: a name that is spelled right comes first
_HEAD = 400  # characters of a passage that may give it further names


@dataclass(frozen=True)
class Link:
    """A node that a question speaks of. ``weight`` in (0, 1]; ``words``: those of the question that name it."""

    node: int
    weight: float
    words: str
    exact: bool = True


def bare_name(name: str) -> str:
    """``name`` without what stands in parentheses at its end."""
    return (_PARENTHESES.sub("", name) or name) if "(" in name else name


class EntityIndex:
    """Every name in the store -> its nodes; follows the store by change number. Names of more than 16 words, or of more
    than 24 letters in a script without spaces, are not looked for."""

    def __init__(self) -> None:
        self.seq = 0
        self.passages: set[int] = set()
        self._nodes: _Names = {}
        self._short: _Names = {}  # a passage's name without some of its words
        self._longest: dict[str, int] = {}  # first word -> words of the longest name that starts with it
        self._by_stem: dict[str, array[int]] = {}
        self._spelled = SpelledWords()
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
        with _no_collection():  # nothing here is garbage, and looking for some doubles the time
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
        words = key.split() if key.isascii() else [word for word in key.split() if not is_unspaced(word)]
        self._spelled.add(words)
        for word in {stem(word) for word in words}:
            posted = self._by_stem.get(word)
            if posted is None:
                self._by_stem[word] = array("q", (node,))
            elif posted[-1] != node:
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
        found = (nodes,) if isinstance(nodes, int) else tuple(nodes)
        return (tuple(node for node in found if node not in self._gone) if self._gone else found), weight

    def scan(self, words: Sequence[Word], text: str = "") -> list[tuple[int, int, tuple[int, ...], float]]:
        """Names in ``words`` of ``text``, the longest at each place: (first word, word after it, nodes, weight)."""
        found, place = [], 0
        while place < len(words):
            longest = min(self._longest.get(words[place].folded, 0), len(words) - place)
            taken = 1
            for length in range(longest, 0, -1):
                nodes, weight = self.find(" ".join(word.folded for word in words[place : place + length]))
                if nodes and (length > 1 or not text or alone_in_its_script(words, place, text)):
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

    def bearers(self, stemmed: str) -> int:
        """How many names hold a word."""
        return len(self._by_stem.get(stemmed, ()))

    def corrected(self, word: str) -> str:
        """``word``, or the commonest known word one letter (or two that are swapped) from it where no name holds it."""
        near = [] if word in STOP or stem(word) in self._by_stem else self._spelled.near(word)
        return min(near, key=lambda found: (-len(self._by_stem.get(stem(found), ())), found)) if near else word

    def _put(self, names: _Names, key: str, node: int) -> None:
        length = key.count(" ") + 1
        first = key.split(" ", 1)[0]
        if length > _LONGEST and (length > _LONGEST_RUN or not is_unspaced(first)):
            return
        before = names.setdefault(key, node)
        if before is node:
            pass
        elif isinstance(before, int):
            names[key] = before if before == node else (before, node)
        elif isinstance(before, dict):
            before[node] = None
        elif node not in before:
            names[key] = (*before, node) if len(before) < _FEW else dict.fromkeys((*before, node))
        if length > self._longest.get(first, 0):
            self._longest[first] = length


@contextmanager
def _no_collection() -> Iterator[None]:
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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
    words = [
        word if (mended := names.corrected(word.folded)) == word.folded else replace(word, folded=mended, mended=True)
        for word in words
    ]
    told = any(word.capital for word in words[1:])  # capitals tell names from other words
    content = {stem(word.folded): _telling(word.folded, names) for word in words if _tells(word)}
    capitals = {stem(word.folded) for word in words if word.capital or not told}
    total = sum(content.values()) or 1.0
    best: dict[int, Link] = {}
    explained: set[str] = set()  # words that a name in full accounts for

    def offer(node: int, weight: float, said: str, exact: bool) -> None:
        if node not in best or best[node].weight < weight:
            best[node] = Link(node, weight, said, exact)

    for first, last, nodes, weight in names.scan(words, question):
        span = words[first:last]
        capital = any(word.capital for word in span[first == 0 :])
        exact = not any(word.mended for word in span)
        weight *= 1.0 if exact else _MENDED
        if all(word.folded in _EMPTY for word in span) and not (capital and len(span) > 1):
            continue
        said = question[span[0].start : span[-1].end]
        share = sum(content.get(stem(word.folded), 0.0) for word in span) / total
        if capital:
            explained.update(word.folded for word in span)
        for node in nodes:
            if capital:
                offer(node, weight, said, exact)
            elif node not in names.passages or not told:
                offer(node, weight * min(1.0, 0.3 + 0.7 * math.sqrt(share)), said, exact)
    offered, named = [], [word.folded for word in words[1:] if word.capital and _tells(word)]
    for near in store.nodes(list(names.sharing(content, 8 * partial))):
        known = {word: content[word] for word in content if near.kind != "passage" or word in capitals}
        shared, part = _overlap(near, known, names, named)
        part *= 0.3 if explained.issuperset(shared.split()) else 0.75 if part < 0.85 else 0.9
        share = sum(known[stem(word)] for word in shared.split()) / total
        offered.append((part * math.sqrt(share), near.id, shared))
    for weight, found, said in sorted(offered, key=lambda item: (-item[0], item[1]))[:partial]:
        if weight > 0.1:
            offer(found, weight, said, False)
    return sorted(best.values(), key=lambda link: (-link.weight, link.node))


def _tells(word: Word) -> bool:
    """Whether a word of a question may say what it is after, alone: no letter of a script without spaces does."""
    return word.folded not in STOP and not is_unspaced(word.folded)


def _telling(word: str, names: EntityIndex) -> float:
    """How much a word of a question says about what it is after."""
    return names.rarity(stem(word)) * (0.3 if word in LIGHT else 1.0)


def _overlap(node: Node, content: Collection[str], names: EntityIndex, asked: Sequence[str]) -> tuple[str, float]:
    """The words that a node's name shares with the question, and how much of the name they are, in [0, 1]. A word of
    the question that stands for a name (``asked``) and is one letter from one of the node's counts, but less."""
    best = ("", 0.0)
    for name in (node.name, *node.aliases):
        spelled = key_of(name).split()
        words = [word for word in spelled if word not in STOP]
        shared = [word for word in words if stem(word) in content]
        whole = sum(names.rarity(stem(word)) for word in words) + 0.5 * (len(spelled) - len(words))
        part = sum(names.rarity(stem(word)) for word in shared)
        for word in words if shared and len(shared) < len(words) else ():
            near = near_word(word, asked) if stem(word) not in content else ""
            if near and stem(near) in content and names.rarity(stem(near)) >= names.rarity(stem(word)):
                shared.append(near)
                part += _MENDED * names.rarity(stem(word))
        if shared and part / whole > best[1]:
            best = (" ".join(dict.fromkeys(shared)), part / whole)
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
    for first, last, nodes, weight in names.scan(words, text):
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
