"""Trains the reader of recalled facts: which edges matter to a question, and soft tokens from which the frozen backbone
answers as the facts say.

Half of the facts that decide an answer are not what the backbone would expect: what comes of it with another thing, or
a property the other way round. So only the facts can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.data import FactRow, make_reader
from reverie.engine import Engine
from reverie.errors import BundleError, ConfigError
from reverie.jsonio import read_object
from reverie.memory.attention import EDGE_SIZE, fact_graph, save_fact_attention, word_features
from reverie.model import Backbone
from reverie.model.graph_attention import GraphAttention, GraphAttentionConfig, GraphBatch
from reverie.nouns import CAUSES, Fact, situation
from reverie.paths import find_bundle
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.questions import clean_question
from reverie.tokens.vocabulary import EOS
from reverie.training.documents import pad
from reverie.worlds import World, make_world
from reverie.worlds.documents import EpisodeDreams, document_config, documents_of

__all__ = ["FactAttentionData", "FactAttentionObjective"]


@dataclass(frozen=True)
class FactAttentionData:
    """What the reader learns from, and its size. ``model`` sizes of 0 are filled in."""

    bundle: str = "nano"  # its backbone stays as it is; its facts are the distractors
    batch_size: int = 48  # questions a step
    episodes: int = 12_000  # recorded before training starts
    others: int = 14  # most facts beside the one that decides
    properties: float = 0.25  # share of questions about a property
    silent: float = 0.15  # share whose deciding fact is missing: the backbone's own answer stands
    soft_tokens: int = 8
    edge_weight: float = 0.5  # of scoring the edges, beside answering
    eval_questions: int = 256
    seed: int = 0
    model: GraphAttentionConfig = field(
        default_factory=lambda: GraphAttentionConfig(num_relations=0, hidden_size=96, num_layers=2, attention_size=8)
    )

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.episodes < 1 or self.others < 0 or self.eval_questions < 1:
            raise ConfigError("reading: batch_size, episodes and eval_questions are at least 1, others at least 0")
        for name in ("properties", "silent"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"reading: {name} is a share between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class _Lesson:
    question: str
    answer: str
    facts: list[Fact]
    deciding: int  # place of the fact that decides, -1 where it is missing


class FactAttentionObjective:
    """Cross entropy of the answer after [soft tokens, question], and binary cross entropy of every edge."""

    metrics: ClassVar[Mapping[str, str]] = {"graph_accuracy": "decides_share"}

    def __init__(self, data: FactAttentionData):
        self.data = data
        folder = find_bundle(data.bundle)
        self.grammar = load_grammar(folder)
        tokenizer = ImageTokenizer.load(folder / "image_tokenizer")
        self.backbone = Backbone.load(folder / "backbone").requires_grad_(False).eval()
        self.features = word_features(Engine(self.backbone), self.grammar)
        self.world = _telling_world(folder)
        self.train, self.test = (
            _episodes(self.world, self.grammar, tokenizer, count, data.seed + test, bool(test), outcome_in_words=1.0)
            for test, count in ((0, data.episodes), (1, data.eval_questions))
        )
        self.known = _by_thing(_facts_of(folder / "memory.jsonl"))
        self.relations = sorted({row.relation for rows in self.known.values() for row in rows})
        self.numbers = {name: number for number, name in enumerate(self.relations)}
        config = replace(
            data.model,
            num_relations=len(self.relations),
            node_size=len(self.features("")),
            question_size=len(self.features("")),
            edge_size=EDGE_SIZE,
            num_prefix=data.soft_tokens,
            prefix_size=self.backbone.config.hidden_size,
        )
        self.module = GraphAttention(config, torch.Generator().manual_seed(data.seed))

    def lesson(self, rng: np.random.Generator, source: EpisodeDreams) -> _Lesson:
        if rng.random() < self.data.properties:
            text, answer, row = self.told_property(rng)
            thing, fact = row.subject, Fact(row.subject, row.relation, row.object, row.source)
        else:
            episode, _ = source.episodes[int(rng.integers(len(source.episodes)))]
            asked = [one for one in source.narrator.questions(episode, rng) if one.form != "property"]
            if not asked:
                return self.lesson(rng, source)
            question, outcome = source.tell(episode, asked[int(rng.integers(len(asked)))], rng)
            first, thing = episode.transitions[0], str(episode.options["thing"])
            text, answer = question.text, question.answer
            fact = Fact(situation(first.what_text, first.action_text), CAUSES, outcome, "told")
        about = fact.subject, fact.relation.removeprefix("Not"), fact.object if fact.relation != CAUSES else ""
        rows = [
            row
            for row in self.known.get(thing, ())
            if (row.subject, row.relation.removeprefix("Not"), row.object if row.relation != CAUSES else "") != about
        ]
        picked = rng.permutation(len(rows))[: rng.integers(self.data.others + 1)]
        facts = [
            Fact(rows[i].subject, rows[i].relation, rows[i].object, "told", 1.0, rows[i].confidence) for i in picked
        ]
        deciding = -1
        if rng.random() >= self.data.silent:
            deciding = int(rng.integers(len(facts) + 1))
            facts.insert(deciding, replace(fact, confidence=float(rng.uniform(0.5, 1.0))))
        else:
            return self._silent(rng, source, facts)
        return _Lesson(clean_question(text), answer, facts, deciding)

    def told_property(self, rng: np.random.Generator) -> tuple[str, str, FactRow]:
        told = self.world.told_property(rng)
        assert told is not None
        return told

    def _silent(self, rng: np.random.Generator, source: EpisodeDreams, facts: list[Fact]) -> _Lesson:
        """A true question of another scene among facts that do not decide it."""
        episode, _ = source.episodes[int(rng.integers(len(source.episodes)))]
        asked = source.narrator.questions(episode, rng)
        question = asked[int(rng.integers(len(asked)))]
        subject = situation(episode.transitions[0].what_text, episode.transitions[0].action_text)
        return _Lesson(clean_question(question.text), question.answer, [f for f in facts if f.subject != subject], -1)

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.data.seed, step])
        return self._collate([self.lesson(rng, self.train) for _ in range(self.data.batch_size)])

    def _collate(self, lessons: list[_Lesson]) -> dict[str, Tensor]:
        graph = GraphBatch.join([fact_graph(one.question, one.facts, self.numbers, self.features) for one in lessons])
        documents, deciding = [], []
        for one in lessons:
            question, answer = self.grammar.question_ids(one.question), self.grammar.answer_ids(one.answer)
            documents.append(([*question, *answer, EOS], [0.0] * len(question) + [1.0] * (len(answer) + 1)))
            deciding += [place == one.deciding for place in range(len(one.facts))]
        ids, weights = pad(documents)
        return graph.tensors() | {
            "asked": torch.from_numpy(np.stack([self.features(one.question) for one in lessons])),
            "deciding": torch.tensor(deciding, dtype=torch.float32),
            "ids": ids,
            "weights": weights,
        }

    def _read(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Logits of the edges, soft tokens, and what is left of the batch."""
        rest = dict(batch)
        own = {name: rest.pop(name) for name in ("asked", "deciding", "ids", "weights")}
        encoded = self.module(GraphBatch(**rest), own["asked"])  # type: ignore[arg-type]
        return self.module.score_edges(encoded), self.module.soft_prefix(encoded), own

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        scores, soft, own = self._read(batch)
        answer, _ = self.backbone.loss(own["ids"], own["weights"], soft)
        edges = F.binary_cross_entropy_with_logits(scores, own["deciding"])
        total = answer + self.data.edge_weight * edges
        return {"loss": total, "answer": answer, "edges": edges, "num_ids": torch.tensor(own["ids"].numel())}

    def evaluate(self, step: int) -> dict[str, float]:
        """Of unseen scenes: answers right to the last id, with their facts and without, and best scores that decide."""
        rng = np.random.default_rng(7)
        lessons = [self.lesson(rng, self.test) for _ in range(self.data.eval_questions)]
        right: dict[str, list[float]] = {
            "answers_share": [],
            "blind_share": [],
            "silent_share": [],
            "decides_share": [],
        }
        for one in lessons:
            scores, soft, own = self._read(self._collate([one]))
            for name, given in (("answers_share", soft), ("blind_share", None)):
                if one.deciding < 0 and given is not None:
                    name = "silent_share"
                guess = self.backbone.logits(self.backbone.hidden(own["ids"], given))[0, :-1].argmax(-1)
                judged = own["weights"][0, 1:] > 0
                right[name].append(float((guess == own["ids"][0, 1:])[judged].all()))
            if one.deciding >= 0:
                right["decides_share"].append(float(int(scores.argmax()) == one.deciding))
        return {name: float(np.mean(hits)) for name, hits in right.items() if hits}

    def export(self, folder: Path) -> None:
        save_fact_attention(self.module, self.relations, folder / "reader")


