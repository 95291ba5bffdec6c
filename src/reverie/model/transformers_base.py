"""A base made elsewhere: any causal language model of transformers, with the grammar's ids after its own.

Outside it speaks the grammar's numbering of ids, inside its own; ``tokens.id_map`` turns one into the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reverie.errors import BundleError, MissingExtraError, UsageError, shorten
from reverie.jsonio import read_object
from reverie.logs import quiet_transformers
from reverie.model.head_loss import head_loss
from reverie.model.quantized import check_quantizer
from reverie.model.taught_rows import TaughtRows
from reverie.precision import choose_precision, usual_device
from reverie.tokens.id_map import IdMap

__all__ = [
    "TransformersBackbone",
    "TransformersBackboneConfig",
    "check_causal",
    "extend",
    "load_checked",
    "load_model",
    "read_config",
]

_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_BROKEN = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
)  # what a damaged folder makes it raise
_ENDLESS = 4096  # positions of a model that names no limit
_NOISE = 0.1  # of the embeddings' spread: tells new rows apart, and leaves them where the others are


@dataclass(frozen=True)
class TransformersBackboneConfig:
    """What the rest of the house must know of it; names as in ``BackboneConfig``."""

    vocab_size: int  # text and grammar ids
    hidden_size: int
    max_positions: int
    architecture: str  # such as "LlamaForCausalLM"


class TransformersBackbone(nn.Module):
    """The language model, speaking the grammar's ids: ids int64 (B, T) in [0, vocab_size) → logits float (B, T, V).

    ``base``: a causal model of transformers whose last ``num_grammar`` ids are the grammar's. Raises UsageError when it
    has too few.
    """

    base: Any

    def __init__(self, base: Any, num_grammar: int):
        super().__init__()
        self.base = base
        settings = base.config.get_text_config()
        self.config = TransformersBackboneConfig(
            base.get_input_embeddings().weight.shape[0],
            settings.hidden_size,
            next((getattr(settings, name) for name in _POSITIONS if getattr(settings, name, None)), _ENDLESS),
            type(base).__name__,
        )
        if not 0 <= num_grammar < self.config.vocab_size:
            raise UsageError(f"{num_grammar} ids of a grammar do not fit into a base of {self.config.vocab_size} ids")
        self.ids = IdMap(self.config.vocab_size - num_grammar, num_grammar)
        self._plain_output: bool | None = None  # not tried yet
        self.rows: TaughtRows | None = None  # of the grammar's ids, while they are trained

    @classmethod
    def load(cls, folder: Path, num_grammar: int) -> TransformersBackbone:
        """Read the folder that ``save`` wrote. Raises BundleError when it is damaged or of another kind.

        One in bf16 is read into fp32 where bf16 would be emulated: the same numbers, several times faster.
        """
        model, device = load_model(folder), usual_device()
        if not getattr(model, "is_quantized", False):  # quantized ones are where they belong already
            model = model.to(device)
            if model.dtype == torch.bfloat16 and choose_precision("auto", device).name != "bf16":
                model = model.float()  # never to bf16: that would round how positions turn, which stays in fp32
        return cls(model.eval().requires_grad_(False), num_grammar)

    @property
    def linears(self) -> nn.Module:
        """The module in which linears have the names that experts know them by."""
        return self.base

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def device(self) -> torch.device:
        return next(self.base.parameters()).device

    def embedded(self, ids: Tensor) -> Tensor:  # (...) → (..., D)
        if self.rows is not None:
            return self.rows.embedded(self.ids.to_base_ids(ids))
        return self.base.get_input_embeddings()(self.ids.to_base_ids(ids))

    def hidden(
        self, ids: Tensor, prefix_embeddings: Tensor | None = None, layers: int = 0
    ) -> Tensor:  # (B, T) → (B, T, D)
        """The final states. ``prefix_embeddings``: float (B, n, D), read before the ids, whose states it gives.

        ``layers``: states after so many layers at length √D instead; all are computed, as bases differ in how they
        could end early. 0, or as many as there are: the final ones.
        """
        x = self.embedded(ids)
        if prefix_embeddings is not None:
            x = torch.cat((prefix_embeddings.to(x.dtype), x), 1)
        self._check_length(x.shape[1])
        told = self.base.base_model(inputs_embeds=x, use_cache=False, output_hidden_states=layers > 0)
        early = 0 < layers < len(told.hidden_states or ()) - 1
        states = F.rms_norm(told.hidden_states[layers], (x.shape[-1],)) if early else told.last_hidden_state
        return states[:, x.shape[1] - ids.shape[1] :]

    def forward(self, ids: Tensor, prefix_embeddings: Tensor | None = None) -> Tensor:  # (B, T) → (B, T, V)
        x = self.embedded(ids)
        if prefix_embeddings is not None:
            x = torch.cat((prefix_embeddings.to(x.dtype), x), 1)
        self._check_length(x.shape[1])
        logits = self.base(inputs_embeds=x, use_cache=False).logits
        return self.ids.rotate_logits(logits[:, x.shape[1] - ids.shape[1] :])

    @property
    def plain_output(self) -> bool:
        """Logits are its final states times one table, as ``logits`` has it."""
        return self._output_table() is not None

    def logits(self, hidden: Tensor) -> Tensor:  # (..., D) → (..., V)
        """Of final states, where the output is plain. Raises UsageError elsewhere."""
        if (table := self._output_table()) is None:
            raise UsageError(f"{self.config.architecture} does more with its final states than multiply them")
        return self.ids.rotate_logits(F.linear(hidden.to(table.dtype), table))

    def loss(self, ids: Tensor, weights: Tensor, prefix_embeddings: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weighted mean of -log p(ids[:, t] | ids[:, :t]) in nats, and each position's; as ``Backbone.loss``.

        Logits are there a few positions at a time, and only where a weight is above 0, if the output is a plain table.
        """
        wanted = weights[:, 1:].float()
        shares = wanted / wanted.sum().clamp_min(torch.finfo(torch.float32).tiny)
        if (table := self._output_table()) is None:
            logits = self(ids, prefix_embeddings)[:, :-1]
            nats = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(wanted.shape)
            nats = torch.where(wanted > 0, nats, 0.0)
            return (nats * shares).sum(), F.pad(nats.detach(), (1, 0))
        chosen = wanted.flatten().nonzero().squeeze(1)
        hidden = self.hidden(ids, prefix_embeddings)[:, :-1].flatten(0, 1).index_select(0, chosen)
        targets = self.ids.to_base_ids(ids[:, 1:].flatten()[chosen])
        with torch.autocast(ids.device.type, enabled=False):
            rows = None if self.rows is None else self.rows.output
            loss, each = head_loss(hidden.to(table.dtype), targets, shares.flatten()[chosen], table, rows)
        return loss, F.pad(torch.zeros_like(wanted).flatten().index_copy(0, chosen, each).view(wanted.shape), (1, 0))

    def teach_rows(self) -> TaughtRows:
        """Let the rows of the grammar's ids be trained from now on, in float32; the base's own tables hold them, too,
        after each ``TaughtRows.put``. Raises UsageError for a base that does more with its tables than look them up."""
        embeddings: Any = self.base.get_input_embeddings()
        if type(embeddings) is not nn.Embedding or (output := self._output_table()) is None:
            raise UsageError(f"{self.config.architecture} does more than look its ids up, which cannot be taught here")
        self.rows = TaughtRows(embeddings.weight, output, self.ids.num_grammar)
        return self.rows

    def _output_table(self) -> Tensor | None:
        """(V, D) where logits are final states times a frozen table and nothing else, which is tried once."""
        head: Any = self.base.get_output_embeddings()
        plain = type(head) is nn.Linear and "forward" not in vars(head) and getattr(head, "bias", None) is None
        if not plain or (head.weight.requires_grad and torch.is_grad_enabled()):
            return None
        if self._plain_output is None:
            with torch.no_grad():
                ids = torch.zeros(1, 2, dtype=torch.int64, device=self.device)
                whole, ours = self(ids), self.ids.rotate_logits(head(self.hidden(ids)))
            self._plain_output = torch.equal(whole, ours)
        table: Tensor = head.weight
        return table if self._plain_output else None

    def save(self, folder: Path) -> None:
        """Write what ``AutoModelForCausalLM.from_pretrained`` loads. Raises OSError or BundleError where it cannot."""
        from safetensors import SafetensorError

        try:
            with quiet_transformers():
                self.base.save_pretrained(folder)
        except SafetensorError as error:  # what its writer makes of a full disk
            raise BundleError(f"the base cannot be written: {shorten(str(error))}") from error

    def _check_length(self, length: int) -> None:
        if length > self.config.max_positions:
            raise UsageError(f"{length} ids are more than the {self.config.max_positions} positions of this base")


