"""A trained perception network in use: a picture, recalled facts and a question → answers, and who looked at what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.errors import BundleError, UsageError, shorten
from reverie.files import atomic_write_json
from reverie.jsonio import read_object
from reverie.memory.attention import fact_graph
from reverie.model import Backbone
from reverie.model.encoders import Words
from reverie.model.orchestrator import Orchestrator, Sensed
from reverie.nouns import Fact
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer

__all__ = ["Perceived", "Perceiver", "read_words", "save_perceiver", "word_mean"]

NAMES_FILE = "perception.json"


@dataclass(frozen=True)
class Perceived:
    """What came of one look."""

    answers: list[tuple[str, float]]  # with their probabilities, best first; empty for a network that says its answers
    prefix_embeddings: np.ndarray | None  # float32 (n, width of the backbone): soft tokens to say the answer from
    gates: dict[str, list[tuple[str, float]]]  # by modality: each expert with its gate in [0, 1]
    shows: list[tuple[str, float]]  # names in the facts, and how likely the picture shows each; best first


class Perceiver:
    """A network of ``reverie train perception`` with the backbone and image tokenizer of its bundle."""

    def __init__(
        self,
        network: Orchestrator,
        relations: Sequence[str],
        answers: Sequence[str],
        backbone: Backbone,
        grammar: Grammar,
    ):
        self.network, self.relations, self.answers = network.eval(), tuple(relations), tuple(answers)
        self.backbone, self.grammar = backbone, grammar
        self._read: dict[str, Tensor] = {}

    @classmethod
    def load(cls, folder: Path, bundle: Path) -> Perceiver:
        """``folder``: the export of a run; ``bundle``: what it was trained on. Raises BundleError where one is damaged,
        or made for another backbone."""
        network = Orchestrator.load(folder, ImageTokenizer.load(bundle / "image_tokenizer"))
        names = read_object(folder / NAMES_FILE, BundleError, "the perception's file")
        try:
            relations, answers = ([str(name) for name in names[key]] for key in ("relations", "answers"))
        except (KeyError, TypeError) as error:
            raise BundleError(f"{folder / NAMES_FILE} is damaged: {shorten(str(error))}") from error
        backbone = Backbone.load(bundle / "backbone").requires_grad_(False).eval()
        if network.feature_size != 2 * backbone.config.hidden_size:
            raise BundleError(f"{folder} was trained on another backbone than that of {bundle}; give its own bundle")
        return cls(network, relations, answers, backbone, load_grammar(bundle))

    @torch.inference_mode()
    def predict(
        self, picture: np.ndarray, question: str, facts: Sequence[Fact] = (), answers: Sequence[str] | None = None
    ) -> Perceived:
        """One uint8 (H, W, 3) picture; ``answers`` to choose from, by default those of training.

        Raises PictureError for what is no picture, UsageError where there is no answer to choose from.
        """
        network = self.network
        offered = self.answers if answers is None else tuple(answers)
        if network.config.answer_size and not offered:
            raise UsageError("no answers were given to choose from; give at least one")
        words = self._words(question)
        numbers = {name: number for number, name in enumerate(self.relations)}
        graph = fact_graph(question, facts, numbers, lambda text: word_mean(self._words(text)).numpy())
        sensed = Sensed(
            word_mean(words)[None],
            network.prepare([picture]),
            graph,
            Words(words[:1], words[1:], torch.ones(1, words.shape[1], dtype=torch.bool)),
        )
        joined = network(sensed)
        best: list[tuple[str, float]] = []
        if network.config.answer_size:
            features = torch.stack([word_mean(self._words(answer)) for answer in offered])
            best = _ranked(offered, torch.softmax(network.choose(joined, features)[0], 0))
        config = network.config
        kinds = {"vision": [one.kind for one in config.vision], "graph": config.graph, "text": config.text}
        names = dict.fromkeys(name for fact in facts for name in (fact.subject, fact.object))  # in order of the nodes
        return Perceived(
            best,
            network.soft_prefix(joined)[0].numpy() if config.prefix_size else None,
            {
                name: list(zip(kinds[name], mixed.gates[0].tolist(), strict=True))
                for name, mixed in joined.mixed.items()
            },
            [] if joined.shown is None else _ranked(list(names), joined.shown.exp()),
        )

    def _words(self, text: str) -> Tensor:
        if text not in self._read:
            if len(self._read) > 4096:
                self._read.clear()
            self._read |= read_words(self.backbone, self.grammar, [text])
        return self._read[text]


def save_perceiver(network: Orchestrator, relations: Sequence[str], answers: Sequence[str], folder: Path) -> None:
    """The network, and the names of its relations and answers: what ``Perceiver.load`` reads."""
    network.save(folder)
    atomic_write_json(folder / NAMES_FILE, {"relations": list(relations), "answers": list(answers)})


@torch.no_grad()
def read_words(backbone: Backbone, grammar: Grammar, texts: Iterable[str], rows: int = 64) -> dict[str, Tensor]:
    """What a backbone makes of each text: float (2, T, W), the embeddings of its ids and their last hidden states.

    Many are read at a time, like lengths side by side; padding comes after and is not seen.
    """
    found: dict[str, Tensor] = {}
    ids = {text: grammar.text_ids(text) or grammar.text_ids("?") for text in texts}
    order = sorted(ids, key=lambda text: (len(ids[text]), text))
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        batch = torch.zeros(len(part), len(ids[part[-1]]), dtype=torch.int64)
        for row, text in zip(batch, part, strict=True):
            row[: len(ids[text])] = torch.tensor(ids[text])
        both = torch.stack((F.embedding(batch, backbone.embeddings), backbone.hidden(batch).float()), 1)
        for text, read in zip(part, both, strict=True):
            found[text] = read[:, : len(ids[text])].clone()
    return found


def word_mean(read: Tensor) -> Tensor:
    """(2, T, W) → (2W,): as ``word_features`` gives it, the means of both, each of length 1."""
    return F.normalize(read.mean(1), dim=1).flatten()


def _ranked(names: Sequence[str], shares: Tensor) -> list[tuple[str, float]]:
    return sorted(zip(names, shares.tolist(), strict=True), key=lambda pair: -pair[1])
