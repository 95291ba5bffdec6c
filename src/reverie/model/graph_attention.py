"""Attention over a recalled subgraph: messages run along its edges, and a question says which of them matter.

A layer joins the attention of GATv2 (Brody et al., arXiv 2105.14491) with messages whose relation is read in the light
of the question, as in NBFNet (Zhu et al., arXiv 2106.06935). Plain softmax attention forgets how much evidence arrived;
here the attended mean is scaled by log(1 + mass), mass being the sum of the unnormalised weights, so a node that
nothing speaks for hears almost nothing. Many subgraphs are one disjoint graph: nothing is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.errors import BundleError, ConfigError, UsageError, shorten
from reverie.files import atomic_write_bytes, atomic_write_json
from reverie.jsonio import read_object

__all__ = ["Encoded", "GraphAttention", "GraphAttentionConfig", "GraphBatch"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
SCORE_CAP = 10.0  # attention scores stay in ±10, so that exp needs no maximum taken off first
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class GraphAttentionConfig:
    """Sizes of the network."""

    num_relations: int  # relation numbers are below this; in a recipe 0: as many as the data has
    node_size: int = 0  # features of a node, F
    edge_size: int = 0  # features of an edge, such as its confidence, G
    question_size: int = 32  # of a question vector, Q
    hidden_size: int = 32  # of a node's state, D
    num_layers: int = 6
    num_heads: int = 4  # must divide D
    attention_size: int = 4  # numbers that a head compares, per edge
    spread: bool = False  # messages start at depth 0 and go one hop further with each layer
    num_prefix: int = 0  # soft tokens n; 0: no such head
    prefix_size: int = 0  # width of the backbone that reads them

    def __post_init__(self) -> None:
        least = dict.fromkeys(("num_relations", "node_size", "edge_size", "num_prefix", "prefix_size"), 0)
        for name, value in asdict(self).items():
            if name != "spread" and (not isinstance(value, int) or value < least.get(name, 1)):
                raise ConfigError(f"graph {name} is a whole number of at least {least.get(name, 1)}, got {value!r}")
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"graph hidden_size must be a multiple of num_heads, got {self.hidden_size}, {self.num_heads}"
            )
        if bool(self.num_prefix) != bool(self.prefix_size):
            raise ConfigError(
                f"graph num_prefix and prefix_size are both 0 or neither, got {self.num_prefix}, {self.prefix_size}"
            )


@dataclass(frozen=True)
class GraphBatch:
    """B subgraphs as one disjoint graph of N nodes and E edges. Edges are given once; messages run both ways."""

    nodes: Tensor  # float (N, F)
    start_nodes: Tensor  # float (N,) >= 0: how strongly the question starts here
    depths: Tensor  # int64 (N,): hops from the start nodes; read where the config says ``spread``
    graph: Tensor  # int64 (N,) in [0, B): the subgraph of each node
    edges: Tensor  # int64 (2, E): subject and object, rows of ``nodes`` in the same subgraph
    relations: Tensor  # int64 (E,) in [0, num_relations)
    edge_features: Tensor  # float (E, G)
    num_graphs: int

    @property
    def num_nodes(self) -> int:
        return len(self.graph)

    @property
    def num_edges(self) -> int:
        return len(self.relations)

    def tensors(self) -> dict[str, Any]:
        """The fields by name: what a batch of the training loop is made of; ``GraphBatch(**tensors)`` is this again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device) -> GraphBatch:
        tensors = {name: value.to(device) for name, value in self.tensors().items() if isinstance(value, Tensor)}
        return GraphBatch(**tensors, num_graphs=self.num_graphs)

    @classmethod
    def join(cls, batches: Sequence[GraphBatch]) -> GraphBatch:
        """The disjoint union, in the order given. Raises UsageError for none."""
        if not batches:
            raise UsageError("no subgraph was given to join; give at least one")
        node_starts = _starts([batch.num_nodes for batch in batches])
        graph_starts = _starts([batch.num_graphs for batch in batches])
        parts: dict[str, list[Tensor]] = {field.name: [] for field in fields(cls) if field.name != "num_graphs"}
        for batch, first_node, first_graph in zip(batches, node_starts, graph_starts, strict=True):
            moved = {"edges": batch.edges + first_node, "graph": batch.graph + first_graph}
            for name, values in parts.items():
                values.append(moved.get(name, getattr(batch, name)))
        joined = {name: torch.cat(values, 1 if name == "edges" else 0) for name, values in parts.items()}
        return cls(**joined, num_graphs=sum(batch.num_graphs for batch in batches))