@torch.no_grad()
def extend(base: Any, num_text: int, num_grammar: int, generator: torch.Generator) -> TransformersBackbone:
    """Add ``num_grammar`` ids after the first ``num_text``. New rows lie near the mean of the old, each apart."""
    old = min(num_text, base.get_input_embeddings().weight.shape[0])
    with quiet_transformers(), torch.random.fork_rng():
        base.resize_token_embeddings(num_text + num_grammar, mean_resizing=False)
    tables = [base.get_input_embeddings().weight]
    head = base.get_output_embeddings()
    if head is not None and head.weight is not tables[0]:
        tables.append(head.weight)
    for table in tables:
        known = table[:old].float()
        noise = torch.randn(len(table) - old, table.shape[1], generator=generator)
        table[old:] = (known.mean(0) + _NOISE * known.std(0) * noise).to(table.dtype)
    if head is not None and getattr(head, "bias", None) is not None:
        head.bias[old:] = head.bias[:old].float().mean().to(head.bias.dtype)
    return TransformersBackbone(base.eval().requires_grad_(False), num_grammar)


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's ``config.json``. Raises BundleError when there is none, or none that can be read."""
    fields = read_object(folder / "config.json", BundleError, "the base's config")
    if not isinstance(fields.get("model_type"), str):
        raise BundleError(f"{folder} is no model folder of transformers: its config.json names no model_type")
    return fields


