"""Texts by the words that they share with a question: the database's own index finds them, and here they are judged.

SQLite ranks by BM25 (FTS5), PostgreSQL by its full-text search. Neither rank means anything beside that of another
question, so what is found is judged anew by its **coverage**: how much of what the question asks with it names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, text

from reverie.memory.contract import Node
from reverie.memory.linking import LIGHT, STOP
from reverie.memory.scripts import is_unspaced
from reverie.memory.spelling import WORD, fold
from reverie.memory.terms import spaced_terms, terms

__all__ = [
    "MOST_CHARS",
    "Asked",
    "asked_terms",
    "frequencies",
    "held_terms",
    "rarity",
    "share_of",
    "speaking_of",
    "with_words",
]

MOST_CHARS = 20_000  # of a question that are read
_MOST_TERMS = 24  # of a question, the rarest
_COMMON = 0.1  # share of all texts from which a word finds too many, where the question has rarer ones
_KANA = re.compile("[ぁ-ゖ]{1,2}")  # what joins words in Japanese
_PHRASES = 50  # names that are looked for at a time
_LIGHT = 0.3  # what a word such as "find" says, of another one as rare


class Asked:
    """The words of a question, with how much each tells: less where many texts hold it."""

    def __init__(self, found: Mapping[str, float], counts: Mapping[str, int], num_texts: int):
        self.counts = {term: counts.get(term, 0) for term in found}
        self.num_texts = max(num_texts, *self.counts.values(), 1)
        self.weights = {term: light * self._rarity(term) for term, light in found.items()}

    def _rarity(self, term: str) -> float:
        count = self.counts[term]
        rare = rarity(count, self.num_texts)
        return rare if count or not is_unspaced(term) else _LIGHT * rare  # two letters that meet by chance

    def coverage(self, held: Collection[str]) -> float:
        """The share, in [0, 1], of what the question asks with that stands among ``held``."""
        return share_of(self.weights, held)

    def searched(self) -> list[str]:
        """The terms that are worth looking for: known ones, the rarest, and common ones only where all are."""
        known = sorted((count, term) for term, count in self.counts.items() if count)
        rare = [term for count, term in known if count <= max(20.0, _COMMON * self.num_texts)]
        return (rare or [term for _, term in known])[:_MOST_TERMS]


def rarity(count: int, num: int) -> float:
    """How much a term tells that ``count`` of ``num`` hold."""
    return math.log((num + 50) / (count + 5) + 0.1)


def share_of(weights: Mapping[str, float], held: Collection[str]) -> float:
    """The share, in [0, 1], of the weight of all terms that those have which stand among ``held``."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in held) / total if total else 0.0


def asked_terms(question: str) -> dict[str, float]:
    """The terms of a question that say what it is about, with how light they are; of its first ``MOST_CHARS``."""
    found: dict[str, float] = {}
    for word in WORD.findall(question[:MOST_CHARS]):
        if (folded := fold(word)) not in STOP:
            for term in terms(word):
                if not _KANA.fullmatch(term):
                    found.setdefault(term, _LIGHT if folded in LIGHT else 1.0)
    return found


def frequencies(connection: Connection, found: Iterable[str]) -> dict[str, int]:
    """In how many texts each term stands."""
    wanted = list(found)
    if connection.dialect.name != "sqlite":
        asked = text(f"SELECT count(*) FROM nodes WHERE {_POSTGRES_MATCH}")
        return {term: connection.execute(asked, {"query": _postgres_query([term])}).scalar_one() for term in wanted}
    counts: dict[str, int] = {}
    for start in range(0, len(wanted), 500):
        marks = {f"t{place}": term for place, term in enumerate(wanted[start : start + 500])}
        asked = text(f"SELECT term, doc FROM word_counts WHERE term IN (:{', :'.join(marks)})")
        counts |= dict(tuple(row) for row in connection.execute(asked, marks))
    return counts


def with_words(connection: Connection, searched: Sequence[str], limit: int) -> list[int]:
    """Nodes whose texts hold some of these terms, best first."""
    if not searched:
        return []
    if connection.dialect.name == "sqlite":
        query = " OR ".join(f'"{term}"' for term in searched)  # of letters and digits alone
        asked = "SELECT rowid FROM words WHERE words MATCH :query ORDER BY bm25(words, 2.0, 1.0) LIMIT :limit"
    else:
        query = _postgres_query(searched)
        asked = (
            f"SELECT id FROM nodes WHERE {_POSTGRES_MATCH} ORDER BY ts_rank_cd("
            "to_tsvector('english', name || ' ' || text), to_tsquery('english', :query), 1) DESC, id LIMIT :limit"
        )
    return list(connection.execute(text(asked), {"query": query, "limit": limit}).scalars())


def speaking_of(connection: Connection, names: Iterable[str]) -> set[int]:
    """Nodes whose texts hold one of these names, by the words that it is looked up by."""
    if connection.dialect.name != "sqlite":
        asked = text(f"SELECT id FROM nodes WHERE {_POSTGRES_TEXT} @@ phraseto_tsquery('english', :name)")
        return {node for name in names for node in connection.execute(asked, {"name": name}).scalars()}
    phrases = sorted({f'"{spaced}"' for name in names if (spaced := spaced_terms(name))})
    asked = text("SELECT rowid FROM words WHERE words MATCH :query")
    found: set[int] = set()
    for start in range(0, len(phrases), _PHRASES):
        query = " OR ".join(phrases[start : start + _PHRASES])
        found.update(connection.execute(asked, {"query": f"text : ({query})"}).scalars())
    return found


def held_terms(node: Node) -> set[str]:
    return set(terms(f"{node.name} {node.text}"))


_POSTGRES_TEXT = "text IS NOT NULL AND gone IS NULL AND to_tsvector('english', name || ' ' || text)"
_POSTGRES_MATCH = f"{_POSTGRES_TEXT} @@ to_tsquery('english', :query)"


def _postgres_query(found: Sequence[str]) -> str:
    return " | ".join(f"'{term}':*" for term in found)  # its stems are longer than ours
