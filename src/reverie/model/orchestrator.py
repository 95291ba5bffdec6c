"""Vision, graph and text joined into one state: mixtures of encoders, and cross-attention that reads them all.

A few states start from what was asked and read the states of all chosen experts of all modalities, each with a role
embedding that says whose it is. The weight of an expert enters its attention scores as a logarithm: a state of weight w
counts as if it were there w times, one of weight 0 is not there. A learned state for nothing is always there, so that
a row may do without any expert. (Cross-attention into a few learned states: Jaegle et al., "Perceiver IO",
arXiv:2107.14795.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import BundleError, ConfigError, UsageError, shorten
from reverie.files import atomic_write_bytes, atomic_write_json
from reverie.jsonio import read_object
from reverie.model.encoders import SenseSizes, Words, graph_encoders, text_encoders
from reverie.model.graph_attention import SCORE_CAP, GraphBatch
from reverie.model.mixture import EncoderMixture, EncoderMixtureConfig, Mixed, balance_loss
from reverie.model.vision import VisionConfig, VisionEncoder, make_vision
from reverie.settings import build_settings
from reverie.tokens.image import ImageTokenizer

__all__ = ["MODALITIES", "Joined", "Orchestrator", "OrchestratorConfig", "Sensed"]

MODALITIES = ("vision", "graph", "text")


@dataclass(frozen=True)
class OrchestratorConfig:
    """Experts of every modality, their gates, and the network that joins them. A modality may have no expert."""

    vision: tuple[VisionConfig, ...] = (VisionConfig("tokens"), VisionConfig("lite"))
    graph: tuple[str, ...] = ("attention", "triples")
    text: tuple[str, ...] = ("states", "words")
    gates: EncoderMixtureConfig = field(default_factory=EncoderMixtureConfig)
    senses: SenseSizes = field(default_factory=SenseSizes)  # their size and asked_size are filled in
    size: int = 64  # width D of the joined states
    num_states: int = 4  # states that come out, n
    num_heads: int = 4  # must divide D
    num_layers: int = 3  # of reading; what is found in one modality says what to look for in another
    answer_size: int = 0  # features of an answer to choose, A; 0: no such head
    prefix_size: int = 0  # width of a backbone that reads the states as soft tokens; 0: no such head

    def __post_init__(self) -> None:
        object.__setattr__(self, "vision", tuple(self.vision))
        object.__setattr__(self, "graph", tuple(self.graph))
        object.__setattr__(self, "text", tuple(self.text))
        if not (self.vision or self.graph or self.text):
            raise ConfigError("perception: give at least one expert of vision, graph or text")
        if min(self.size, self.num_states, self.num_heads, self.num_layers) < 1 or self.size % self.num_heads:
            raise ConfigError(
                "perception: size, num_states, num_heads and num_layers are at least 1, and num_heads divides size; "
                f"got {self.size}, {self.num_states}, {self.num_heads} and {self.num_layers}"
            )


@dataclass(frozen=True)
class Sensed:
    """What B rows see, remember and are asked."""

    asked: Tensor  # float (B, F): features of the question as a whole; gates hang on them
    pictures: tuple[Tensor, ...] = ()  # what each vision encoder prepared, (B, …) each
    facts: GraphBatch | None = None  # of B subgraphs
    words: Words | None = None


@dataclass(frozen=True)
class Joined:
    """One state a row, and how it came about."""

    states: Tensor  # float (B, n, D)
    mixed: dict[str, Mixed]  # by modality
    shown: Tensor | None  # float (N,): log-probability of each node to be what the picture shows, in nats

    def balance(self) -> Tensor:
        """Mean over the modalities of ``balance_loss``: a scalar."""
        return torch.stack([balance_loss(mixed.gates) for mixed in self.mixed.values()]).mean()

    def open(self) -> Tensor:
        """Mean over the modalities of the mean gate: a scalar in [0, 1], what all the looking costs."""
        return torch.stack([mixed.gates.mean() for mixed in self.mixed.values()]).mean()


class _Block(nn.Module):
    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.key_value = nn.Linear(size, size), nn.Linear(size, 2 * size)
        self.out = nn.Linear(size, size)
        self.mlp = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

    def forward(self, x: Tensor, read: Tensor, log_weights: Tensor) -> Tensor:  # (B, n, D), (B, S, D), (B, S)
        own = self.before(x)
        query = self.query(own).unflatten(2, (self.heads, -1)).transpose(1, 2)
        both = self.key_value(torch.cat((read, own), 1))  # the states read each other, too
        key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in both.chunk(2, 2))
        mask = F.pad(log_weights, (0, x.shape[1]))[:, None, None].expand(-1, self.heads, x.shape[1], -1)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = x + self.out(found.transpose(1, 2).flatten(2))
        return x + self.mlp(self.after(x))


class _Standard(nn.Module):
    """Features less their usual mean, over their usual spread: those of a backbone are nearly alike before that."""

    mean: Tensor
    spread: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    def fit(self, features: Tensor) -> None:  # (N, F)
        self.mean.copy_(features.mean(0))
        self.spread.copy_(features.std(0, unbiased=False).clamp_min(1e-4))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.spread


class Orchestrator(nn.Module):
    """``Sensed`` → ``Joined``, and from its states an answer chosen or soft tokens for a backbone.

    ``feature_size``: F of ``Sensed.asked``. ``tokenizer``: for vision encoders of kind "tokens".
    """

    def __init__(
        self,
        config: OrchestratorConfig,
        feature_size: int,
        tokenizer: ImageTokenizer | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.config, self.feature_size = config, feature_size
        size = config.size
        senses = replace(config.senses, asked_size=feature_size + size, size=size)
        self.vision: list[VisionEncoder] = [make_vision(one, tokenizer) for one in config.vision]
        experts: dict[str, Sequence[nn.Module]] = {
            "vision": self.vision,
            "graph": [graph_encoders.get(name)(senses) for name in config.graph],
            "text": [text_encoders.get(name)(senses) for name in config.text],
        }
        self.mixtures = nn.ModuleDict(
            {name: EncoderMixture(found, feature_size, size, config.gates) for name, found in experts.items() if found}
        )
        self.roles = nn.ParameterDict({name: torch.empty(len(found), size) for name, found in experts.items() if found})
        self.nothing = nn.Parameter(torch.empty(1, size))
        self.start = nn.Parameter(torch.empty(config.num_states, size))
        self.asked = nn.Linear(feature_size, size)
        self.usual_asked, self.usual_node = _Standard(feature_size), _Standard(config.senses.node_size)
        self.blocks = nn.ModuleList(_Block(size, config.num_heads) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(size)
        if config.vision:
            self.look = nn.Linear(size, 1)
        if config.vision and config.graph:
            self.name = nn.Linear(config.senses.node_size, size)
        if config.answer_size:
            self.usual_answer = _Standard(config.answer_size)
            self.answer = nn.Linear(config.num_states * size, 2 * size)
            self.offer = nn.Sequential(
                nn.Linear(config.answer_size, 2 * size), nn.GELU(), nn.Linear(2 * size, 2 * size)
            )
        if config.prefix_size:
            self.prefix = nn.Linear(size, config.prefix_size)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator | None) -> None:
        """Matrices of variance 1 / inputs; single states small; norms 1, biases 0; gates a little open."""
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if not parameter.requires_grad or ".gates.bias" in name:
                    continue
                if name.endswith(("place", "start", "nothing")) or name.startswith("roles"):
                    parameter.normal_(0.0, 0.1, generator=generator)
                elif parameter.dim() == 1:
                    parameter.fill_(1.0 if "norm" in name or name.endswith("weight") else 0.0)
                else:
                    scale = 0.02 if name == "prefix.weight" else 1.0
                    parameter.normal_(0.0, scale * parameter[0].numel() ** -0.5, generator=generator)

    def fit_features(self, asked: Tensor, nodes: Tensor, answers: Tensor) -> None:
        """Learn what features of questions (N, F), nodes (M, F) and answers (L, A) are like, before training."""
        if self.config.answer_size:
            self.usual_answer.fit(answers)
        self.usual_asked.fit(asked)
        self.usual_node.fit(nodes)

    def forward(self, sensed: Sensed) -> Joined:
        """Raises UsageError where a modality that has experts was not given."""
        mixed: dict[str, Mixed] = {}
        asked = self.usual_asked(sensed.asked)
        seen, shown = asked.new_zeros(len(asked), self.config.size), None
        if "vision" in self.mixtures:
            if len(sensed.pictures) != len(self.vision):
                raise UsageError(
                    f"perception: {len(self.vision)} vision experts take as many tensors of prepared pictures, "
                    f"got {len(sensed.pictures)}"
                )
            mixed["vision"] = found = self.mixtures["vision"](sensed.pictures, asked)
            seen = self._look(found)
        if "graph" in self.mixtures:
            if sensed.facts is None:
                raise UsageError("perception: the graph experts were given no facts; give an empty graph for none")
            facts = replace(sensed.facts, nodes=self.usual_node(sensed.facts.nodes))
            if "vision" in mixed:
                shown = self.ground(seen, facts)
                # facts are read from what the picture shows
                facts = replace(facts, start_nodes=facts.start_nodes + shown.exp())
            given = (facts, torch.cat((asked, seen), 1))
            mixed["graph"] = self.mixtures["graph"]([given] * len(self.config.graph), asked)
        if "text" in self.mixtures:
            if (words := sensed.words) is None:
                raise UsageError("perception: the text experts were given no words")
            given_words = (words.embedded, words.states, words.there)
            mixed["text"] = self.mixtures["text"]([given_words] * len(self.config.text), asked)
        rows = len(asked)
        read = [self.nothing.expand(rows, 1, -1)] + [
            one.states + self.roles[name][one.expert] for name, one in mixed.items()
        ]
        weights = torch.cat([asked.new_ones(rows, 1), *(one.weights for one in mixed.values())], 1)
        log_weights = torch.where(weights > 0, weights.clamp_min(1e-6).log(), -torch.inf)
        x = self.start + self.asked(asked)[:, None]
        states = torch.cat(read, 1)
        for block in self.blocks:
            x = block(x, states, log_weights)
        return Joined(self.norm(x), mixed, shown)

    def _look(self, vision: Mixed) -> Tensor:
        """What is worth looking at in a picture, (B, D); facts are read with it in mind."""
        scores = self.look(vision.states).squeeze(2)
        shares = vision.weights * (SCORE_CAP * torch.tanh(scores / SCORE_CAP)).exp()
        shares = shares / (shares.sum(1, keepdim=True) + 1.0)  # 1: the share of nothing
        return torch.einsum("bs,bsd->bd", shares, vision.states)

    def ground(self, seen: Tensor, facts: GraphBatch) -> Tensor:
        """How likely each node is to be what the picture shows: log-probabilities in nats, (N,), of each row's nodes.

        Raises UsageError where the config has no vision or no graph.
        """
        if not (self.config.vision and self.config.graph):
            raise UsageError("this network cannot say which facts a picture shows; give it vision and graph experts")
        scores = (self.name(facts.nodes) * seen[facts.graph]).sum(1) / self.config.size**0.5
        scores = SCORE_CAP * torch.tanh(scores / SCORE_CAP)
        mass = scores.new_zeros(facts.num_graphs).index_add(0, facts.graph, scores.exp())
        return scores - mass.log()[facts.graph]

    def choose(self, joined: Joined, answers: Tensor) -> Tensor:
        """Logits (B, N) of the answers with features float (N, A), which need not be those of training.

        Raises UsageError where the config has no such head.
        """
        if not self.config.answer_size:
            raise UsageError("this network chooses no answers; give it answer_size")
        wanted = self.answer(joined.states.flatten(1))
        return wanted @ self.offer(self.usual_answer(answers)).T / (2 * self.config.size) ** 0.5

    def soft_prefix(self, joined: Joined) -> Tensor:
        """Soft tokens for a backbone, (B, n, prefix_size). Raises UsageError where the config has no such head."""
        if not self.config.prefix_size:
            raise UsageError("this network makes no soft tokens; give it prefix_size")
        return self.prefix(joined.states)

    def prepare(self, pictures: Sequence[Any]) -> tuple[Tensor, ...]:
        """uint8 (H, W, 3) pictures → what ``Sensed.pictures`` holds."""
        return tuple(encoder.prepare(pictures) for encoder in self.vision)

    def _own(self) -> dict[str, Tensor]:
        """What is saved: all but frozen encoders."""
        frozen = tuple(
            f"mixtures.vision.experts.{number}."
            for number, encoder in enumerate(self.vision)
            if not any(parameter.requires_grad for parameter in encoder.parameters())
        )
        return {name: value for name, value in self.state_dict().items() if not name.startswith(frozen)}

    def save(self, folder: Path) -> None:
        """``config.json`` and ``model.safetensors`` (float32). Frozen encoders stay in their own folders."""
        from safetensors.torch import save

        tensors = {name: value.to("cpu", torch.float32).contiguous() for name, value in self._own().items()}
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))
        atomic_write_json(folder / "config.json", {"feature_size": self.feature_size} | asdict(self.config))

    @classmethod
    def load(cls, folder: Path, tokenizer: ImageTokenizer | None = None) -> Orchestrator:
        """Read such a folder, in eval mode. Raises BundleError when it is damaged, and what ``make_vision`` raises."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            said = read_object(folder / "config.json", BundleError, "the config of a perception network")
            feature_size = int(said.pop("feature_size"))
            config = build_settings(OrchestratorConfig, said)
            tensors = load((folder / "model.safetensors").read_bytes())
        except (BundleError, OSError, ValueError, KeyError, TypeError, ConfigError, SafetensorError) as error:
            raise BundleError(f"{folder} holds no perception network: {shorten(str(error), 120)}") from error
        network = cls(config, feature_size, tokenizer)
        shapes = {name: value.shape for name, value in network._own().items()}
        if {name: value.shape for name, value in tensors.items()} != shapes or not all(
            bool(value.isfinite().all()) for value in tensors.values()
        ):
            raise BundleError(f"the weights in {folder} are damaged or of another perception network")
        network.load_state_dict(tensors, strict=False)
        return network.eval()