@dataclass(frozen=True)
class Encoded:
    """Subgraphs after message passing."""

    batch: GraphBatch
    nodes: Tensor  # (N, D)
    question: Tensor  # (B, D)
    relations: Tensor  # (2E, D): every edge's relation, then its inverse, in the light of the question
    attention: Tensor | None = None  # (layers, 2, E, heads) in [0, 1]: as sent to the object, and to the subject


class _Index:
    """Rows to take from a table of ``size`` rows, with their sorted order, so that both directions are one pass."""

    def __init__(self, rows: Tensor, size: int, order: Tensor | None = None):
        self.rows, self.size = rows, size
        self.order = torch.argsort(rows, stable=True) if order is None else order
        self.offsets = torch.bincount(rows, minlength=size).cumsum(0).roll(1)
        if size:
            self.offsets[0] = 0

    def take(self, table: Tensor) -> Tensor:  # (size, C) → (len(rows), C)
        return _Take.apply(table, self)

    def sum(self, values: Tensor) -> Tensor:  # (len(rows), C) → (size, C)
        return _Sum.apply(values, self)

    def _bag(self, values: Tensor) -> Tensor:
        if not len(self.rows):
            return values.new_zeros(self.size, values.shape[1])
        return F.embedding_bag(self.order, values.contiguous(), self.offsets, mode="sum")


