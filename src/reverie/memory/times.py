"""Which facts hold at a moment: their own periods, and of relations with one value at a time the newest trusted one.

A relation has **one value at a time** where somebody declared so, where the facts show it (``learn_relations``), or,
among dated values alone, where it usually has (``periods.USUAL``). What began there at a moment ends what was before,
if its sources are trusted: sources that say the same add up. What is not said to begin counts from when it was said,
and where nothing dated covers a moment, from ever.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import inf, prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reverie.errors import MemoryStoreError
from reverie.memory.periods import Held, RelationMode
from reverie.memory.relation_patterns import denied_relation, relation_words
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.memory.contract import Edge
    from reverie.memory.store import Store

__all__ = ["Change", "Span", "Standing", "Times", "TimesConfig", "as_span", "changes_of", "settled"]

_LOG = logging.getLogger("reverie.memory")
_CLASH = "contradicted: its source says something else of the same time"

Span = tuple[float, float]  # from a moment up to another, seconds since 1970; the same one twice: a moment


@dataclass(frozen=True)
class TimesConfig:
    """How facts that change are settled."""

    trusted: float = 0.5  # confidence, of all sources that say the same, from which a newer value ends an older one
    former: float = 0.3  # what is left of the score of a fact that does not hold at the moment that is asked about
    looked_at: int = 200  # most facts, of those that answer best, whose times are looked at


class Change(NamedTuple):
    """What a subject's relation comes to at a moment: a value (the id of a node), and the edges that say so."""

    begins: float
    value: int
    edges: tuple[Held, ...]


@dataclass(frozen=True)
class Standing:
    """How a fact stands at the span that is asked about. ``share``: of the span, in which it holds, in [0, 1]."""

    share: float = 1.0
    valid_from: float | None = None
    valid_to: float | None = None
    notes: tuple[str, ...] = ()

    def told(self, fact: Fact) -> Fact:
        """``fact`` with the period in which it holds, and what is to be said of it."""
        reason = "; ".join(filter(None, (*self.notes, fact.reason)))
        return replace(fact, valid_from=self.valid_from, valid_to=self.valid_to, holds=self.share > 0.0, reason=reason)


class Times:
    """What a store says of when its facts hold; follows it by change number."""

    def __init__(self, config: TimesConfig | None = None):
        self.config = config or TimesConfig()
        self._seq = -1
        self._modes: dict[int, RelationMode] = {}
        self._dated = False

    def refresh(self, store: Store) -> None:
        """Follow ``store``, and learn anew which relations hold one value at a time where it has grown by a quarter."""
        seq = store.seq()
        if seq != self._seq:
            try:
                store.learn_relations()
            except MemoryStoreError as error:  # it can wait, the question cannot
                _LOG.warning("relations are not judged: %s", error)
            self._modes = {mode.id: mode for mode in store.relation_modes()}
            self._dated = store.has_dated_facts()
            self._seq = seq

    def weigh(
        self, store: Store, scores: np.ndarray, edges: np.ndarray, relations: np.ndarray, span: Span
    ) -> dict[int, Standing]:
        """``settle`` for the edges of the best ``scores`` (E,), and lower those, in place, of what does not hold."""
        best = np.argsort(-scores, kind="stable")[: self.config.looked_at]
        standing = self.settle(store, edges[best].tolist(), relations[best].tolist(), span)
        for place in best.tolist() if standing else ():
            if (stands := standing.get(int(edges[place]))) is not None:
                scores[place] *= 0.9 + 0.1 * stands.share if stands.share else self.config.former
        return standing

    def settle(self, store: Store, edges: Sequence[int], relations: Sequence[int], span: Span) -> dict[int, Standing]:
        """How those of these edges (of these relations) stand in ``span`` of which there is something to say."""
        one = {number for number, mode in self._modes.items() if mode.one and (mode.why != "usual" or self._dated)}
        denied = self._denied()
        asked = [
            edge
            for edge, relation in zip(edges, relations, strict=True)
            if self._dated or relation in one or relation in denied
        ]
        found = {held.id: held for held in store.held(asked)} if asked else {}
        standing = {held.id: _alone(held, span) for held in found.values() if held.dated or held.ends < inf}
        rivals = {held.subject for held in found.values() if held.relation in one}
        by_pair: dict[tuple[int, int], list[Held]] = defaultdict(list)
        for held in store.held_by(rivals, one) if rivals else ():
            if held.dated or self._modes[held.relation].why != "usual":
                by_pair[held.subject, held.relation].append(held)
        for (_, relation), group in by_pair.items():
            if len({held.object for held in group}) < 2:
                continue
            if self._modes[relation].why == "usual" and (several := {h.id for h in group if _clashes(h, group)}):
                for held in group:  # here it has several values at a time, or somebody contradicts themselves
                    standing[held.id] = _alone(held, span, (_CLASH,) if held.id in several else ())
            else:
                standing |= _settled(group, span, self.config)
        self._note_denials(store, found, denied, standing)
        return {edge: standing[edge] for edge in found if edge in standing}

    def holding(self, store: Store, edges: Sequence[Edge], as_of: Span | float | None = None) -> list[Fact]:
        """Those of some edges that hold, now or ``as_of``, in words."""
        self.refresh(store)
        numbers = {mode.name: mode.id for mode in self._modes.values()}
        ids, now = [edge.id for edge in edges], time.time()
        standing = self.settle(store, ids, [numbers[edge.relation] for edge in edges], as_span(as_of) or (now, now))
        facts = settled({fact.id: fact for fact in store.facts(ids)}, standing).values()
        return [fact for fact in facts if fact.holds]

    def _denied(self) -> dict[int, int]:
        """Relation -> the one that says the opposite (NotDesires of Desires), both ways, by their numbers."""
        by_words = {relation_words(mode.name): mode.id for mode in self._modes.values()}
        pairs = {
            number: by_words[positive]
            for words, number in by_words.items()
            if (positive := denied_relation(words)) in by_words
        }
        return pairs | {positive: negative for negative, positive in pairs.items()}

    def _note_denials(
        self, store: Store, found: Mapping[int, Held], denied: Mapping[int, int], standing: dict[int, Standing]
    ) -> None:
        about = [held for held in found.values() if held.relation in denied]
        if not about:
            return
        said = set(store.between_the_same([held.id for held in about], set(denied)))
        for held in about:
            if (held.id, denied[held.relation]) in said:
                before = standing.get(held.id, _period(held))
                note = f"contradicted: {self._modes[denied[held.relation]].name} is said too"
                standing[held.id] = replace(before, notes=(*before.notes, note))


