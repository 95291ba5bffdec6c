"""The backbone: a causal language model in Llama layout, with a forward and backward made for few CPU cores.

Parameter names and maths are those of transformers' ``LlamaForCausalLM`` (tied embeddings, as many key heads as
query heads), so a saved folder opens there and theirs opens here. What differs is speed: attention, norm, gated
unit and loss are autograd functions that do in a few passes over memory what autograd would do in dozens, because
at this width a step spends as long on moving activations as on multiplying them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.errors import BundleError, ConfigError, UsageError, shorten
from reverie.files import atomic_write_bytes, atomic_write_json
from reverie.jsonio import read_object

__all__ = ["Backbone", "BackboneConfig", "gated"]

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PLAIN_ATTENTION_IDS = 256  # up to this length bmm + softmax beats the CPU's flash attention, whose backward is slow
LOSS_CHUNK = 1024  # positions whose logits exist at once: 1024 × 2,300 in bf16 stay inside the caches
INIT_STD = 0.02


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes of the backbone. Embeddings are tied; there are no biases."""

    vocab_size: int  # ids; 0 in a recipe: as many as the tokenizers turn out to have
    hidden_size: int = 256  # width D
    intermediate_size: int = 672  # width of the gated unit
    num_layers: int = 5
    num_heads: int = 4  # D / num_heads must be even, for the rotary pairs
    max_positions: int = 1024  # longest sequence, in ids
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "max_positions"):
            value, least = getattr(self, name), 0 if name == "vocab_size" else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"backbone {name} is a whole number of at least {least}, got {value!r}")
        if self.hidden_size % (2 * self.num_heads):
            raise ConfigError(
                f"backbone hidden_size must be a multiple of 2 × num_heads, got {self.hidden_size} and {self.num_heads}"
            )
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigError(f"backbone {name} is a positive number, got {value!r}")

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_heads

    def to_transformers(self, dtype: torch.dtype) -> dict[str, Any]:
        """The ``config.json`` of the same model in transformers (4 and 5 read rope_theta in different places)."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_heads,
            "head_dim": self.head_size,
            "max_position_embeddings": self.max_positions,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "attention_dropout": 0.0,
            "tie_word_embeddings": True,
            "initializer_range": INIT_STD,
            "bos_token_id": None,  # the grammar decides where a document starts and ends
            "eos_token_id": None,
            "dtype": str(dtype).removeprefix("torch."),
        }

    @classmethod
    def from_transformers(cls, fields: Mapping[str, Any]) -> BackboneConfig:
        """Reads such a ``config.json``. Raises BundleError for a model that this backbone cannot be."""
        rope = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
        try:
            config = cls(
                vocab_size=fields["vocab_size"],
                hidden_size=fields["hidden_size"],
                intermediate_size=fields["intermediate_size"],
                num_layers=fields["num_hidden_layers"],
                num_heads=fields["num_attention_heads"],
                max_positions=fields["max_position_embeddings"],
                rope_theta=rope.get("rope_theta", fields.get("rope_theta", 10000.0)),
                norm_eps=fields["rms_norm_eps"],
            )
        except (KeyError, AttributeError) as error:
            raise BundleError(f"the backbone's config.json is incomplete: {error} is missing or malformed") from error
        except ConfigError as error:
            raise BundleError(f"the backbone's config.json is damaged: {error}") from error
        required = {
            "model_type": "llama",
            "tie_word_embeddings": True,
            "num_key_value_heads": config.num_heads,
            "head_dim": config.head_size,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
        }
        for name, wanted in required.items():
            if fields.get(name, wanted) != wanted:
                raise BundleError(f"the backbone needs {name}={wanted}, its config.json says {fields[name]!r}")
        if rope.get("rope_type", rope.get("type", "default")) != "default":
            raise BundleError(f"the backbone knows only plain rotary positions, its config.json says {rope!r}")
        return config


class Attention(nn.Module):
    """Holds the four projections under transformers' names."""

    def __init__(self, size: int):
        super().__init__()
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)

    def fused_qkv(self) -> Tensor:
        """(3D, D): one product instead of three."""
        return torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))


class GatedUnit(nn.Module):
    """Holds the three projections of SwiGLU under transformers' names."""

    def __init__(self, size: int, inner: int):
        super().__init__()
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def fused_gate_up(self) -> Tensor:
        """(2I, D)"""
        return torch.cat((self.gate_proj.weight, self.up_proj.weight))


