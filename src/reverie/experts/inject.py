"""Experts in a model of transformers: what they add is hung onto its linears, and the model itself stays as it is.

Where every linear is an ``nn.Linear`` (Llama, Mistral, Qwen and most others, quantized or not) the sums are routed:
each row of a batch has its own few weighted experts. Other models (GPT-2 and its ``Conv1D``) get PEFT's own layers,
which apply one mixture to a whole batch, so that rows with different experts run one after the other.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from reverie.errors import MissingExtraError, UsageError
from reverie.experts.cache import ByteCache
from reverie.experts.contract import Adapter, Choice, ExpertSource, ResolvedExperts, check_choice, members_of, resolve
from reverie.experts.files import check_fit
from reverie.experts.routed import placed, routed
from reverie.experts.stacked import StackedFactors

__all__ = ["Injection", "PeftInjection", "RoutedInjection", "Weighing", "inject", "linears_of"]

EXPERT_BYTES = 256 * 2**20  # of stacked factors that stay in memory
PEFT_EXPERTS = 16  # experts that stay inside a model of PEFT's layers


class Injection(Protocol):
    """Experts hung onto a model. Nobody is active outside of ``rows`` and ``weighing``."""

    per_row: bool  # rows of one batch may have different experts

    def resolve(self, choice: Choice) -> ResolvedExperts:
        """Who ``choice`` is now. Raises UnknownNameError."""

    def rows(self, experts: Sequence[ResolvedExperts]) -> AbstractContextManager[None]:
        """While it is open, row i of every forward is under ``experts[i]``. Raises ExpertError for an expert that does
        not fit the model, UsageError for different experts where ``per_row`` is False."""

    def weighing(self, experts: ResolvedExperts, num_ids: int) -> AbstractContextManager[Weighing]:
        """While it is open, a forward of one row of so many ids is under ``experts``, and what each expert gives is
        measured."""

    def remove(self) -> None:
        """Take everything out again."""


def inject(model: nn.Module, source: ExpertSource, budget: int = EXPERT_BYTES) -> Injection:
    """Hang the experts of ``source`` onto ``model``, in the way that its linears allow.

    ``budget``: bytes of factors that are kept ready for the next call; PEFT's layers keep ``PEFT_EXPERTS`` experts.
    """
    if any(_is_conv1d(module) for module in model.modules()):
        return PeftInjection(model, source)
    return RoutedInjection(model, source, budget)


def linears_of(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Names of the linears that an adapter may change → (out, in)."""
    sizes = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            sizes[name] = (module.out_features, module.in_features)
        elif _is_conv1d(module):
            sizes[name] = (module.nf, module.nx)
    return sizes


@dataclass(frozen=True, eq=False)
class _Stack:
    """The factors of some experts, for every linear that one of them changes."""

    slots: Mapping[str, StackedFactors]

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self.slots.values())


class Weighing:
    """Adds the experts of one row, one by one, and sums how large what each added was, and what it was added to."""

    def __init__(self, adapters: Sequence[Adapter], weights: Sequence[float], num_ids: int):
        self._adapters, self._weights = adapters, weights
        self._given = torch.zeros(num_ids, len(adapters))
        self._base = torch.zeros(num_ids, 1)

    @property
    def shares(self) -> Tensor:
        """float (T, experts): the root of the summed squares of what each gave, over that of the base's own."""
        return (self._given / self._base).sqrt()

    def add(self, linear: str, x: Tensor, out: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).float()  # (T, in), or a few chosen ids, which are not counted
        counts = len(flat) == len(self._base)
        if counts:
            self._base += out.reshape(len(flat), -1).float().square().sum(1, keepdim=True).cpu()
        given = []
        for adapter, weight in zip(self._adapters, self._weights, strict=True):
            factors = adapter.factors.get(linear)
            added = torch.zeros((), device=x.device).expand(len(flat), out.shape[-1])
            if factors is not None:
                added = weight * (flat @ factors.down.to(x.device).t() @ factors.up.to(x.device).t())
            given.append(added.square().sum(1))
            out = out + added.view(out.shape).to(out.dtype)
        if counts:
            self._given += torch.stack(given, 1).cpu()
        return out


class _HookedExperts:
    """What both ways share: the model, where experts come from, and how they are measured."""

    def __init__(self, model: Any, source: ExpertSource):
        self._model, self._source, self._sizes = model, source, linears_of(model)
        self._names = dict(model.named_modules())

    def resolve(self, choice: Choice) -> ResolvedExperts:
        return resolve(check_choice(choice), self._source)

    @contextmanager
    def weighing(self, experts: ResolvedExperts, num_ids: int) -> Iterator[Weighing]:
        adapters = [self._adapter(name) for name, _, _ in experts]
        weighing = Weighing(adapters, [weight for _, weight, _ in experts], num_ids)
        head = self._model.get_output_embeddings() if hasattr(self._model, "get_output_embeddings") else None

        def hook(linear: str) -> Any:
            return lambda _, given, out: weighing.add(linear, given[0], out)

        now = dict(self._model.named_modules())  # PEFT's layers stand where the linears stood
        hooks = [now[name].register_forward_hook(hook(name)) for name in self._sizes if now[name] is not head]
        try:
            yield weighing
        finally:
            for one in hooks:
                one.remove()

    def _adapter(self, name: str) -> Adapter:
        adapter = self._source.adapter(name)
        check_fit(adapter, self._sizes, name)
        return adapter


