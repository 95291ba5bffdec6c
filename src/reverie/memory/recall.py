"""What the memory has to say about a question: link, spread, and say why. No language model takes part.

1. **Link**: nodes that the question names (``linking``), texts that hold its words (``lexical``), and nodes and facts
   whose vectors are like the question's.
2. **Propagation**: their weight runs along the edges, hop by hop, the strongest nodes first. An edge passes on more
   where the question asks for its relation (``relation_patterns``) and where its source is trusted; a personalised
   PageRank, or random walks drawn towards what is strong, add what many ways lead to.
3. **Judge**: a fact is worth what reaches it; facts that lie behind one another are chains.

Retrieval by spreading over a graph of passages is HippoRAG's idea (arXiv:2405.14831, arXiv:2502.14802), which has a
language model read the passages; here rules do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from reverie.memory.candidates import candidates_of
from reverie.memory.contract import Chain, Node, Place, Recalled
from reverie.memory.judging import Looked, Ranking
from reverie.memory.lexical import Asked, asked_terms, frequencies, held_terms, with_words
from reverie.memory.linking import EntityIndex, Link, link_question
from reverie.memory.moments import asked_span
from reverie.memory.propagation import Propagation, RecallConfig
from reverie.memory.store import Store
from reverie.memory.times import Span, Times, settled
from reverie.memory.vectors import VectorIndex
from reverie.nouns import Fact

if TYPE_CHECKING:
    from reverie.memory.topology import Topology

__all__ = ["RecallConfig", "Recaller"]


class Recaller:
    """Answers questions from one store, its topology, its names, and its vectors where there are any.

    ``node_vectors`` and ``fact_vectors`` belong to one embedder; None recalls by names alone. ``ranking``: what judges
    which of it holds the answer; None leaves that open.
    """

    def __init__(
        self,
        store: Store,
        topology: Topology,
        names: EntityIndex,
        settings: RecallConfig,
        node_vectors: VectorIndex | None = None,
        fact_vectors: VectorIndex | None = None,
        times: Times | None = None,
        ranking: Ranking | None = None,
    ):
        self.times, self.ranking = times or Times(), ranking
        self.store, self.topology, self.names, self.settings = store, topology, names, settings
        self.node_vectors, self.fact_vectors = node_vectors, fact_vectors

    def recall(
        self,
        question: str,
        k: int = 10,
        vector: np.ndarray | None = None,
        starts: Mapping[int, float] | None = None,
        as_of: Span | None = None,
    ) -> Recalled:
        """The ``k`` facts and the ``k`` nodes that matter most to ``question``, and chains of facts.

        Args:
            vector: the question as float32 (D,), for the vectors
            starts: nodes to start from besides those that the question names, with weights in [0, 1]
            as_of: what is to hold; None: what the question says of it, else now
        """
        clock, floor = _Clock(), self.settings.floor
        links = link_question(question, self.names, self.store)[: self.settings.linked]
        clock.mark("link")
        asked = self._asked(question)
        said = self._worded(asked)
        clock.mark("words")
        spread = self.spread(question, links, vector, starts or {}, said)
        clock.mark("spread")
        scores = spread.fact_scores()
        standing = self.times.weigh(self.store, scores, spread.edges, spread.relations, as_of or asked_span(question))
        best = np.argsort(-scores, kind="stable")
        chains = spread.chains(best, scores)
        wanted = dict.fromkeys([*best[: 2 * k].tolist(), *(place for way, _ in chains for place in way)])
        facts = settled(self._told(spread, list(wanted), scores), standing)
        rated = self._within_documents(spread, spread.node_scores())
        top = sorted(rated, key=lambda node: (-rated[node], node))[:k]
        living = {node.id: node for node in self.store.nodes([node for node in top if rated[node] >= floor])}
        clock.mark("judge")
        shown = {place: facts[place] for place in wanted if place in facts and facts[place].score >= floor}
        shown = dict(list(shown.items())[:k])
        nodes = tuple((living[node], rated[node]) for node in top if node in living)
        places = self.store.places([node.id for node in living.values() if node.text])
        told, answered = self._judged(question, asked.counts, spread, shown, nodes, places, vector)
        clock.mark("rank")
        return Recalled(
            question=question,
            facts=tuple(shown.values()),
            chains=tuple(
                Chain(tuple(facts[place] for place in way), score)
                for way, score in chains
                if score >= floor and all(place in facts for place in way)
            )[: self.settings.chains],
            nodes=nodes,
            seconds=sum(clock.parts.values()),
            details=clock.parts,
            places=places,
            told=told,
            answered=answered,
        )

    def _judged(
        self,
        question: str,
        in_texts: Mapping[str, int],
        spread: Propagation,
        facts: Mapping[int, Fact],
        nodes: Sequence[tuple[Node, float]],
        places: Mapping[int, Place],
        vector: np.ndarray | None,
    ) -> tuple[tuple[tuple[Fact | Node, float], ...], bool]:
        """Facts and texts with the probabilities that they hold the answer, best first, and whether any is enough."""
        texts = [node.id for node, _ in nodes if node.text]
        if self.ranking is None or not (facts or texts):
            told: list[tuple[Fact | Node, float]] = [(fact, fact.score) for fact in facts.values()]
            told += [(node, score) for node, score in nodes if node.text]
            return tuple(sorted(told, key=lambda one: -one[1])), bool(told)
        vectors = self.node_vectors if vector is not None else None
        by_vectors = vectors is not None and vectors.embedder == self.ranking.embedder
        like = vectors.similarities(vector, texts).tolist() if vectors is not None and vector is not None else []
        documents = self.store.documents_of(texts)
        looked = Looked.of(question, self.names, in_texts)
        found = candidates_of(spread, looked.said, facts, nodes, places, documents, dict(zip(texts, like)), self.store)
        sure, answered = self.ranking.judge(looked, [one for _, one in found], by_vectors)
        former = [self.times.config.former if isinstance(one, Fact) and not one.holds else 1.0 for one, _ in found]
        ranked = sorted(zip((one for one, _ in found), (sure * former).tolist()), key=lambda one: -one[1])
        return tuple(ranked), answered

    def _asked(self, question: str) -> Asked:
        found = asked_terms(question)
        with self.store.reading() as connection:
            return Asked(found, frequencies(connection, found), len(self.names.passages))

    def _worded(self, asked: Asked) -> dict[int, float]:
        """Nodes whose texts hold words of the question → their coverage of it, in [0, 1]."""
        with self.store.reading() as connection:
            ids = with_words(connection, asked.searched(), self.settings.worded)
        return {node.id: asked.coverage(held_terms(node)) for node in self.store.nodes(ids)}

    def spread(
        self,
        question: str,
        links: Sequence[Link],
        vector: np.ndarray | None,
        starts: Mapping[int, float],
        said: Mapping[int, float],
    ) -> Propagation:
        """How strongly the graph answers to ``question``."""
        settings = self.settings
        like_nodes = _alike(vector, self.node_vectors, 5 * settings.similar)
        like_facts = _alike(vector, self.fact_vectors, settings.similar)
        near = {node: like for node, like in list(like_nodes.items())[: settings.similar] if like >= settings.near}
        start_nodes = {node: settings.like * like for node, like in near.items()}
        for edge in self.store.edges([edge for edge, like in like_facts.items() if like >= settings.near]):
            for node in (edge.subject, edge.object):
                start_nodes[node] = max(start_nodes.get(node, 0.0), settings.like * like_facts[edge.id])
        for node, weight in [*((link.node, link.weight) for link in links), *starts.items()]:
            start_nodes[node] = max(start_nodes.get(node, 0.0), weight)
        spread = Propagation(question, links, start_nodes, self.store.relations(), settings, like_nodes, like_facts)
        spread.said = dict(said)
        spread.run(self.topology)
        if vector is not None and self.node_vectors is not None and len(spread.edges):
            ends = np.unique(np.concatenate((spread.subjects, spread.objects)))
            alike = np.clip(self.node_vectors.similarities(vector, ends), 0, 1).astype(float)
            spread.like_nodes = dict(zip(ends.tolist(), alike.tolist(), strict=True)) | like_nodes
        return spread

    def _within_documents(self, spread: Propagation, rated: dict[int, float]) -> dict[int, float]:
        """``rated``, where a document that the question names is named with all its passages: what else speaks for one
        of them decides between them, not that it bears the title."""
        numbers = self.store.documents_of([node for node in rated if node in self.names.passages])
        named: dict[int, float] = {}
        for node, number in numbers.items():
            link = spread.links.get(node)
            if link is not None and link.exact:
                named[number] = max(named.get(number, 0.0), self.settings.titled * link.weight)
        for node, number in numbers.items():
            if number in named:
                rated[node] = 1 - (1 - named[number]) * (1 - spread.own_score(node))
        return rated

    def _told(self, spread: Propagation, places: Sequence[int], scores: np.ndarray) -> dict[int, Fact]:
        """Facts in words, with scores and reasons, by their place; those that are deleted by now are left out."""
        by_id = {int(spread.edges[place]): place for place in places}
        return {
            by_id[fact.id]: replace(fact, score=float(scores[by_id[fact.id]]), reason=spread.why(by_id[fact.id]))
            for fact in self.store.facts(list(by_id))
        }


class _Clock:
    """Seconds of each part, in order."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, part: str) -> None:
        now = time.perf_counter()
        self.parts[part] = now - self._last
        self._last = now


def _alike(vector: np.ndarray | None, index: VectorIndex | None, count: int) -> dict[int, float]:
    """Ids most like ``vector`` -> likeness in [0, 1], best first."""
    if vector is None or index is None or not count:
        return {}
    ids, similarity = index.search(vector, count)
    return {int(key): max(0.0, float(value)) for key, value in zip(ids[0], similarity[0], strict=True)}
