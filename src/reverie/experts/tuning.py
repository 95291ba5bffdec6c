"""Hangs trainable low-rank changes into a model of transformers: the module tree stays as it is.

Every linear gets a ``forward`` of its own. Where attention, gated units and norms are those of Llama, Mistral, Qwen2 or
Qwen3, they get one too, made of the few products and passes of ``fused``; a part that computes something else than its
own ``forward`` did, when tried, keeps that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reverie.errors import ConfigError
from reverie.experts.fused import attended, changed_products, normed
from reverie.model.backbone import gated

if TYPE_CHECKING:
    from reverie.experts.lowrank import LowRank

__all__ = ["hang", "save_memory"]

Forward = Callable[..., Any]
_QKV, _GATE_UP = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")
_PLAIN = ("Llama", "Mistral", "Qwen2", "Qwen3")  # whose parts are alike
_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}  # of what is largest


def hang(model: Any, changes: Mapping[str, LowRank], dropout: float = 0.0) -> None:
    """Add ``changes``, by the linears' names, to what ``model`` computes. ``dropout``: of what the factors read."""
    for name, change in changes.items():
        linear = model.get_submodule(name)
        fused = type(linear) is nn.Linear and not dropout
        linear.forward = _alone(linear, change) if fused else _beside(linear, linear.forward, change, dropout)
    if dropout:
        return
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in {f"{family}RMSNorm" for family in _PLAIN}:
            _take(module, _norm(module))
        elif kind in {f"{family}MLP" for family in _PLAIN} and _linears(module, (*_GATE_UP, "down_proj")):
            _take(module, _gated_unit(module, _products(module, name, _GATE_UP, changes)))
        elif kind in {f"{family}Attention" for family in _PLAIN[:3]} and _linears(module, _QKV) and _sees_all(module):
            module.forward = _attention(module, module.forward, _products(module, name, _QKV, changes))


def save_memory(model: nn.Module) -> None:
    """Keep only what goes into each layer, and compute the rest again on the way back. Raises ConfigError where the
    model's layers are not known."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(f"{type(model).__name__} has no layers whose states could be computed again")
    for layer in layers:
        layer.forward = _again(layer.forward)


def _again(forward: Forward) -> Forward:
    def computed(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=True, **named)

    return computed


def _alone(linear: nn.Linear, change: LowRank) -> Forward:
    def forward(x: Tensor) -> Tensor:
        weight = _cast(linear.weight, x)
        bias = None if linear.bias is None else linear.bias.to(weight.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return changed_products(x, weight, bias, [linear.out_features], change.scale, [change.down], [change.up])

    return forward


def _beside(linear: nn.Module, own: Forward, change: LowRank, dropout: float) -> Forward:
    """For linears whose weights are kept in a way of their own, transposed or quantized."""

    def forward(x: Tensor) -> Tensor:
        out = own(x)
        with torch.autocast(x.device.type, enabled=False):
            read = F.dropout(x.to(change.down.dtype), dropout, change.training)
            added = change.scale * F.linear(F.linear(read, change.down), change.up)
        changed: Tensor = out + added.to(out.dtype)
        return changed

    return forward


def _products(
    module: nn.Module, path: str, names: Sequence[str], changes: Mapping[str, LowRank]
) -> Callable[[Tensor], Tensor]:
    """All of ``names`` in one product. Their weights become parts of one tensor."""
    linears: list[Any] = [getattr(module, name) for name in names]
    mine = [changes.get(f"{path}.{name}") for name in names]
    scale = next((change.scale for change in mine if change), 1.0)
    factors = [(change.down, change.up) if change else (None, None) for change in mine]
    downs, ups = [down for down, _ in factors], [up for _, up in factors]
    sizes = [linear.out_features for linear in linears]
    joined: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        if not joined or joined[0].data_ptr() != linears[0].weight.data_ptr():  # the first time, and where it was moved
            joined[:] = [torch.cat([linear.weight.detach() for linear in linears])]
            for linear, part in zip(linears, joined[0].split(sizes), strict=True):
                linear.weight.data = part
        weight = _cast(joined[0], x)
        bias = None if linears[0].bias is None else torch.cat([linear.bias for linear in linears]).to(weight.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return changed_products(x, weight, bias, sizes, scale, downs, ups)

    return forward


def _cast(weight: Tensor, x: Tensor) -> Tensor:
    """Under autocast a weight in float32 is read in its dtype."""
    device = x.device.type
    return weight.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else weight


def _gated_unit(module: Any, products: Callable[[Tensor], Tensor]) -> Forward:
    return lambda x: module.down_proj(gated(products(x)))


def _norm(module: Any) -> Forward:
    return lambda x: normed(x, module.weight, module.variance_epsilon)


def _attention(module: Any, own: Forward, products: Callable[[Tensor], Tensor]) -> Forward:
    settings = module.config

    def forward(
        hidden_states: Tensor, position_embeddings: Any = None, attention_mask: Any = None, **named: Any
    ) -> tuple[Tensor, None]:
        cos, sin = position_embeddings
        if attention_mask is not None or named.get("past_key_values") is not None or len(cos) != 1:
            found: tuple[Tensor, None] = own(
                hidden_states, position_embeddings=position_embeddings, attention_mask=attention_mask, **named
            )
            return found
        qkv = products(hidden_states)
        cos, sin = cos[0].to(qkv.dtype), sin[0].to(qkv.dtype)
        mixed = attended(qkv, cos, sin, settings.num_attention_heads, settings.num_key_value_heads)
        return module.o_proj(mixed), None

    return forward


def _linears(module: nn.Module, names: Sequence[str]) -> bool:
    """Plain ones, so that their weights can be joined."""
    found = [getattr(module, name, None) for name in names]
    biases = {getattr(linear, "bias", None) is None for linear in found[: len(names)]}
    return all(type(linear) is nn.Linear for linear in found) and len(biases) == 1


def _sees_all(attention: Any) -> bool:
    """No window slides over what it reads."""
    return not (getattr(attention, "sliding_window", None) or getattr(attention.config, "sliding_window", None))


@torch.no_grad()
def _take(module: Any, forward: Forward) -> None:
    """Let ``module`` compute by ``forward``, if that gives what it gave on its own."""
    weight = next(module.parameters())
    width = weight.shape[-1]
    x = torch.linspace(-1, 1, 2 * width, device=weight.device).sin().view(1, 2, width).to(weight.dtype)
    was, now = module.forward(x).float(), forward(x).float()
    if bool(((was - now).abs().max() <= _CLOSE.get(weight.dtype, 0.0) * was.abs().max()).item()):
        module.forward = forward