class _Take(torch.autograd.Function):
    """index_select, whose gradient is a sorted sum: many times faster than index_add on a CPU."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: _Index) -> Tensor:
        ctx.index = index
        return table.index_select(0, index.rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.index._bag(grad), None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: _Index) -> Tensor:
        ctx.index = index
        return index._bag(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad.index_select(0, ctx.index.rows), None


@dataclass(frozen=True)
class _Ways:
    """The directed edges that carry messages in one layer."""

    chosen: Tensor | None  # int64: which of the 2E ways; None: all
    sources: _Index
    targets: _Index
    pairs: _Index  # rows of the table of (subgraph, relation)


class _Layer(nn.Module):
    def __init__(self, config: GraphAttentionConfig):
        super().__init__()
        size, inner = config.hidden_size, config.num_heads * config.attention_size
        self.config = config
        self.norm = nn.LayerNorm(size)
        self.relation_embed = nn.Embedding(2 * config.num_relations, size)
        self.asked = nn.Linear(size, size)
        self.relation = nn.Linear(size, 2 * size + inner)  # scale and shift of a message, key of its attention
        self.edge = nn.Linear(config.edge_size, size + inner, bias=False) if config.edge_size else None
        self.sent = nn.Linear(size, size + inner)
        self.heard = nn.Linear(size, inner, bias=False)
        self.compare = nn.Parameter(torch.empty(config.num_heads, config.attention_size))
        self.mix = nn.Linear(2 * size, size)
        self.out = nn.Linear(size, size)

    def pairs(self, question: Tensor) -> Tensor:  # (B, D) → (B × 2R, 2D + A)
        both = F.relu(self.relation_embed.weight + self.asked(question).unsqueeze(1))  # (B, 2R, D)
        return self.relation(both).flatten(0, 1)

    def forward(self, h: Tensor, question: Tensor, edge_features: Tensor, ways: _Ways) -> tuple[Tensor, Tensor]:
        """(N, D) → (N, D), and the attention of each way, (ways, heads)."""
        size, heads = self.config.hidden_size, self.config.num_heads
        x = self.norm(h)
        value, key = ways.sources.take(self.sent(x)).split((size, self.compare.numel()), 1)
        scale, shift, kind = ways.pairs.take(self.pairs(question)).split((size, size, key.shape[1]), 1)
        key = key + kind + ways.targets.take(self.heard(x))
        message = torch.addcmul(value + shift, value, scale)  # value × (1 + scale) + shift
        if self.edge is not None:
            more, more_key = self.edge(edge_features).split((size, key.shape[1]), 1)
            message, key = message + more, key + more_key
        scores = F.leaky_relu(key, 0.2) @ torch.block_diag(*self.compare.unsqueeze(-1))  # (ways, heads)
        weights = (SCORE_CAP * torch.tanh(scores / SCORE_CAP)).exp()
        mass = ways.targets.sum(weights)  # (N, heads)
        heard = ways.targets.sum((message.unflatten(1, (heads, -1)) * weights.unsqueeze(-1)).flatten(1))
        share = torch.log1p(mass) / mass.clamp_min(1e-9)
        heard = (heard.unflatten(1, (heads, -1)) * share.unsqueeze(-1)).flatten(1)
        h = h + self.out(F.gelu(self.mix(torch.cat((x, heard), 1))))
        with torch.no_grad():
            attention = weights / mass.index_select(0, ways.targets.rows)
        return h, attention


class GraphAttention(nn.Module):
    """Subgraphs and question vectors → states of nodes, and what the heads read from them.

    ``generator`` seeds the initial weights; without one they come from torch's global generator.
    """

    def __init__(self, config: GraphAttentionConfig, generator: torch.Generator | None = None):
        super().__init__()
        if not config.num_relations:
            raise ConfigError("a graph network needs at least 1 relation, got num_relations=0")
        self.config = config
        size = config.hidden_size
        self.node = nn.Linear(config.node_size, size) if config.node_size else None
        self.question = nn.Linear(config.question_size, size)
        self.seed = nn.Linear(size, size)
        self.relation_questions = nn.Embedding(2 * config.num_relations, config.question_size)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(size)
        self.link_head = _mlp(2 * size, size)
        self.edge_head = _mlp(4 * size + config.edge_size, size)
        if config.num_prefix:
            self.prefix_queries = nn.Parameter(torch.empty(config.num_prefix, size))
            self.prefix_asked = nn.Linear(size, size)
            self.prefix_key = nn.Linear(size, size, bias=False)
            self.prefix_value = nn.Linear(2 * size, config.prefix_size)
        initialise(self, generator)

    def forward(self, batch: GraphBatch, question: Tensor, attention: bool = False) -> Encoded:
        """``question`` float (B, Q), one for each subgraph. Raises UsageError where numbers and sizes do not fit."""
        self._check(batch, question)
        asked = self.question(question)  # (B, D)
        h = batch.start_nodes.unsqueeze(1) * self.seed(asked).index_select(0, batch.graph)
        if self.node is not None:
            h = h + self.node(batch.nodes)
        subjects, objects = batch.edges
        sources, targets = torch.cat((subjects, objects)), torch.cat((objects, subjects))
        num_kinds = 2 * self.config.num_relations
        kinds = torch.cat((batch.relations, batch.relations + self.config.num_relations))
        pairs = batch.graph.index_select(0, sources) * num_kinds + kinds
        features = torch.cat((batch.edge_features, batch.edge_features))
        sizes = batch.num_nodes, batch.num_nodes, batch.num_graphs * num_kinds
        whole = _Ways(None, *(_Index(r, size) for r, size in zip((sources, targets, pairs), sizes, strict=True)))
        away = batch.depths.index_select(0, sources)
        seen = []
        for number, layer in enumerate(self.layers):
            ways = _reached(whole, away <= number) if self.config.spread else whole
            known = features if ways.chosen is None else features.index_select(0, ways.chosen)
            h, weights = layer(h, asked, known, ways)
            if attention:
                full = weights.new_zeros(len(sources), weights.shape[1])
                seen.append(full.index_copy(0, ways.chosen, weights) if ways.chosen is not None else weights)
        last = self.layers[-1].pairs(asked)[:, : self.config.hidden_size]  # type: ignore[operator]
        shape = (len(seen), 2, batch.num_edges, self.config.num_heads)
        return Encoded(
            batch, self.norm(h), asked, whole.pairs.take(last), torch.stack(seen).view(shape) if attention else None
        )

    def score_links(self, encoded: Encoded) -> Tensor:  # → (N,)
        """A logit for each node to be what the question asks for.

        With ``relation_questions`` that is (start node, relation, ?).
        """
        asked = encoded.question.index_select(0, encoded.batch.graph)
        return self.link_head(torch.cat((encoded.nodes, asked), 1)).squeeze(1)

    def score_edges(self, encoded: Encoded) -> Tensor:  # → (E,)
        """A logit for each edge to support an answer to the question."""
        batch = encoded.batch
        subjects, objects = (encoded.nodes.index_select(0, ends) for ends in batch.edges)
        asked = encoded.question.index_select(0, batch.graph.index_select(0, batch.edges[0]))
        relations = encoded.relations[: batch.num_edges]
        parts = (subjects, objects, asked, relations, batch.edge_features)
        return self.edge_head(torch.cat(parts, 1)).squeeze(1)

    def soft_prefix(self, encoded: Encoded) -> Tensor:  # → (B, n, prefix_size)
        """Each subgraph, pooled by attention into soft tokens; a subgraph without nodes gives the question's alone.

        Rows have about the size of the backbone's embeddings (std 0.02) before training. Raises UsageError where the
        config has no such head.
        """
        if not self.config.num_prefix:
            raise UsageError("this graph network makes no soft tokens; give it num_prefix and prefix_size")
        batch, size = encoded.batch, self.config.hidden_size
        queries = self.prefix_queries + self.prefix_asked(encoded.question).unsqueeze(1)  # (B, n, D)
        key = self.prefix_key(encoded.nodes)
        scores = torch.einsum("nd,npd->np", key, queries.index_select(0, batch.graph)) / size**0.5
        weights = (SCORE_CAP * torch.tanh(scores / SCORE_CAP)).exp()  # (N, n)
        index = _Index(batch.graph, batch.num_graphs)
        mass = index.sum(weights).clamp_min(1e-9)
        pooled = index.sum((weights.unsqueeze(2) * encoded.nodes.unsqueeze(1)).flatten(1)).unflatten(1, (-1, size))
        return self.prefix_value(torch.cat((pooled / mass.unsqueeze(2), queries), 2))

    def save(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors`` (float32)."""
        save_network(self, self.config, folder)

    @classmethod
    def load(cls, folder: str | Path) -> GraphAttention:
        """Reads such a folder. Raises BundleError when it is damaged, truncated or of another kind."""
        return load_weights(cls(read_config(GraphAttentionConfig, folder)), folder)

    def _check(self, batch: GraphBatch, question: Tensor) -> None:
        config, n, e = self.config, batch.num_nodes, batch.num_edges
        for name, given, wanted in (
            ("nodes", batch.nodes, (n, config.node_size)),
            ("start_nodes", batch.start_nodes, (n,)),
            ("depths", batch.depths, (n,)),
            ("edges", batch.edges, (2, e)),
            ("edge_features", batch.edge_features, (e, config.edge_size)),
            ("question", question, (batch.num_graphs, config.question_size)),
        ):
            if tuple(given.shape) != wanted:
                raise UsageError(f"graph {name} must have shape {wanted}, got {tuple(given.shape)}")
        for name, numbers, limit in (
            ("relations", batch.relations, config.num_relations),
            ("edges", batch.edges, n),
            ("graph", batch.graph, batch.num_graphs),
        ):
            if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < limit:
                raise UsageError(
                    f"graph {name} must lie in [0, {limit}), got {int(numbers.min())} to {int(numbers.max())}"
                )


def initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    """Matrices of variance 1 / inputs, embeddings of 1 / width, biases 0, norms 1, soft tokens small."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            else:
                scale = 0.02 if name == "prefix_value.weight" else 1.0
                parameter.normal_(0.0, scale * parameter.shape[1] ** -0.5, generator=generator)


def save_network(module: nn.Module, config: Any, folder: str | Path) -> None:
    """``config.json`` and ``model.safetensors`` (float32) in ``folder``."""
    from safetensors.torch import save

    tensors = {
        name: value.detach().to("cpu", torch.float32).contiguous() for name, value in module.state_dict().items()
    }
    atomic_write_bytes(Path(folder) / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))
    atomic_write_json(Path(folder) / CONFIG_FILE, asdict(config))


def read_config(kind: Any, folder: str | Path) -> Any:
    """The ``config.json`` of ``folder`` as the dataclass ``kind``; BundleError where it is none."""
    path = Path(folder) / CONFIG_FILE
    try:
        return kind(**read_object(path, BundleError, "the config of a network"))
    except (TypeError, ConfigError) as error:
        raise BundleError(f"{path} is damaged or of another network: {shorten(str(error), 120)}") from error


def load_weights(module: Network, folder: str | Path) -> Network:
    """``module`` with the weights of ``folder``; BundleError where they are damaged or do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS_FILE
    try:
        tensors = load_file(path)
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("a tensor holds values that are not finite")
        module.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise BundleError(f"no network here: {path} is missing") from error
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"{path} is damaged, cut short or does not fit: {shorten(str(error), 120)}") from error
    return module


def _mlp(inputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, size), nn.GELU(), nn.Linear(size, 1))


def _starts(counts: Sequence[int]) -> list[int]:
    starts = [0]
    for count in counts[:-1]:
        starts.append(starts[-1] + count)
    return starts


def _reached(whole: _Ways, mask: Tensor) -> _Ways:
    """Only the ways of ``mask``; sorted orders are filtered, not sorted again."""
    if bool(mask.all()):
        return whole
    chosen = mask.nonzero().squeeze(1)
    place = mask.long().cumsum(0) - 1  # of a chosen way among the chosen

    def part(index: _Index) -> _Index:
        order = index.order[mask.index_select(0, index.order)]
        return _Index(index.rows.index_select(0, chosen), index.size, place.index_select(0, order))

    return _Ways(chosen, part(whole.sources), part(whole.targets), part(whole.pairs))
