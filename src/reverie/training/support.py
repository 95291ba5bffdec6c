"""Trains graph attention and the path policy on questions whose supporting edges are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.errors import ConfigError, DataError, shorten
from reverie.files import atomic_write_bytes
from reverie.model.graph_attention import Encoded, GraphAttention, GraphBatch
from reverie.model.path_policy import PathPolicy
from reverie.training.graph import GraphData

__all__ = ["GraphExample", "SupportObjective", "evidence_paths", "load_examples", "save_examples"]

BEAM = 4  # paths kept while looking for the likeliest


@dataclass(frozen=True)
class GraphExample:
    """A question, the subgraph recalled for it, and which of its edges support the answer."""

    graph: GraphBatch  # of one subgraph; ``start_nodes`` > 0 where paths start
    question: Tensor  # float (Q,)
    support: Tensor  # bool (E,)

    def __post_init__(self) -> None:
        if self.graph.num_graphs != 1 or self.support.shape != (self.graph.num_edges,):
            raise DataError(
                f"an example is one subgraph with a mark for each of its {self.graph.num_edges} edges, "
                f"got {self.graph.num_graphs} subgraphs and marks of shape {tuple(self.support.shape)}"
            )


def save_examples(examples: Sequence[GraphExample], path: str | Path) -> None:
    """One safetensors file: all subgraphs as one disjoint graph."""
    from safetensors.torch import save

    tensors = GraphBatch.join([example.graph for example in examples]).tensors()
    del tensors["num_graphs"]
    tensors["questions"] = torch.stack([example.question for example in examples])
    tensors["support"] = torch.cat([example.support for example in examples])
    atomic_write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def load_examples(path: str | Path) -> list[GraphExample]:
    """Read such a file. Raises DataError where it is missing, damaged, or something else."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        questions, support = tensors.pop("questions"), tensors.pop("support").bool()
        whole = GraphBatch(**tensors, num_graphs=len(questions))
        node_counts = torch.bincount(whole.graph, minlength=len(questions)).tolist()
        owners = whole.graph[whole.edges[0]]
        edge_counts = torch.bincount(owners, minlength=len(questions)).tolist()
        if not (torch.equal(whole.graph, whole.graph.sort().values) and torch.equal(owners, owners.sort().values)):
            raise ValueError("its subgraphs are not in order")
        by_node = {name: getattr(whole, name).split(node_counts) for name in ("nodes", "start_nodes", "depths")}
        by_edge = {name: getattr(whole, name).split(edge_counts) for name in ("relations", "edge_features")}
        edges, marks = whole.edges.split(edge_counts, 1), support.split(edge_counts)
        first = np.cumsum([0, *node_counts])
        return [
            GraphExample(
                GraphBatch(
                    **{name: parts[number] for name, parts in (by_node | by_edge).items()},
                    graph=torch.zeros(node_counts[number], dtype=torch.int64),
                    edges=edges[number] - int(first[number]),
                    num_graphs=1,
                ),
                questions[number],
                marks[number],
            )
            for number in range(len(questions))
        ]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise DataError(f"{path} holds no graph examples: {shorten(str(error), 120)}") from error


def evidence_paths(example: GraphExample, max_steps: int) -> list[tuple[int, tuple[int, ...]]]:
    """(start, edges) of a longest simple path over supporting edges from each start node that touches one."""
    ends = example.graph.edges.T.tolist()
    ways: dict[int, list[tuple[int, int]]] = {}
    for edge in example.support.nonzero().squeeze(1).tolist():
        subject, object_ = ends[edge]
        ways.setdefault(subject, []).append((edge, object_))
        ways.setdefault(object_, []).append((edge, subject))

    def longest(node: int, seen: tuple[int, ...]) -> tuple[int, ...]:
        if len(seen) > max_steps:
            return ()
        tails = ((edge, *longest(target, (*seen, target))) for edge, target in ways.get(node, ()) if target not in seen)
        return max(tails, key=len, default=())

    start_nodes = (example.graph.start_nodes > 0).nonzero().squeeze(1).tolist()
    found = [(node, longest(node, (node,))) for node in start_nodes]
    return [(node, edges) for node, edges in found if edges]