def _episodes(
    world: World, grammar: Grammar, tokenizer: ImageTokenizer, count: int, seed: int, test: bool, **settings: float
) -> EpisodeDreams:
    config = document_config(world, settings)
    source = documents_of(world, grammar, tokenizer, config, episodes=count, seed=seed, test=test)
    if not isinstance(source, EpisodeDreams):
        raise ConfigError(f"the documents of {world.name} are no dreams of episodes, which facts could tell")
    return source


def _telling_world(bundle: Path) -> World:
    """The first of the bundle's worlds of whose things facts tell. Raises ConfigError where there is none."""
    names = read_object(bundle / "manifest.json", BundleError, "manifest").get("worlds", {})
    for world in map(make_world, names):
        if world.told_property(np.random.default_rng(0)) is not None:
            return world
    raise ConfigError(f"{bundle} has no world of whose things facts tell: {', '.join(names) or 'it has no worlds'}")


def _facts_of(path: Path) -> list[FactRow]:
    bad: list[object] = []
    rows = [row for row in make_reader("jsonl")(path, bad.append) if isinstance(row, FactRow)]
    if bad:
        raise ConfigError(f"{path} has a malformed row: {bad[0]}")
    return rows


def _by_thing(rows: list[FactRow]) -> dict[str, list[FactRow]]:
    """What is known of each thing; what an action comes to belongs to the thing that it is ``About``."""
    things = {row.subject: row.object for row in rows if row.relation == "About"}
    known: dict[str, list[FactRow]] = {}
    for row in rows:
        if row.relation != "About":
            known.setdefault(things.get(row.subject, row.subject), []).append(row)
    return known
