"""Trains perception: a picture, recalled facts and a question become one state, from which the question is answered.

The thing in the picture is called "this thing" in the question, so the picture says what it is. The facts say what
comes of the same action with several things, and in a share of the lessons they say of the one in the picture what
comes of it with another: then the right fact has to be found by the picture. Many answers can still be guessed from
the question's own words (will it pop? no); docs/perception.md says how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.errors import ConfigError
from reverie.memory.attention import EDGE_SIZE, fact_graph
from reverie.memory.perception import read_words, save_perceiver, word_mean
from reverie.model import Backbone
from reverie.model.encoders import Words
from reverie.model.graph_attention import GraphBatch
from reverie.model.mixture import pick_rows
from reverie.model.orchestrator import MODALITIES, Joined, Orchestrator, OrchestratorConfig, Sensed
from reverie.nouns import CAUSES
from reverie.paths import find_bundle
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.vocabulary import EOS
from reverie.training.documents import pad
from reverie.training.objective import to_device
from reverie.worlds.everyday.lessons import Lesson, Lessons

__all__ = ["PerceptionData", "PerceptionObjective", "Recorded"]

Modality = Literal["vision", "graph", "text"]
RELATIONS = (CAUSES,)


@dataclass(frozen=True)
class PerceptionData:
    """What perception learns from, and its network. Sizes of 0 in ``model`` are filled in."""

    bundle: str = "nano"  # its backbone and image tokenizer stay as they are
    answer: Literal["choose", "say"] = "choose"  # one of the answers met in training; or by the backbone, word by word
    without: tuple[Modality, ...] = ()  # modalities that the network does not get
    batch_size: int = 32  # lessons a step
    scenes: int = 3000  # recorded before training starts
    lessons: int = 6000  # made of them; each is met again and again
    eval_lessons: int = 600  # on unseen scenes
    others: int = 4  # most facts about other things; no two facts tell the same outcome
    answer_share: float = 0.04  # of the lessons with one and the same answer, at most
    told: float = 0.5  # share of facts that say of a thing what comes of another
    ground_weight: float = 0.5  # of saying which fact is about the thing in the picture
    balance_weight: float = 0.01  # of the experts' unequal use
    open_weight: float = 0.0  # of the mean gate: how dear it is to look
    data_seed: int = 0  # of scenes and lessons
    seed: int = 0  # of weights and order
    model: OrchestratorConfig = field(default_factory=OrchestratorConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "without", tuple(self.without))
        if min(self.batch_size, self.scenes, self.lessons, self.eval_lessons) < 1 or self.others < 0:
            raise ConfigError(
                "perception: batch_size, scenes, lessons and eval_lessons are at least 1, others at least 0"
            )
        for name in ("told", "answer_share", "ground_weight", "balance_weight", "open_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"perception: {name} lies between 0 and 1, got {getattr(self, name)}")
        if self.answer not in get_args(Literal["choose", "say"]) or not set(self.without) <= set(MODALITIES):
            raise ConfigError(
                f"perception: answer is choose or say, without holds some of {', '.join(MODALITIES)}; "
                f"got {self.answer} and {list(self.without)}"
            )


@dataclass(frozen=True)
class _Split:
    """Lessons with all that is fixed about them worked out."""

    source: Lessons
    lessons: list[Lesson]
    graphs: list[GraphBatch]
    asked: Tensor  # float (N, F)

    @property
    def pictures(self) -> list[np.ndarray]:
        return [scene.picture for scene in self.source.scenes]


class Recorded:
    """Lessons of both splits with the frozen features of their words: made once, for many networks."""

    def __init__(self, data: PerceptionData):
        folder = find_bundle(data.bundle)
        self.grammar = load_grammar(folder)
        self.tokenizer = ImageTokenizer.load(folder / "image_tokenizer")
        self.backbone = Backbone.load(folder / "backbone").requires_grad_(False).eval()
        self._words: dict[str, Tensor] = {}  # bf16 (2, T, W): embeddings and states
        self._features: dict[str, np.ndarray] = {}  # as of ``word_features``
        scenes = Lessons.record(data.scenes, data.data_seed)
        self.train = self._split(scenes, data.lessons, data)
        unseen = Lessons.record(data.eval_lessons, data.data_seed + 1, scenes)
        self.test = self._split(unseen, data.eval_lessons, data)
        self.answers = sorted({one.answer for one in self.train.lessons})
        self._read(self.answers)
        self.offered = torch.from_numpy(np.stack([self._features[one] for one in self.answers]))  # (N, F)

    def _split(self, source: Lessons, count: int, data: PerceptionData) -> _Split:
        rng = np.random.default_rng([data.data_seed, 43, count])
        lessons: list[Lesson] = []
        met: Counter[str] = Counter()
        most = max(1, int(data.answer_share * count))
        tries = 0
        while len(lessons) < count:
            lesson, tries = source.draw(rng, data.others, data.told), tries + 1
            if met[lesson.answer] < most or tries > 50 * count:
                met[lesson.answer] += 1
                lessons.append(lesson)
        asked = self._read(one.question for one in lessons)
        self._words |= {question: read.to(torch.bfloat16) for question, read in asked.items()}
        self._read(name for one in lessons for fact in one.facts for name in (fact.subject, fact.object))
        numbers = {name: number for number, name in enumerate(RELATIONS)}
        graphs = [fact_graph(one.question, one.facts, numbers, self._features.__getitem__) for one in lessons]
        features = torch.from_numpy(np.stack([self._features[one.question] for one in lessons]))
        return _Split(source, lessons, graphs, features)

    def _read(self, texts: Iterable[str]) -> dict[str, Tensor]:
        """Let the backbone read them all, and keep their features."""
        read = read_words(self.backbone, self.grammar, dict.fromkeys(texts))
        self._features |= {text: word_mean(found).numpy() for text, found in read.items()}
        return read

    def words(self, questions: Sequence[str]) -> Words:
        """What the frozen backbone makes of questions of the lessons."""
        parts = [self._words[one] for one in questions]
        longest = max(part.shape[1] for part in parts)
        both = torch.stack([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts], 1).float()
        there = torch.arange(longest) < torch.tensor([part.shape[1] for part in parts])[:, None]
        return Words(both[0], both[1], there)


class PerceptionObjective:
    """Cross entropy of the answer, with the balance of the experts."""

    def __init__(self, data: PerceptionData, recorded: Recorded | None = None):
        self.data = data
        self.recorded = recorded = recorded or Recorded(data)
        model, off = data.model, set(data.without)
        first = recorded.train.graphs[0]
        senses = replace(
            model.senses,
            num_relations=len(RELATIONS),
            node_size=first.nodes.shape[1],
            edge_size=EDGE_SIZE,
            word_size=recorded.backbone.config.hidden_size,
        )
        config = replace(
            model,
            vision=() if "vision" in off else model.vision,
            graph=() if "graph" in off else model.graph,
            text=() if "text" in off else model.text,
            senses=senses,
            answer_size=recorded.offered.shape[1] if data.answer == "choose" else 0,
            prefix_size=recorded.backbone.config.hidden_size if data.answer == "say" else 0,
        )
        generator = torch.Generator().manual_seed(data.seed)
        self.network = Orchestrator(config, recorded.train.asked.shape[1], recorded.tokenizer, generator)
        nodes = torch.cat([graph.nodes for graph in recorded.train.graphs])
        self.network.fit_features(recorded.train.asked, nodes, recorded.offered)
        self.module: nn.Module = self.network
        self._number = {answer: number for number, answer in enumerate(recorded.answers)}
        self._prepared = {id(split): self.network.prepare(split.pictures) for split in (recorded.train, recorded.test)}

    def batch(self, step: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.data.seed, step])
        train = self.recorded.train
        return self._collate(train, rng.integers(len(train.lessons), size=self.data.batch_size))

    def _collate(self, split: _Split, places: np.ndarray) -> dict[str, Any]:
        rows = torch.from_numpy(places)
        lessons = [split.lessons[place] for place in places]
        words = self.recorded.words([one.question for one in lessons])
        scenes = torch.tensor([one.scene for one in lessons])
        facts, asked = GraphBatch.join([split.graphs[place] for place in places]), split.asked[rows]
        if "text" in self.data.without:  # every question is the mean one, and starts nowhere
            asked = self.recorded.train.asked.mean(0).expand_as(asked)
            facts = replace(facts, start_nodes=torch.zeros_like(facts.start_nodes))
        batch: dict[str, Any] = facts.tensors() | {
            "asked": asked,
            "pictures": pick_rows(self._prepared[id(split)], scenes),
            "words": (words.embedded, words.states, words.there),
            "deciding": torch.tensor([place == one.deciding for one in lessons for place in range(len(one.facts))]),
            "answer": torch.tensor([self._number.get(one.answer, -1) for one in lessons]),
        }
        if self.data.answer == "say":
            documents = []
            for one in lessons:
                question, said = self._ids(one)
                documents.append(([*question, *said], [0.0] * len(question) + [1.0] * len(said)))
            batch["ids"], batch["weights"] = pad(documents)
        return batch

    def _offered(self, joined: Joined) -> Tensor:
        return self.recorded.offered.to(joined.states.device)

    def _ids(self, lesson: Lesson) -> tuple[list[int], list[int]]:
        """The question as ids (none without text), and the answer."""
        grammar = self.recorded.grammar
        question = "" if "text" in self.data.without else lesson.question
        return grammar.question_ids(question), [*grammar.answer_ids(lesson.named), EOS]

    def join(self, batch: dict[str, Any]) -> tuple[Joined, GraphBatch]:
        facts = GraphBatch(**{field.name: batch[field.name] for field in fields(GraphBatch)})
        sensed = Sensed(batch["asked"], tuple(batch["pictures"]), facts, Words(*batch["words"]))
        return self.network(sensed), facts

    def compute_loss(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        joined, facts = self.join(batch)
        if self.data.answer == "choose":
            answer = F.cross_entropy(self.network.choose(joined, self._offered(joined)), batch["answer"])
        else:
            backbone = self.recorded.backbone.to(batch["ids"].device)
            answer, _ = backbone.loss(batch["ids"], batch["weights"], self.network.soft_prefix(joined))
        balance, opened = joined.balance(), joined.open()
        ground = _ground(joined, facts, batch["deciding"])
        data = self.data
        loss = answer + data.ground_weight * ground + data.balance_weight * balance + data.open_weight * opened
        return {
            "loss": loss,
            "answer": answer,
            "ground": ground,
            "balance": balance,
            "open": opened,
            "num_ids": torch.tensor(len(batch["answer"])),
        }

    def evaluate(self, step: int) -> dict[str, float]:
        """Of lessons on unseen scenes: ``answers_share``, answered right; of those whose deciding fact is true
        (``true_share``), and of those where it tells what comes of another thing (``told_share``); ``experts``, the
        mean number that look; ``nobody_share``, of pairs of a row and a modality without any.
        """
        right, experts = self.answered()
        told = np.array([one.told for one in self.recorded.test.lessons])
        figures = {
            "answers_share": right.mean(),
            "experts": experts.sum(1).mean(),
            "nobody_share": (experts == 0).mean(),
        }
        for name, which in (("told_share", told), ("true_share", ~told)):
            if which.any():
                figures[name] = right[which].mean()
        return {name: float(value) for name, value in figures.items()}

    @torch.no_grad()
    def answered(self, rows: int = 100) -> tuple[np.ndarray, np.ndarray]:
        """Which unseen lessons are answered right, bool (N,), and how many experts of each modality looked, (N, M).

        In eval mode the gates are as in use.
        """
        split, right, looked = self.recorded.test, [], []
        device = next(self.module.parameters()).device
        for start in range(0, len(split.lessons), rows):
            places = np.arange(start, min(start + rows, len(split.lessons)))
            batch = to_device(self._collate(split, places), device)
            joined, _ = self.join(batch)
            looked.append(np.stack([one.chosen.sum(1).cpu().numpy() for one in joined.mixed.values()], 1))
            if self.data.answer == "choose":
                hits = self.network.choose(joined, self._offered(joined)).argmax(1) == batch["answer"]
            else:
                backbone = self.recorded.backbone.to(device)
                hidden = backbone.hidden(batch["ids"], self.network.soft_prefix(joined))[:, :-1]
                wrong = backbone.logits(hidden).argmax(-1) != batch["ids"][:, 1:]
                hits = ~(wrong & (batch["weights"][:, 1:] > 0)).any(1)
            right.append(hits.cpu().numpy())
        return np.concatenate(right), np.concatenate(looked)

    def export(self, folder: Path) -> None:
        """What ``Perceiver.load`` reads."""
        save_perceiver(self.network, RELATIONS, self.recorded.answers, folder)


def _ground(joined: Joined, facts: GraphBatch, deciding: Tensor) -> Tensor:
    """Nats of the thing in the picture among all that the row's facts speak of."""
    if joined.shown is None:
        return joined.states.new_zeros(())
    return -joined.shown[facts.edges[0][deciding]].mean()