class RoutedInjection(_HookedExperts):
    """Several weighted experts a row, in one batch, through forward hooks that add to what each linear gives."""

    per_row = True

    def __init__(self, model: nn.Module, source: ExpertSource, budget: int = EXPERT_BYTES):
        super().__init__(model, source)
        self._stacks: ByteCache[Any, _Stack] = ByteCache(budget, lambda stack: stack.nbytes)
        self._active: Mapping[str, StackedFactors] = {}
        self._experts, self._weights = torch.empty(0, 0, dtype=torch.int64), torch.empty(0, 0)
        self._num_ids = 0  # a row, of the forward that is under way
        self._hooks = [self._names[name].register_forward_hook(self._hook(name)) for name in self._sizes]
        self._hooks.append(model.register_forward_pre_hook(self._count, with_kwargs=True))

    @contextmanager
    def rows(self, experts: Sequence[ResolvedExperts]) -> Iterator[None]:
        members = members_of(experts)
        if not members:
            yield
            return
        stack = self._stacks.get(tuple(members), lambda: self._stack(members))
        self._experts, self._weights = placed(experts, members)
        self._active = stack.slots
        try:
            yield
        finally:
            self._active = {}

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _stack(self, members: Sequence[tuple[str, str]]) -> _Stack:
        adapters = [self._adapter(name) for name, _ in members]
        slots = {}
        for linear, (outs, ins) in self._sizes.items():
            factors = [adapter.factors.get(linear) for adapter in adapters]
            if any(factors):
                stacked, device = StackedFactors.stack(factors, ins, outs), _device(self._names[linear])
                parts = {part: getattr(stacked, part).to(device) for part in ("down", "up", "starts")}
                slots[linear] = replace(stacked, **parts)
        return _Stack(slots)

    def _count(self, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = next((named[key] for key in ("input_ids", "inputs_embeds") if named.get(key) is not None), None)
        self._num_ids = (given[0] if ids is None else ids).shape[1]

    def _hook(self, linear: str) -> Any:
        def add(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
            slots = self._active.get(linear)
            if slots is None:
                return None
            x, num_rows = given[0], len(self._experts)
            flat = x.reshape(-1, x.shape[-1])
            of_row = len(flat) // num_rows  # ids of a row; some models flatten (rows, ids) before a linear
            if len(flat) != num_rows * of_row or (len(x) != num_rows and of_row != self._num_ids):
                raise UsageError(f"experts are set for {num_rows} rows, and {linear} is given {tuple(x.shape)}")
            experts, weights = (
                part.to(x.device).repeat_interleave(of_row, 0) for part in (self._experts, self._weights)
            )
            return out + routed(flat.float(), slots, experts, weights).view(out.shape).to(out.dtype)

        return add


class PeftInjection(_HookedExperts):
    """One weighted mixture a batch, through PEFT's layers; each expert is put in when it is first asked for."""

    per_row = False

    def __init__(self, model: nn.Module, source: ExpertSource):
        super().__init__(model, source)
        self._peft, self._numbers = _peft(), count()
        self._inside: OrderedDict[tuple[str, str], str] = OrderedDict()  # expert and key → its name in PEFT's layers

    @contextmanager
    def rows(self, experts: Sequence[ResolvedExperts]) -> Iterator[None]:
        if any(one != experts[0] for one in experts):
            raise UsageError(
                "this base takes one mixture of experts a batch: give rows with other experts on their own"
            )
        weights = {self._put_in(name, key): weight for name, weight, key in (experts[0] if experts else ())}
        layers = self._layers()
        for layer in layers:
            layer.set_adapter([adapter for adapter in weights if adapter in layer.scaling])
            layer.scaling.update({adapter: weights[adapter] for adapter in layer.active_adapters})
        try:
            yield
        finally:
            for layer in layers:
                layer.set_adapter([])

    def remove(self) -> None:
        for name, module in [*self._model.named_modules()]:
            if hasattr(module, "lora_A"):
                parent, _, child = name.rpartition(".")
                setattr(self._model.get_submodule(parent), child, module.get_base_layer())
        self._inside.clear()

    def _layers(self) -> list[Any]:
        return [module for module in self._model.modules() if hasattr(module, "lora_A")]

    def _put_in(self, name: str, key: str) -> str:
        """The expert's name inside; what was used longest ago leaves where there are too many."""
        known = self._inside.pop((name, key), None)
        if known is None:
            known = f"expert{next(self._numbers)}"
            with torch.inference_mode(False), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PEFT says that it mends fan_in_fan_out where a linear is none
                self._inject(self._adapter(name), known)
        self._inside[name, key] = known
        while len(self._inside) > PEFT_EXPERTS:
            _, old = self._inside.popitem(last=False)
            for layer in self._layers():
                layer.delete_adapter(old)
        return known

    def _inject(self, adapter: Adapter, known: str) -> None:
        ranks = {linear: factors.rank for linear, factors in adapter.factors.items()}
        config = self._peft.LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.rank,
            target_modules=sorted(ranks),
            rank_pattern=ranks,
            alpha_pattern=ranks,
            fan_in_fan_out=True,
        )
        self._peft.inject_adapter_in_model(config, self._model, known)
        for linear, factors in adapter.factors.items():
            layer: Any = self._model.get_submodule(linear)
            layer.lora_A[known].weight.data.copy_(factors.down)
            layer.lora_B[known].weight.data.copy_(factors.up)
        for layer in self._layers():
            layer.set_adapter([])
        self._model.requires_grad_(False)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _is_conv1d(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("experts on this base", "bases") from error
    return peft