def check_causal(folder: Path) -> str:
    """The architecture of the causal language model in ``folder``. Raises BundleError for any other kind of model, for
    one that brings code of its own, and for weights that are not safetensors."""
    fields = read_config(folder)
    names = _transformers("models.auto.modeling_auto").MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    said = (fields.get("architectures") or [names.get(fields["model_type"], "")])[0]
    kind = shorten(said or fields["model_type"])
    if fields.get("is_encoder_decoder"):
        raise BundleError(f"{folder} holds {kind}, an encoder with a decoder; a base is a causal language model")
    if "auto_map" in fields and fields["model_type"] not in names:
        raise BundleError(f"{folder} holds {kind}, which brings code of its own; that is never run")
    encoder = fields["model_type"] in _transformers("models.auto.modeling_auto").MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if said not in names.values() or (encoder and not fields.get("is_decoder")):
        raise BundleError(f"{folder} holds {kind}, which is no causal language model that transformers knows")
    if not any(folder.glob("*.safetensors")):
        pickled = next((file.name for file in folder.glob("*.bin")), None)
        given = f"only {pickled}, a pickle, which is never opened" if pickled else "no weights"
        raise BundleError(f"{folder} holds {given}: a base needs *.safetensors (save_pretrained writes them)")
    return str(said)


def load_model(folder: Path, **settings: Any) -> Any:
    """The causal language model in ``folder``, as transformers loads it, from the disk alone.

    ``settings``: for ``from_pretrained``. Raises BundleError when weights are missing, damaged or not finite.
    """
    check_causal(folder)
    if "quantization_config" in settings or "quantization_config" in read_config(folder):
        check_quantizer()
    settings = {"dtype": "auto", "local_files_only": True, "use_safetensors": True, **settings}
    return load_checked(
        folder,
        lambda: _transformers().AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **settings),
    )


def load_checked(place: Path, load: Callable[[], tuple[Any, Mapping[str, Any]]]) -> Any:
    """The model that ``load`` gives, with what transformers says of the loading. Raises BundleError where it fails, or
    where weights are missing, of another shape or not finite; ``place``: where it lies."""
    from safetensors import SafetensorError

    try:
        with quiet_transformers():
            model, found = load()
    except (SafetensorError, ImportError, *_BROKEN) as error:
        raise BundleError(f"the base in {place} is damaged or cannot be loaded: {shorten(str(error), 200)}") from error
    for problem in ("missing_keys", "mismatched_keys"):
        if found[problem]:
            name = min(map(str, found[problem]))
            raise BundleError(f"the base in {place} is damaged: {len(found[problem])} {problem[:-5]} tensors: {name}")
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise BundleError(f"the base in {place} is damaged: {name} holds values that are not finite")
    return model


def _transformers(part: str = "") -> Any:
    import importlib

    try:
        return importlib.import_module(f"transformers.{part}" if part else "transformers")
    except ImportError as error:
        raise MissingExtraError("a base of another family", "bases") from error