def as_span(moment: Span | float | None) -> Span | None:
    return (moment, moment) if isinstance(moment, (int, float)) else moment


def settled(facts: Mapping[int, Fact], standing: Mapping[int, Standing]) -> dict[int, Fact]:
    """Facts, under whatever keys, with what is to be said of their times."""
    return {key: standing[fact.id].told(fact) if fact.id in standing else fact for key, fact in facts.items()}


def changes_of(group: Iterable[Held], config: TimesConfig) -> list[Change]:
    """What one subject's relation comes to, in the order of time.

    A value takes over at a moment where its sources, together, are trusted, or at least as much as those of the value
    that it ends. Of several that begin at once the most trusted one does, of equally trusted ones the last written.
    """
    found: list[Change] = []
    since: list[Held] = []  # what was said since the value that stands began
    ordered = sorted(group, key=lambda held: (held.begins, held.id))
    for begins, saying in groupby(ordered, key=lambda held: held.begins):
        begun = list(saying)
        since += begun
        said = {value: tuple(one for one in since if one.object == value) for value in {one.object for one in begun}}
        value = max(said, key=lambda one: (_trust(said[one]), said[one][-1].id))
        now = found[-1] if found else None
        if now is not None and value == now.value:
            found[-1] = now._replace(edges=said[value])
        elif now is None or _trust(said[value]) >= min(config.trusted, _trust(now.edges)):
            found.append(Change(begins, value, said[value]))
            since = begun
    return found


def _trust(edges: Iterable[Held]) -> float:
    """The confidence of some edges that say the same: that not all of their sources are wrong."""
    most: dict[int, float] = {}
    for held in edges:
        most[held.source] = max(most.get(held.source, 0.0), held.confidence)
    return 1 - prod(1 - confidence for confidence in most.values())


def _settled(group: Sequence[Held], span: Span, config: TimesConfig) -> dict[int, Standing]:
    """How each edge of one subject's relation stands in ``span``."""
    changes = changes_of(group, config)
    marks = {moment for held in group for moment in (held.begins, held.ends)} | {-inf, inf}
    periods: dict[int, list[Span]] = {held.id: [] for held in group}
    for low, high in pairwise(sorted(marks)):
        for held in _holding(changes, low):
            runs = periods[held.id]
            if runs and runs[-1][1] == low:
                low = runs.pop()[0]
            runs.append((low, high))
    return {held.id: _standing(held, group, periods[held.id], span) for held in group}


def _holding(changes: Sequence[Change], moment: float) -> list[Held]:
    """The edges that hold from a moment on: of the last change, else of what was said to hold for longer than that."""
    past = [change for change in changes if change.begins <= moment]
    for place, change in enumerate(reversed(past)):
        going = [held for held in change.edges if held.begins <= moment < held.ends and (not place or held.ends < inf)]
        if going:
            return going
    if past:
        return []
    ever = ([held for held in change.edges if not held.dated and moment < held.ends] for change in changes)
    return next((edges for edges in ever if edges), [])


def _standing(held: Held, group: Sequence[Held], periods: Sequence[Span], span: Span) -> Standing:
    share = max((_share(period, span) for period in periods), default=0.0)
    notes = []
    if not share:
        if held.begins >= max(span[1], span[0] + 1e-6):
            notes.append("not yet")
        else:
            notes.append("former" if periods else "less trusted than what is said against it")
    if _clashes(held, group):
        notes.append(_CLASH)
    own = _period(held)
    ends = [high for low, high in periods if low <= span[0]] or [high for _, high in periods]
    ended = ends[-1] if ends and ends[-1] < inf else own.valid_to
    return Standing(share, own.valid_from, ended, tuple(notes))


def _clashes(held: Held, group: Iterable[Held]) -> bool:
    """Whether its source says something else of the same moment."""
    said = (held.source, held.begins)
    return held.dated and any((one.source, one.begins) == said and one.object != held.object for one in group)


def _alone(held: Held, span: Span, notes: tuple[str, ...] = ()) -> Standing:
    """How an edge stands that no other one ends."""
    low = held.begins if held.dated else -inf
    share = _share((low, held.ends), span)
    note = () if share else ("not yet",) if low > span[0] else ("former",)
    return replace(_period(held), share=share, notes=(*note, *notes))


def _period(held: Held) -> Standing:
    """What is said of when an edge holds."""
    return Standing(valid_from=held.begins if held.dated else None, valid_to=held.ends if held.ends < inf else None)


def _share(period: Span, span: Span) -> float:
    """The share of ``span`` that lies in ``period``, in [0, 1]."""
    (low, high), (first, last) = period, span
    if first == last:
        return float(low <= first < high)
    return max(0.0, min(high, last) - max(low, first)) / (last - first)
