"""The router: which experts, if any, a row should get, by what the bare base makes of its question.

Every expert has a gate of its own, a sigmoid in [0, 1], so that none, one or several can open: a softmax must pick
someone. A gate is the product of what was learned (which expert lowers the loss of which row) and of a prototype
(is this row like any that the expert knows at all), so that rows that belong to nobody close every gate. An expert
that came later is gated by its prototype alone, and the others are not trained again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from reverie.errors import ConfigError, ExpertError, UsageError, shorten
from reverie.experts.contract import MAX_EXPERTS, Choice, check_name
from reverie.experts.prototype_stack import PrototypeStack
from reverie.experts.prototypes import Prototype, check_base, check_prototype, stack_prototypes
from reverie.files import atomic_write_bytes, atomic_write_json
from reverie.jsonio import read_object
from reverie.settings import build_settings

__all__ = ["Router", "RouterConfig"]

Mode = Literal["threshold", "topk"]
_ROWS = 64  # whose distances to all prototypes are found at once
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class RouterConfig:
    """How a router chooses, and how it is trained."""

    mode: Mode = "threshold"  # topk: the max_experts with the largest gates, whatever these are
    threshold: float = 0.3  # a gate at least this large is open
    max_experts: int = MAX_EXPERTS  # of one row or token
    capacity_factor: float = 1.25  # in training an expert takes at most so many times its even share of a batch; 0: all
    balance_weight: float = 0.01  # of the load-balancing loss
    capacity_weight: float = 0.01  # of the loss on what exceeds the capacity
    bias: bool = True  # of the gates
    dropout: float = 0.1  # of the features, in training
    per_token: bool = False  # trained on every id of a question with those before it, rather than on its whole
    hidden_size: int = 0  # width of a hidden layer; 0: gates are linear in the features
    prototypes: bool = True  # multiply gates by prototypes
    prototype_rank: int = 16  # directions of a prototype
    layers: int = 0  # of the base, whose states it reads; 0, or as many as there are: all

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ConfigError(f"a router's mode is {' or '.join(get_args(Mode))}, got '{shorten(str(self.mode))}'")
        for name, low, high in (
            ("threshold", 0, 1),
            ("max_experts", 1, MAX_EXPERTS),
            ("capacity_factor", 0, math.inf),
            ("balance_weight", 0, math.inf),
            ("capacity_weight", 0, math.inf),
            ("dropout", 0, 0.99),
            ("hidden_size", 0, 65536),
            ("prototype_rank", 0, 256),
            ("layers", 0, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"a router's {name} lies between {low} and {high}, got {getattr(self, name)}")


class Router(nn.Module):
    """Gates over features float (…, D) of the bare base (see ``features.py``): of a question, or of each of its ids.

    ``names``: the experts that have a learned gate. ``base``: hash of the base's weights, kept with the router.
    """

    def __init__(
        self,
        names: Sequence[str],
        size: int,
        config: RouterConfig | None = None,
        base: str = "",
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if len(set(names)) < len(names):
            raise UsageError(f"a router's experts have different names, got {', '.join(names)}")
        self.config = config or RouterConfig()
        self.names = [check_name(name) for name in names]
        self.size, self.base, self.num_learned = size, base, len(names)
        self.prototypes: dict[str, Prototype] = {}
        self._stack: tuple[list[Any], PrototypeStack] | None = None
        self.center: Tensor
        self.spread: Tensor
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        hidden, width = self.config.hidden_size, self.config.hidden_size or size
        self.hidden = nn.utils.skip_init(nn.Linear, size, hidden) if hidden else None
        self.weight = nn.Parameter(torch.empty(len(names), width))  # no nn.Linear: there may be no names
        self.bias = nn.Parameter(torch.full((len(names),), -2.0)) if self.config.bias else None  # closed at first
        with torch.no_grad():
            self.weight.normal_(0, 0.1 * width**-0.5, generator=generator)
            if self.hidden is not None:
                self.hidden.weight.normal_(0, size**-0.5, generator=generator)
                self.hidden.bias.zero_()
        self.dropout = nn.Dropout(self.config.dropout)

    def fit_scale(self, features: Tensor) -> None:
        """Learn how features (n, D) are scaled. Once, before training."""
        self._stack = None
        self.center.copy_(features.mean(0))
        self.spread.copy_(features.std(0) + 1e-3 * features.std() + 1e-8)

    def logits(self, features: Tensor) -> Tensor:
        """What was learned, (…, D) → (…, number of learned gates), before the sigmoid and without prototypes."""
        if features.shape[-1] != self.size:
            raise UsageError(
                f"this router reads {self.size} features a row, got {features.shape[-1]}: make them with "
                "experts.features.question_features, on the base that it was trained for"
            )
        x: Tensor = self.dropout((features.float() - self.center) / self.spread)
        if self.hidden is not None:
            x = self.dropout(nn.functional.gelu(self.hidden(x)))
        return nn.functional.linear(x, self.weight, self.bias)

    def gates(self, features: Tensor, least: float = 0.0) -> Tensor:
        """(…, D) → (…, E) in [0, 1], in the order of ``names``. What is surely below ``least`` may be told as 0."""
        learned = self.logits(features).sigmoid()
        later = len(self.names) - self.num_learned
        gates = torch.cat((learned, learned.new_ones(*learned.shape[:-1], later)), -1)
        if self.prototypes and (self.config.prototypes or later):
            gates = gates * self._closeness(features.float(), least)
        return gates

    forward = gates

    def _closeness(self, features: Tensor, least: float) -> Tensor:
        """How well each prototype fits, (…, E) in [0, 1]; 1 where an expert has none."""
        learned = set() if self.config.prototypes else set(self.names[: self.num_learned])
        used = [None if name in learned else self.prototypes.get(name) for name in self.names]
        key = [*used, self.center.device]
        if self._stack is None or self._stack[0] != key:
            self._stack = key, PrototypeStack(stack_prototypes(used, self.center, self.spread))
        parts = features.reshape(-1, self.size).split(_ROWS)
        return torch.cat([self._stack[1].gates(part, least) for part in parts]).reshape(*features.shape[:-1], len(used))

    def choose(self, gates: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Gates (…, E) → experts int64 (…, k) with -1 for none, weights (…, k) that sum to 1, or to 0 for nobody.

        k is max_experts, or E where that is less. ``training``: the capacity holds over all rows given.
        """
        allowed = gates > 0 if self.config.mode == "topk" else gates >= self.config.threshold
        if training and self.config.capacity_factor:
            allowed = allowed & within_capacity(gates, allowed, self.config)
        largest, experts = gates.masked_fill(~allowed, 0).topk(min(self.config.max_experts, gates.shape[-1]), -1)
        return experts.masked_fill(largest == 0, -1), largest / largest.sum(-1, keepdim=True).clamp_min(1e-12)

    @torch.no_grad()
    def route(self, features: Tensor, training: bool | None = None, among: Sequence[str] | None = None) -> list[Choice]:
        """The experts of each row of features (B, D), largest weight first; () is nobody.

        Weights are the open gates over their sum, so that an expert alone acts whole. ``training``: as the module
        is, unless said; the capacity holds then. ``among``: only these may be chosen, such as those that are there.
        """
        if features.dim() != 2:
            raise UsageError(f"route takes one row of features per question, (B, D), got {tuple(features.shape)}")
        gates = self.gates(features, self.config.threshold if self.config.mode == "threshold" else 0.0)
        if among is not None:
            there = set(among)
            gates = gates * torch.tensor([name in there for name in self.names], device=gates.device)
        experts, weights = self.choose(gates, self.training if training is None else training)
        return [
            tuple((self.names[e], w) for e, w in zip(row, given) if e >= 0)
            for row, given in zip(experts.tolist(), weights.tolist())
        ]

    def with_prototypes(self, prototypes: Mapping[str, Prototype]) -> Router:
        """This router with other experts beside its own, or with other prototypes of its own; weights are shared."""
        for name, one in prototypes.items():
            if one.size != self.size:
                raise ExpertError(f"the prototype of '{name}' has {one.size} features, the router {self.size}")
            if one.layers != self.config.layers:
                raise ExpertError(
                    f"the prototype of '{name}' is of features after {one.layers or 'all'} layers of the base, and the "
                    f"router reads those after {self.config.layers or 'all'}: fit it again"
                )
        other = Router.__new__(Router)
        nn.Module.__init__(other)
        other.__dict__.update(self.__dict__)
        other.names = [*self.names, *(check_name(name) for name in prototypes if name not in self.names)]
        other.prototypes = {**self.prototypes, **prototypes}
        return other

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        from safetensors.torch import save

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        for name, one in self.prototypes.items():
            tensors |= {
                f"prototypes.{name}/{field}": t.detach().cpu().contiguous() for field, t in one.tensors().items()
            }
        config: dict[str, Any] = {"names": self.names, "num_learned": self.num_learned, "size": self.size}
        config |= {"base": self.base, "router": asdict(self.config)}
        atomic_write_bytes(folder / _WEIGHTS, save(tensors, metadata={"base": self.base}))
        atomic_write_json(folder / _CONFIG, config)

    @classmethod
    def load(cls, folder: Path, base: str = "") -> Router:
        """What ``save`` wrote, in eval mode. Raises ExpertError for a damaged one and, where ``base`` is given, for one
        that was trained on another base's features.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            fields = read_object(folder / _CONFIG, ExpertError, "the router's config")
            tensors = load_file(folder / _WEIGHTS)
            config, names = build_settings(RouterConfig, fields["router"]), fields["names"]
            check_base(fields["base"], base, f"the router {folder}")
            router = cls(names[: fields["num_learned"]], fields["size"], config, fields["base"])
            kept: dict[str, dict[str, Tensor]] = {}
            for key in [key for key in tensors if key.startswith("prototypes.")]:
                name, _, field = key.removeprefix("prototypes.").rpartition("/")
                kept.setdefault(name, {})[field] = tensors.pop(key)
            router.load_state_dict(tensors)
            prototypes = {name: check_prototype(kept[name], folder, config.layers) for name in names if name in kept}
            if not set(names[router.num_learned :]) <= set(prototypes):
                raise ValueError("an expert has neither a learned gate nor a prototype")
        except OSError as error:
            raise ExpertError(f"no router in {folder}: {error.strerror or shorten(str(error))}") from error
        except (KeyError, RuntimeError, SafetensorError, TypeError, UsageError, ValueError) as error:
            raise ExpertError(f"the router {folder} is damaged: {shorten(str(error))}") from error
        router.prototypes, router.names = prototypes, list(names)
        return router.eval().requires_grad_(False)


def capacity_of(allowed: Tensor, config: RouterConfig) -> int:
    """How many of N rows one expert may take, where allowed (N, E) says which gates are open.

    capacity_factor × N × experts a row / E: in mode topk max_experts of them are chosen for a row, in mode threshold as
    many as are open on average, at least one (Switch Transformer, arXiv 2101.03961).
    """
    rows, count = allowed.shape
    a_row: float = min(config.max_experts, count)
    if config.mode == "threshold":
        a_row = min(a_row, max(1.0, float(allowed.sum()) / max(rows, 1)))
    return max(1, math.ceil(config.capacity_factor * rows * a_row / max(count, 1)))


def within_capacity(gates: Tensor, allowed: Tensor, config: RouterConfig) -> Tensor:
    """bool (…, E): the rows with the largest gates of each expert, as many as its capacity lets through."""
    flat, open_ = gates.flatten(0, -2), allowed.flatten(0, -2)
    capacity = capacity_of(open_, config)
    if capacity >= len(flat):
        return allowed
    largest = flat.masked_fill(~open_, -1).topk(capacity, 0).indices
    return torch.zeros_like(open_).scatter(0, largest, True).reshape(allowed.shape)
