"""What a frozen base made elsewhere is trained through: a few products and passes over memory instead of dozens.

Each function here is an autograd function that knows what is frozen. Linears with low-rank changes that read the same
are one product, its changes are added in place, and only their factors and the input get gradients. Norms, gated units
and attention in Llama's layout are as in ``model.backbone``, without gradients for what is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from reverie.model.backbone import PLAIN_ATTENTION_IDS, rotate
from reverie.model.products import linear

__all__ = ["attended", "changed_products", "normed"]


def changed_products(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Sequence[int],
    scale: float,
    downs: Sequence[Tensor | None],
    ups: Sequence[Tensor | None],
) -> Tensor:
    """x (..., in) → (..., out) by frozen linears side by side, with trained changes: each adds scale · (x down') up'.

    Args:
        weight, bias: (out, in) and (out,) of all linears, one after another
        sizes: how many of ``out`` each linear has
        downs, ups: of each linear (rank, in) and (its size, rank), or None where nothing changes it
    """
    ends, at, places = list(accumulate(sizes)), 0, list[tuple[slice, slice]]()
    for end, size, down in zip(ends, sizes, downs, strict=True):
        if down is not None:
            places.append((slice(end - size, end), slice(at, at + len(down))))
            at += len(down)
    factors = [factor for factor in (*downs, *ups) if factor is not None]
    return _Products.apply(x, weight, bias, places, scale, *factors)


class _Products(torch.autograd.Function):
    """All changes at once: down (ranks, in) lies below one another, up (out, ranks) is zero but for a block of each."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, places: list[tuple[slice, slice]], scale: float,
        *factors: Tensor,
    ) -> Tensor:  # fmt: skip
        flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        out, kept = linear(flat, weight, bias), [weight]
        if places:
            down = torch.cat(factors[: len(places)]).to(weight.dtype)
            up = weight.new_zeros(len(weight), len(down))
            for (mine, ranks), factor in zip(places, factors[len(places) :], strict=True):
                up[mine, ranks] = factor * scale
            low = linear(flat, down)  # (n, ranks)
            out += linear(low, up)
            kept += [flat, low, down, up]
        ctx.save_for_backward(*kept)
        ctx.places, ctx.scale, ctx.shape, ctx.dtypes = (
            places,
            scale,
            x.shape,
            (x.dtype, *(one.dtype for one in factors)),
        )
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        weight, *changes = ctx.saved_tensors
        grad = grad.reshape(-1, len(weight))
        grad_x = linear(grad, weight.t()) if ctx.needs_input_grad[0] else None
        grads: list[Tensor] = []
        if ctx.places:
            flat, low, down, up = changes
            back = linear(grad, up.t())  # (n, ranks)
            if grad_x is not None:
                grad_x += linear(back, down.t())
            grad_down = linear(back.t().contiguous(), flat.t())
            grad_up = linear(low.t().contiguous(), grad.t()).mul_(ctx.scale)  # (ranks, out)
            grads = [grad_down[ranks] for _, ranks in ctx.places]
            grads += [grad_up[ranks, mine].t() for mine, ranks in ctx.places]
        if grad_x is not None:
            grad_x = grad_x.view(ctx.shape).to(ctx.dtypes[0])
        factors = (one.to(dtype) for one, dtype in zip(grads, ctx.dtypes[1:], strict=True))
        return grad_x, None, None, None, None, *factors


def normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last axis with a frozen ``weight``; x is float, (..., D)."""
    return _FrozenNorm.apply(x, weight, eps)


class _FrozenNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        unit = (wide * scale).to(x.dtype)
        ctx.save_for_backward(unit, scale, weight)
        return unit * weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        unit, scale, weight = ctx.saved_tensors
        grad = grad * weight
        along = torch.linalg.vecdot(grad, unit).div_(grad.shape[-1]).unsqueeze(-1)
        return grad.addcmul_(unit, along, value=-1).mul_(scale.to(grad.dtype)), None, None


def attended(qkv: Tensor, cos: Tensor, sin: Tensor, num_heads: int, num_kv_heads: int) -> Tensor:
    """Causal attention with rotary positions; (B, T, (H + 2 KV) · Dh) → (B, T, H · Dh).

    Heads of queries come first, then keys, then values; key head j serves the queries j · H/KV and on, as in Llama.
    cos, sin: (T, Dh), the two halves alike.
    """
    if qkv.shape[1] <= PLAIN_ATTENTION_IDS and qkv.device.type == "cpu":
        return _GroupedAttention.apply(qkv, cos, sin, num_heads, num_kv_heads)
    B, T, _ = qkv.shape
    heads = qkv.view(B, T, num_heads + 2 * num_kv_heads, -1).transpose(1, 2)
    q, k, v = heads.split([num_heads, num_kv_heads, num_kv_heads], 1)
    q, k = (one * cos + torch.cat((-one.chunk(2, -1)[1], one.chunk(2, -1)[0]), -1) * sin for one in (q, k))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=num_heads != num_kv_heads)
    return out.transpose(1, 2).reshape(B, T, -1)


class _GroupedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor, num_heads: int, num_kv_heads: int) -> Tensor:
        B, T, size = qkv.shape
        groups, head_size = num_heads // num_kv_heads, size // (num_heads + 2 * num_kv_heads)
        parts = qkv.view(B, T, -1, head_size).transpose(1, 2)  # (B, H + 2 KV, T, Dh)
        q, k, v = (qkv.new_empty(B, num, T, head_size) for num in (num_heads, num_kv_heads, num_kv_heads))
        rotate(parts[:, :num_heads], cos, sin, q)
        rotate(parts[:, num_heads:-num_kv_heads], cos, sin, k)
        v.copy_(parts[:, -num_kv_heads:])
        q, k, v = q.view(B * num_kv_heads, groups * T, head_size), *(one.flatten(0, 1) for one in (k, v))
        future = torch.full((T, T), float("-inf"), dtype=qkv.dtype, device=qkv.device).triu_(1).repeat(groups, 1)
        probs = torch.softmax(torch.baddbmm(future, q, k.transpose(1, 2), alpha=head_size**-0.5), -1)
        ctx.save_for_backward(q, k, v, probs, cos, sin)
        ctx.shape = B, T, num_heads, num_kv_heads, head_size
        return torch.bmm(probs, v).view(B, num_heads, T, head_size).transpose(1, 2).reshape(B, T, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, probs, cos, sin = ctx.saved_tensors
        B, T, num_heads, num_kv_heads, head_size = ctx.shape
        grad = grad.reshape(B, T, num_heads, head_size).transpose(1, 2).reshape(q.shape)
        slope = torch._softmax_backward_data(torch.bmm(grad, v.transpose(1, 2)), probs, -1, probs.dtype)
        slope.mul_(head_size**-0.5)
        out = grad.new_empty(B, T, num_heads + 2 * num_kv_heads, head_size)
        parts = out.transpose(1, 2)
        rotate(torch.bmm(slope, k).view(B, num_heads, T, head_size), cos, -sin, parts[:, :num_heads])
        grad_k = torch.bmm(slope.transpose(1, 2), q).view(B, num_kv_heads, T, head_size)
        rotate(grad_k, cos, -sin, parts[:, num_heads:-num_kv_heads])
        parts[:, -num_kv_heads:] = torch.bmm(probs.transpose(1, 2), grad).view(grad_k.shape)
        return out.view(B, T, -1), None, None, None, None