class SupportObjective:
    """Binary cross entropy of every edge, and the log-probability of following the evidence from the start_nodes."""

    metrics: ClassVar[Mapping[str, str]] = {"graph_accuracy": "edge_recall_share"}

    def __init__(
        self,
        data: GraphData,
        examples: Sequence[GraphExample] | None = None,
        test: Sequence[GraphExample] | None = None,
    ):
        if (examples is None and not data.examples) or (test is None and not data.test_examples):
            raise ConfigError("graph examples and test_examples must each name a file of examples; one is empty")
        self.data = data
        self.examples = load_examples(data.examples) if examples is None else examples
        self.test = load_examples(data.test_examples) if test is None else test
        if not self.examples or not self.test:
            raise DataError("there must be at least one example to train on and one to test on")
        first = self.examples[0]
        config = replace(
            data.model,
            num_relations=data.model.num_relations
            or 1 + max((int(one.graph.relations.max()) for one in self.examples if one.graph.num_edges), default=0),
            node_size=first.graph.nodes.shape[1],
            edge_size=first.graph.edge_features.shape[1],
            question_size=len(first.question),
        )
        generator = torch.Generator().manual_seed(data.seed)
        self.graph = GraphAttention(config, generator)
        policy = replace(data.policy, node_size=config.hidden_size, edge_size=config.edge_size)
        self.policy = PathPolicy(policy, generator)
        self.module: nn.Module = nn.ModuleDict({"graph": self.graph, "policy": self.policy})
        self.paths = [evidence_paths(one, policy.max_steps) for one in self.examples]

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.data.seed, step])
        return self._batch(rng.integers(len(self.examples), size=self.data.batch_size).tolist())

    def _batch(self, picked: Sequence[int]) -> dict[str, Tensor]:
        examples = [self.examples[number] for number in picked]
        starts, followed = [], []
        first_node = first_edge = 0
        for number, example in zip(picked, examples, strict=True):
            for start, edges in self.paths[number]:
                starts.append(start + first_node)
                padding = (-1,) * (self.policy.config.max_steps - len(edges))
                followed.append([edge + first_edge for edge in edges] + list(padding))
            first_node += example.graph.num_nodes
            first_edge += example.graph.num_edges
        return GraphBatch.join([example.graph for example in examples]).tensors() | {
            "questions": torch.stack([example.question for example in examples]),
            "support": torch.cat([example.support for example in examples]),
            "starts": torch.tensor(starts, dtype=torch.int64),
            "paths": torch.tensor(followed, dtype=torch.int64).reshape(-1, self.policy.config.max_steps),
        }

    def encode(self, batch: dict[str, Tensor]) -> Encoded:
        """The subgraphs of a batch, after message passing."""
        extra = ("questions", "support", "starts", "paths")
        graph = GraphBatch(**{name: value for name, value in batch.items() if name not in extra})  # type: ignore[arg-type]
        encoded: Encoded = self.graph(graph, batch["questions"])
        return encoded

    def compute_loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        encoded = self.encode(batch)
        logits = self.graph.score_edges(encoded)
        edges = F.binary_cross_entropy_with_logits(logits, batch["support"].float(), reduction="sum")
        edges = edges / max(len(logits), 1)
        log_probs = self.policy.log_probs(encoded, batch["starts"], batch["paths"])
        paths = -log_probs.sum() / max(len(log_probs), 1)
        return {
            "loss": edges + self.data.path_weight * paths,
            "edge_nats": edges,
            "path_nats": paths,
            "num_ids": torch.tensor(encoded.batch.num_nodes),
        }

    @torch.no_grad()
    def evaluate(self, step: int) -> dict[str, float]:
        """On unseen examples: ``edge_recall_share``, of the supporting edges among as many best-scored edges;
        ``path_exact_share``, of the start nodes whose likeliest path runs over supporting edges, as far as it can."""
        device = self.graph.norm.weight.device
        recalled, exact = [], []
        count = min(self.data.eval_questions or len(self.test), len(self.test))
        for example in (self.test[int(place)] for place in np.linspace(0, len(self.test) - 1, count)):
            tensors = example.graph.tensors() | {"questions": example.question.unsqueeze(0)}
            encoded = self.encode({k: v.to(device) if isinstance(v, Tensor) else v for k, v in tensors.items()})
            wanted = int(example.support.sum())
            if wanted:
                top = self.graph.score_edges(encoded).topk(wanted).indices.cpu()
                recalled.append(float(example.support[top].float().mean()))
            paths = evidence_paths(example, self.policy.config.max_steps)
            starts = torch.tensor([start for start, _ in paths], dtype=torch.int64, device=device)
            taken = self.policy.beam(encoded, starts, BEAM)
            best = torch.searchsorted(taken.starts, torch.arange(len(paths), device=device))  # the first of each start
            for row, (_, edges) in zip(taken.edges[best].tolist(), paths, strict=True):
                followed = [edge for edge in row if edge >= 0]
                exact.append(len(followed) == len(edges) and bool(example.support[followed].all()))
        return {
            "edge_recall_share": float(np.mean(recalled)) if recalled else 0.0,
            "path_exact_share": float(np.mean(exact)) if exact else 0.0,
        }

    def export(self, folder: Path) -> None:
        """``graph/`` and ``policy/``."""
        self.graph.save(folder / "graph")
        self.policy.save(folder / "policy")