class Layer(nn.Module):
    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        self.self_attn = Attention(config.hidden_size)
        self.mlp = GatedUnit(config.hidden_size, config.intermediate_size)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # x (B, T, D), cos and sin (T, Dh)
        dtype, eps = cos.dtype, self.config.norm_eps
        normed = _Norm.apply(x, self.input_layernorm.weight, eps, dtype)
        qkv = F.linear(normed, self.self_attn.fused_qkv().to(dtype))
        x = x + F.linear(attend(qkv, cos, sin, self.config.num_heads), self.self_attn.o_proj.weight.to(dtype))
        normed = _Norm.apply(x, self.post_attention_layernorm.weight, eps, dtype)
        inner = gated(F.linear(normed, self.mlp.fused_gate_up().to(dtype)))
        return x + F.linear(inner, self.mlp.down_proj.weight.to(dtype))


class Decoder(nn.Module):
    """What transformers calls ``model``: embeddings, layers, last norm."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        size = (config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding(*size, _weight=torch.empty(size))  # normal_ on meta loads torch's compiler
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.norm_eps)


class Backbone(nn.Module):
    """The language model. ids int64 (B, T) in [0, vocab_size) → logits (B, T, V).

    Under ``torch.autocast`` the products run in its dtype while residuals and weights keep theirs.
    ``generator`` seeds the initial weights; without one they come from torch's global generator.
    """

    def __init__(self, config: BackboneConfig, generator: torch.Generator | None = None):
        super().__init__()
        if config.vocab_size == 0:
            raise ConfigError("a backbone needs a vocabulary of at least 1 id, got vocab_size=0")
        self.config = config
        with torch.device("meta"):  # torch's own initial values would be thrown away
            self.model = Decoder(config)
        self.model.to_empty(device="cpu")
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise(generator)
        self.register_load_state_dict_pre_hook(_drop_tied_head)

    cos: Tensor
    sin: Tensor

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        residual_std = INIT_STD / (2 * self.config.num_layers) ** 0.5  # keeps the residual stream's size at any depth
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)
            else:
                std = residual_std if name.endswith(("o_proj.weight", "down_proj.weight")) else INIT_STD
                parameter.normal_(0.0, std, generator=generator)

    @property
    def embeddings(self) -> Tensor:
        """(V, D): the input embeddings, which are the output weights too."""
        return self.model.embed_tokens.weight

    @property
    def layers(self) -> list[Layer]:
        return [cast(Layer, layer) for layer in self.model.layers]

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def _compute_dtype(self) -> torch.dtype:
        device = self.embeddings.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.embeddings.dtype

    def hidden(
        self, ids: Tensor, prefix_embeddings: Tensor | None = None, layers: int = 0
    ) -> Tensor:  # (B, T) → (B, T, D)
        """The final states, after the last norm. Raises UsageError for more ids than there are positions.

        ``layers``: only so many are run before the last norm; 0: all.

        ``prefix_embeddings``: float (B, n, D), read before the ids as if they were embeddings of n more
        (a soft prefix); their own states are left out.
        """
        length = ids.shape[1] + (0 if prefix_embeddings is None else prefix_embeddings.shape[1])
        if length > self.config.max_positions:
            raise UsageError(f"{length} ids are more than the {self.config.max_positions} positions of this backbone")
        dtype = self._compute_dtype()
        cos, sin = self.cos[:length].to(dtype), self.sin[:length].to(dtype)
        with torch.autocast(ids.device.type, enabled=False):  # the casts below are ours: one a weight and step
            x = F.embedding(ids, self.embeddings)
            if prefix_embeddings is not None:
                x = torch.cat((prefix_embeddings.to(x.dtype), x), 1)
            for layer in self.layers[: layers or None]:
                x = layer(x, cos, sin)
            return _Norm.apply(x[:, length - ids.shape[1] :], self.model.norm.weight, self.config.norm_eps, dtype)

    def logits(self, hidden: Tensor) -> Tensor:  # (..., D) → (..., V)
        return F.linear(hidden, self.embeddings.to(hidden.dtype))

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) → (B, T, V)
        return self.logits(self.hidden(ids))

    def loss(self, ids: Tensor, weights: Tensor, prefix_embeddings: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weighted mean of -log p(ids[:, t] | ids[:, :t]) in nats, after ``prefix_embeddings`` (see ``hidden``).

        ``weights`` float (B, T), each >= 0: how much predicting ids[:, t] counts; column 0 has nothing before it and
        is ignored. Returns the loss (scalar, float32) and the nats at each position (B, T, detached; 0 where the
        weight is 0, because no logits are computed there). All weights 0 give a loss of 0.
        """
        wanted = weights[:, 1:].reshape(-1)
        chosen = wanted.nonzero().squeeze(1)
        hidden = (
            self.hidden(ids, prefix_embeddings)[:, :-1].reshape(-1, self.config.hidden_size).index_select(0, chosen)
        )
        shares = wanted[chosen].float()
        shares = shares / shares.sum().clamp_min(torch.finfo(torch.float32).tiny)
        with torch.autocast(ids.device.type, enabled=False):
            loss, nats = _Loss.apply(hidden, self.embeddings, ids[:, 1:].reshape(-1)[chosen], shares)
        nll = torch.zeros(ids.shape, dtype=torch.float32, device=ids.device)
        rows = ids.shape[1] - 1
        nll[chosen // rows, chosen % rows + 1] = nats
        return loss, nll

    def save(self, folder: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Writes ``config.json`` and ``model.safetensors``, which ``AutoModelForCausalLM.from_pretrained`` loads."""
        from safetensors.torch import save

        folder = Path(folder)
        tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in self.state_dict().items()}
        atomic_write_bytes(folder / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))
        atomic_write_json(folder / CONFIG_FILE, self.config.to_transformers(dtype))

    @classmethod
    def load(cls, folder: str | Path) -> Backbone:
        """Reads such a folder into float32. Raises BundleError when it is damaged, truncated or of another kind."""
        folder = Path(folder)
        fields = read_object(folder / CONFIG_FILE, BundleError, "the config of a backbone")
        backbone = cls(BackboneConfig.from_transformers(fields))
        backbone.load_state_dict(_read_weights(folder / WEIGHTS_FILE, backbone.state_dict()))
        return backbone


def rotary_tables(config: BackboneConfig) -> tuple[Tensor, Tensor]:
    """cos and sin, each (max_positions, Dh), the two halves alike, as Llama rotates them."""
    pairs = torch.arange(0, config.head_size, 2, dtype=torch.float32) / config.head_size
    angles = torch.outer(torch.arange(config.max_positions, dtype=torch.float32), 1.0 / config.rope_theta**pairs)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor, out: Tensor) -> Tensor:  # x, out (..., Dh)
    """Rotary positions, written into ``out``. With -sin it turns back, which is its gradient."""
    half = x.shape[-1] // 2
    left, right = x[..., :half], x[..., half:]
    cos, sin = cos[..., :half], sin[..., :half]
    torch.mul(left, cos, out=out[..., :half]).addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=out[..., half:]).addcmul_(left, sin)
    return out


def attend(qkv: Tensor, cos: Tensor, sin: Tensor, num_heads: int) -> Tensor:  # (B, T, 3D) → (B, T, D)
    """Causal attention with rotary positions over fused projections."""
    B, T, D = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    if qkv.device.type == "cpu" and T <= PLAIN_ATTENTION_IDS:
        return _PlainAttention.apply(qkv, cos, sin, num_heads)
    q, k, v = qkv.view(B, T, 3, num_heads, D // num_heads).permute(2, 0, 3, 1, 4).unbind(0)
    q, k = (_Rotary.apply(x, cos, sin) for x in (q, k))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D)


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return rotate(x, cos, sin, torch.empty_like(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return rotate(grad, cos, -sin, torch.empty_like(grad)), None, None


class _PlainAttention(torch.autograd.Function):
    """Rotary, scores, softmax and mixing with the probabilities kept for the way back."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor, sin: Tensor, num_heads: int) -> Tensor:
        B, T, D = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        parts = qkv.view(B, T, 3, num_heads, D // num_heads).permute(2, 0, 3, 1, 4)  # (3, B, H, T, Dh)
        heads = qkv.new_empty(parts.shape)
        rotate(parts[:2], cos, sin, heads[:2])
        heads[2] = parts[2]
        q, k, v = heads.view(3, B * num_heads, T, -1).unbind(0)
        future = torch.full((T, T), float("-inf"), dtype=qkv.dtype, device=qkv.device).triu_(1)
        scores = torch.baddbmm(future, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        probs = torch.softmax(scores, -1)
        ctx.save_for_backward(q, k, v, probs, cos, sin)
        return torch.bmm(probs, v).view(B, num_heads, T, -1).transpose(1, 2).reshape(B, T, D)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # grad (B, T, D)
        q, k, v, probs, cos, sin = ctx.saved_tensors
        B, T, D = grad.shape
        head_size = q.shape[-1]
        num_heads = D // head_size
        grad = grad.view(B, T, num_heads, head_size).transpose(1, 2).reshape(q.shape)
        grad_probs = torch.bmm(grad, v.transpose(1, 2))
        grad_scores = torch._softmax_backward_data(grad_probs, probs, -1, probs.dtype)
        grad_heads = q.new_empty(3, B, num_heads, T, head_size)
        flat = grad_heads.view(3, B * num_heads, T, head_size)
        torch.bmm(grad_scores, k, out=flat[0])
        torch.bmm(grad_scores.transpose(1, 2), q, out=flat[1])
        torch.bmm(probs.transpose(1, 2), grad, out=flat[2])
        flat[:2].mul_(head_size**-0.5)
        out = grad.new_empty(B, T, 3, num_heads, head_size)
        parts = out.permute(2, 0, 3, 1, 4)
        rotate(grad_heads[:2], cos, -sin, parts[:2])
        parts[2] = grad_heads[2]
        return out.view(B, T, 3 * D), None, None, None


class _Norm(torch.autograd.Function):
    """RMS norm that reads float32 (or wider) residuals and writes the products' dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        unit = x * scale
        ctx.save_for_backward(unit.to(dtype), scale, weight)
        return (unit * weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        unit, scale, weight = ctx.saved_tensors
        weight_cast = weight.to(grad.dtype)
        grad_unit = grad * unit
        grad_weight = grad_unit.flatten(0, -2).sum(0, dtype=weight.dtype)
        along = (grad_unit @ weight_cast).div_(grad.shape[-1]).unsqueeze(-1)
        grad_x = torch.addcmul(grad * weight_cast, unit, along, value=-1) * scale
        return grad_x, grad_weight, None, None


def gated(gate_up: Tensor) -> Tensor:
    """silu(gate) · up of fused projections (..., 2I), the gate first → (..., I). It keeps its input alone."""
    return _Gate.apply(gate_up)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        out = torch.empty_like(gate_up)
        grad_gate, grad_up = out.chunk(2, -1)
        torch.mul(grad, F.silu(gate), out=grad_up)
        grad_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return out


class _Loss(torch.autograd.Function):
    """Weighted cross entropy against tied embeddings, chunk by chunk; gradients are made while a chunk is hot.

    hidden (n, D), embeddings (V, D), targets (n,), shares (n,) → the weighted sum, and each position's nats.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, embeddings: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        table = embeddings.to(hidden.dtype)
        nats = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        training = ctx.needs_input_grad[0]
        grad_hidden, grad_table = torch.empty_like(hidden), torch.zeros_like(embeddings)
        for start in range(0, len(targets), LOSS_CHUNK):
            part = slice(start, start + LOSS_CHUNK)
            logits = F.linear(hidden[part], table).float()
            top = torch.logsumexp(logits, -1, keepdim=True)
            goal = targets[part].unsqueeze(1)
            nats[part] = (top - logits.gather(1, goal)).squeeze(1)
            if training:
                probs = logits.sub_(top).exp_()
                probs.scatter_add_(1, goal, probs.new_full((1, 1), -1.0).expand_as(goal))
                slope = probs.mul_(shares[part].unsqueeze(1)).to(hidden.dtype)
                torch.mm(slope, table, out=grad_hidden[part])
                grad_table += slope.t() @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_table)
        ctx.mark_non_differentiable(nats)
        return torch.dot(nats, shares), nats

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_table = ctx.saved_tensors
        return grad_hidden * grad.to(grad_hidden.dtype), grad_table * grad, None, None


def _drop_tied_head(_: nn.Module, tensors: dict[str, Any], prefix: str, *__: Any) -> None:
    """transformers' state dicts list the tied output weights a second time."""
    tensors.pop(f"{prefix}lm_head.weight", None)


def _read_weights(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of ``path`` in float32, with exactly the names and shapes of ``wanted``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise BundleError(f"no backbone here: {path} is missing") from error
    except (SafetensorError, OSError) as error:
        raise BundleError(f"the backbone's {path} is damaged or cut short: {shorten(str(error))}") from error
    tensors.pop("lm_head.weight", None)
    for problem, names in (("lacks", wanted.keys() - tensors.keys()), ("has unknown", tensors.keys() - wanted.keys())):
        if names:
            raise BundleError(f"the backbone's {path} {problem} {len(names)} tensor(s), such as {min(names)}")
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            given, needed = tuple(tensors[name].shape), tuple(value.shape)
            raise BundleError(f"the backbone's {path} is damaged: {name} has shape {given}, config.json says {needed}")
        tensors[name] = tensors[name].float()
        if not tensors[name].isfinite().all():
            raise BundleError(f"the backbone's {path} is damaged: {name} holds values that are not finite")
    return tensors
