"""How the weight of what a question names runs along the edges, what that makes each fact and node worth, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from reverie.errors import ConfigError
from reverie.memory.linking import Link
from reverie.memory.relation_patterns import asked_relations

if TYPE_CHECKING:
    from reverie.memory.topology import Topology

__all__ = ["Propagation", "RecallConfig"]


@dataclass(frozen=True)
class RecallConfig:
    """How a question is answered from the graph. Weights are shares of 1."""

    hops: int = 2  # steps from the nodes that the question names
    linked: int = 24  # most nodes to start from
    similar: int = 10  # most nodes, and facts, that are taken for their vectors
    frontier: int = 32  # nodes whose edges are followed in each hop
    neighbours: int = 128  # edges followed of each
    asked: float = 0.9  # what passes along an edge whose relation the question asks for
    other: float = 0.4  # what passes along any other
    back: float = 0.7  # what of it passes against an edge's direction
    like: float = 0.2  # most that likeness of vectors adds
    words: float = 0.5  # most that a text that holds the question's words adds
    titled: float = 0.8  # what the title of a document gives each of its passages
    worded: int = 24  # texts that are looked at for that
    near: float = 0.35  # likeness of vectors below which it says nothing
    floor: float = 0.1  # score below which nothing is told
    spread: float = 0.1  # most that the personalised PageRank, or the walks, add
    spread_by: Literal["pagerank", "walks", "nothing"] = "pagerank"
    damping: float = 0.5  # of the PageRank; answers lie near the question
    walks: int = 256  # random walks, where they spread
    chains: int = 5  # most reasoning chains
    lazy: int = 16  # most texts that are embedded on the way to an answer

    def __post_init__(self) -> None:
        for name in ("linked", "frontier", "neighbours"):
            if getattr(self, name) < 1:
                raise ConfigError(f"recall: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("hops", "similar", "walks", "chains", "lazy", "worded"):
            if getattr(self, name) < 0:
                raise ConfigError(f"recall: {name} must not be negative, got {getattr(self, name)}")
        for name in ("asked", "other", "back", "like", "words", "titled", "near", "floor", "spread", "damping"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"recall: {name} lies between 0 and 1, got {getattr(self, name)}")


class Propagation:
    """How strongly each node and edge answers to one question.

    ``value``: node -> [0, 1]. ``way``: node -> place of the edge that reached it best. Columns of equal length, one
    entry an edge: ``edges`` ids, ``subjects`` and ``objects`` node ids, ``relations`` numbers, ``ahead`` and ``behind``
    the share of a node's value that passes from subject to object and back.
    """

    def __init__(
        self,
        question: str,
        links: Sequence[Link],
        start_nodes: Mapping[int, float],
        relations: Sequence[str],
        settings: RecallConfig,
        like_nodes: Mapping[int, float],
        like_facts: Mapping[int, float],
    ):
        self.settings, self.start_nodes, self.relation_names = settings, dict(start_nodes), list(relations)
        self.links = {link.node: link for link in links}
        self.asked = asked_relations(question, relations)
        self.like_nodes, self.like_facts = dict(like_nodes), dict(like_facts)
        self.value, self.way = dict(start_nodes), dict[int, int]()
        self.support: dict[int, float] = {}
        self.said: dict[int, float] = {}
        self.edges = self.subjects = self.objects = self.relations = np.zeros(0, np.int64)
        self.ahead = self.behind = np.zeros(0)
        self._onward = np.zeros(0, bool)  # (E,): reached from its subject

    def run(self, topology: Topology) -> None:
        """Let the weight of the start nodes run along the edges, hop by hop, from the strongest nodes."""
        followed: set[int] = set()
        for _ in range(self.settings.hops):
            waiting = [node for node in self.value if node not in followed]
            frontier = sorted(waiting, key=lambda node: (-self.value[node], node))[: self.settings.frontier]
            if not frontier:
                break
            followed.update(frontier)
            self._follow(topology, frontier)
            self._pass_on(np.array(frontier))
        self._add_support(topology)

    def fact_scores(self) -> np.ndarray:
        """float64 (E,) in [0, 1]: what reaches a fact from its nearer end, how like the question it or its far end is,
        and how many ways lead to that."""
        ahead, behind = self._arriving()
        self._onward = ahead >= behind
        far = np.where(self._onward, self.objects, self.subjects)
        reached = np.maximum(ahead, behind)
        like = np.maximum(self._values(far, self.like_nodes), self._values(self.edges, self.like_facts))
        named = 0.5 * np.minimum(
            self._values(self.subjects, self.start_nodes), self._values(self.objects, self.start_nodes)
        )
        more = self._values(far, self.support)
        scores: np.ndarray = 1 - (1 - reached) * (1 - self.settings.like * like) * (1 - named) * (1 - more)
        return np.where(self.subjects == self.objects, 0.5 * scores, scores)  # that a book is a book helps nobody

    def node_scores(self) -> dict[int, float]:
        """Node -> [0, 1]: how it was reached, how like the question it is, how many ways lead to it, and how much of
        the question its text holds."""
        values = dict.fromkeys([*self._near(), *self.said], 0.0) | self.value
        return {node: 1 - (1 - value) * (1 - self.own_score(node)) for node, value in values.items()}

    def own_score(self, node: int) -> float:
        """What speaks for a node, in [0, 1], besides what names it and what it was reached from."""
        like = self.settings.like * self.like_nodes.get(node, 0.0)
        words = self.settings.words * self.said.get(node, 0.0) ** 2
        return 1 - (1 - like) * (1 - words) * (1 - self.support.get(node, 0.0))

    def _near(self) -> list[int]:
        """Nodes that are recalled for their vectors alone."""
        return [node for node, like in self.like_nodes.items() if like >= self.settings.near]

    def chains(self, best: np.ndarray, scores: np.ndarray) -> list[tuple[list[int], float]]:
        """Facts that lie behind one another, as places, best first: the ways from what the question names over other
        nodes to the ``best`` facts. A chain is worth the geometric mean of its facts, less where it turns round.
        """
        found: dict[frozenset[int], tuple[list[int], float]] = {}
        for place in best[: 40 * self.settings.chains].tolist():
            for near in (int(self.subjects[place]), int(self.objects[place])):
                way = [*self.path(near), place]
                nodes = {*self.subjects[way].tolist(), *self.objects[way].tolist()}
                if len(way) > 1 and len(nodes) == len(way) + 1:  # no way turns back
                    onward = all(self.objects[a] == self.subjects[b] for a, b in pairwise(way))
                    worth = float(np.exp(np.log(scores[way] + 1e-9).mean())) * (1.0 if onward else 0.8)
                    found.setdefault(frozenset(way), (way, worth))
        kept: list[tuple[list[int], float]] = []
        for way, worth in sorted(found.values(), key=lambda item: -item[1]):
            if sum(way[0] == other[0] for other, _ in kept) < 2:  # not the same beginning again and again
                kept.append((way, worth))
        return kept[: self.settings.chains]

    def path(self, node: int) -> list[int]:
        """Places of the edges that lead from a start node to ``node``, first to last."""
        places: list[int] = []
        while node in self.way and self.way[node] not in places:
            place = self.way[node]
            places.append(place)
            node = int(self.objects[place] if self.subjects[place] == node else self.subjects[place])
        return places[::-1]

    def why(self, place: int) -> str:
        """Why the edge at ``place`` was recalled, in words."""
        ends = int(self.subjects[place]), int(self.objects[place])
        reasons = list(dict.fromkeys(_named(self.links[node]) for node in ends if node in self.links))
        if not reasons:
            ways = [way for way in map(self.path, ends) if way and way[-1] != place]
            reasons += [self._steps(min(ways, key=len))] if ways else []
        if cue := self._cue(place):
            reasons.append(f"'{cue}' asks for {self._relation(place)}")
        like = max(self.like_facts.get(int(self.edges[place]), 0.0), *(self.like_nodes.get(node, 0.0) for node in ends))
        return "; ".join([*reasons, f"like the question: {like:.2f}"] if like else reasons)

    def is_onward(self, place: int) -> bool:
        """Whether the edge at ``place`` was reached from its subject."""
        return bool(self._onward[place])

    def near_end(self, place: int) -> int:
        """The node from which the edge at ``place`` was reached."""
        return int(self.subjects[place] if self._onward[place] else self.objects[place])

    def how_asked(self, place: int) -> float:
        """How far the question asks for the edge's relation, in the direction in which it was reached, in [0, 1]."""
        weights = self.asked.forward if self._onward[place] else self.asked.backward
        number = int(self.relations[place])
        return float(weights[number]) if number < len(weights) else 0.0

    def _follow(self, topology: Topology, frontier: Sequence[int]) -> None:
        """Add the edges of the nodes ``frontier`` that are not there yet."""
        graph = topology.expand(frontier, hops=1, k=self.settings.neighbours)
        fresh = ~np.isin(graph.edges, self.edges)
        trust, relations = np.clip(graph.weights[fresh], 0, 1), graph.relations[fresh]
        self.edges = np.concatenate((self.edges, graph.edges[fresh]))
        self.subjects = np.concatenate((self.subjects, graph.nodes[graph.subjects[fresh]]))
        self.objects = np.concatenate((self.objects, graph.nodes[graph.objects[fresh]]))
        self.relations = np.concatenate((self.relations, relations))
        settings, known = self.settings, relations < len(self.relation_names)  # others came after the question did
        for side, weights in (("ahead", self.asked.forward), ("behind", self.asked.backward)):
            asked = np.zeros(len(relations))
            asked[known] = weights[relations[known]]
            share = trust * (settings.other + (settings.asked - settings.other) * asked)
            setattr(self, side, np.concatenate((getattr(self, side), share)))
        self.behind[len(self.behind) - len(relations) :] *= settings.back

    def _arriving(self) -> tuple[np.ndarray, np.ndarray]:
        """float64 (E,) twice: what reaches an edge from its subject and from its object. It comes from a start node, or
        from the stronger end: what a start node has lent to its neighbour does not come back as news."""
        subjects, objects = self._values(self.subjects, self.value), self._values(self.objects, self.value)
        start_nodes = np.array(list(self.start_nodes), np.int64)
        ahead = (subjects >= objects) | np.isin(self.subjects, start_nodes)
        behind = (objects >= subjects) | np.isin(self.objects, start_nodes)
        return subjects * self.ahead * ahead, objects * self.behind * behind

    def _pass_on(self, frontier: np.ndarray) -> None:
        """Raise what the nodes ``frontier`` reach to the best that arrives there."""
        for near, far, share in ((self.subjects, self.objects, self.ahead), (self.objects, self.subjects, self.behind)):
            places = np.flatnonzero(np.isin(near, frontier))
            arriving = share[places] * self._values(near[places], self.value)
            for place, node, value in zip(places.tolist(), far[places].tolist(), arriving.tolist(), strict=True):
                if value > self.value.get(node, 0.0):
                    self.value[node], self.way[node] = value, place

    @staticmethod
    def _values(nodes: np.ndarray, values: Mapping[int, float]) -> np.ndarray:
        """float64 (N,): the value of each node, 0 where there is none."""
        return np.array([values.get(node, 0.0) for node in nodes.tolist()])

    def _add_support(self, topology: Topology) -> None:
        """What the PageRank or the random walks add to a node: up to ``settings.spread``."""
        settings = self.settings
        if settings.spread_by == "nothing" or not settings.spread or not len(self.edges):
            return
        if settings.spread_by == "pagerank":
            found = dict(topology.pagerank(self.start_nodes, damping=settings.damping, top=200))
        else:
            rng = np.random.default_rng(0)  # the same question, the same walks
            walked = topology.walks(list(self.start_nodes), settings.walks, settings.hops + 1, rng, bias=self.value)
            nodes, counts = np.unique(walked, return_counts=True)
            found = dict(zip(nodes.tolist(), counts.tolist(), strict=True))
        most = max(found.values(), default=0)
        self.support = {node: settings.spread * share / most for node, share in found.items() if share > 0}

    def _cue(self, place: int) -> str:
        """The word of the question that asks for the relation, in the direction in which the edge was reached."""
        onward, relation = self._onward[place], self.relations[place]
        cues = self.asked.forward_cues if onward else self.asked.backward_cues
        return cues[relation] if relation < len(cues) else ""

    def _relation(self, place: int) -> str:
        number = int(self.relations[place])
        return self.relation_names[number] if number < len(self.relation_names) else "a new relation"

    def _steps(self, way: Sequence[int]) -> str:
        """How many steps ``way`` leads from what, by which relation."""
        first = way[0]
        ends = int(self.subjects[first]), int(self.objects[first])
        words = next((self.links[node].words for node in ends if node in self.links), "")
        steps = "one step" if len(way) == 1 else f"{len(way)} steps"
        return (
            f"{steps} from '{words}' by {self._relation(first)}" if words else f"{steps} from what is like the question"
        )


def _named(link: Link) -> str:
    return f"names '{link.words}' in the question" if link.exact else f"shares '{link.words}' with the question"
