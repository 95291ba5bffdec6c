"""The formats by name, and one way to make any of them: a new folder, whole and sealed by ``export.json``, or nothing.

gguf      model.gguf files for llama.cpp, one adapter a named expert
ollama    a GGUF file, at most one adapter, and a Modelfile for ``ollama create``
hf        a folder of transformers
peft      LoRA adapters as PEFT loads them, a folder each
onnx      one graph for onnxruntime, with the tokenizer beside it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reverie.errors import BundleError, MissingExtraError, UnknownNameError, UsageError
from reverie.experts.contract import Adapter, Choice, Factors
from reverie.experts.files import save_adapter, save_card
from reverie.export.experts import joined, resolve_experts
from reverie.export.gguf_files import write_adapter, write_base
from reverie.export.modelfile import modelfile
from reverie.export.source import Source, open_source
from reverie.files import atomic_folder, atomic_write_json, atomic_write_text
from reverie.logs import quiet_transformers
from reverie.manifest import seal
from reverie.progress import Progress, no_progress

if TYPE_CHECKING:
    from reverie.experts.library import Library

__all__ = ["FORMATS", "REPORT", "ExportConfig", "Exported", "Format", "export"]

REPORT, VERSION = "export.json", 1
_MOST_DIFFERENCE = 1e-3  # between a logit of an ONNX graph and torch's; a larger one is a fault of the export
_IN_ONE_FILE = 2**31 - 2**20  # bytes that an ONNX file can have


@dataclass(frozen=True)
class ExportConfig:
    """What is exported, and how."""

    type: Literal["auto", "f32", "f16", "bf16", "q8_0"] = "auto"  # of weights; auto: what is usual for the format
    experts: Choice | None = None  # None: what is usual for the format
    merge: bool = False  # experts are put into the base's weights; of peft: into one adapter
    grammar: bool | None = None  # the ids of pictures and dreams go along; None: where the base was taught them
    system: str = ""  # what is said before every talk, for ollama


@dataclass(frozen=True)
class Exported:
    """What was written. ``notes``: what is to be known of it, a line each."""

    folder: Path
    format: str
    type: str
    bytes: int
    files: tuple[str, ...]
    experts: dict[str, float]
    merged: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Work:
    """One export under way. ``experts``: (name, weight, adapter) each, in the order named."""

    source: Source
    folder: Path  # that is being filled
    type: str
    settings: ExportConfig
    experts: list[tuple[str, float, Adapter]]
    library: Library
    notes: list[str] = field(default_factory=list)

    @property
    def merged(self) -> Adapter | None:
        """The experts as one, where they go into the base's weights."""
        return joined(self.experts) if self.experts and self.settings.merge else None


@dataclass(frozen=True)
class Format:
    """A form that others run: ``write`` fills the folder of a ``_Work``."""

    types: tuple[str, ...]  # the first is the usual one
    write: Callable[[_Work], None]
    packaged: bool = False  # the bundle's own experts go along where none are named
    merges: bool = False  # experts can only go into the base's weights


def export(
    format: str,
    model: str | Path,
    out: Path,
    settings: ExportConfig | None = None,
    library: Path | None = None,
    progress: Progress = no_progress,
) -> Exported:
    """Write the bundle ``model`` (a name or folder) into the new folder ``out`` as ``format``.

    ``library``: of the user's experts, by default that for this base. Raises UnknownNameError for a format or expert,
    UsageError where ``out`` exists or a type does not go with the format, BundleError and ExpertError for what the
    format cannot hold, MissingExtraError for a library that is not installed.
    """
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    known, settings, out = FORMATS[format], settings or ExportConfig(), Path(out)
    chosen = known.types[0] if settings.type == "auto" else settings.type
    if chosen not in known.types:
        raise UsageError(f"the format {format} has weights as {' or '.join(known.types)}, got {chosen}")
    if out.exists():
        raise UsageError(f"{out} exists already; name a new folder for the export")
    progress("reading", 0, 2)
    source = open_source(model, settings.grammar)
    own = source.library(library)
    named = settings.experts
    if named is None:
        named = tuple((name, 1.0) for name in own.names() if own.is_packaged(name)) if known.packaged else ()
    if known.merges and named and not settings.merge:
        settings = replace(settings, merge=True)
    progress("writing", 1, 2)
    with atomic_folder(out) as building:
        work = _Work(source, building, chosen, settings, resolve_experts(own, named), own)
        known.write(work)
        report = {
            "format": VERSION,
            "kind": format,
            "name": source.name,
            "type": chosen,
            "experts": dict(named),
            "merged": settings.merge and bool(named),
            "num_ids": source.num_ids,
            "source": source.manifest["files"].get("backbone/model.safetensors", {}).get("sha256", ""),
            "notes": work.notes,
        }
        seal(building, report, REPORT)
    progress("writing", 2, 2)
    files = tuple(sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()))
    size = sum((out / file).stat().st_size for file in files)
    return Exported(out, format, chosen, size, files, dict(named), report["merged"], tuple(work.notes))


def _gguf(work: _Work) -> None:
    source, kind = work.source, work.type
    words = write_base(source, work.folder / f"{source.file_name}-{kind}.gguf", kind, work.merged)
    work.notes.extend(filter(None, [words.note]))
    if not work.settings.merge:
        for name, share, adapter in work.experts:
            path = work.folder / f"{source.file_name}-{name}-lora.gguf"
            write_adapter(source, _scaled(adapter, share), path, name, "f32" if kind == "f32" else "f16")


def _ollama(work: _Work) -> None:
    source, kind = work.source, work.type
    base, adapter = f"{source.file_name}-{kind}.gguf", ""
    words = write_base(source, work.folder / base, kind, work.merged)
    if work.experts and not work.settings.merge:  # Ollama takes one: the weighted sum is one, exactly
        adapter = f"{source.file_name}-lora.gguf"
        name = "+".join(name for name, _, _ in work.experts)
        write_adapter(source, joined(work.experts), work.folder / adapter, name, "f32" if kind == "f32" else "f16")
    text, notes = modelfile(source, base, adapter, work.settings.system, words.add_bos)
    atomic_write_text(work.folder / "Modelfile", text)
    work.notes.extend([*filter(None, [words.note]), *notes])


def _peft(work: _Work) -> None:
    if not work.experts:
        raise UsageError(f"{work.source.name} has no experts of its own; name yours: --experts NAME,NAME@0.5")
    made = work.source.manifest.get("base", {})
    base = next(iter(made.get("known_as", ())), made.get("source") or work.source.name)
    if work.settings.merge:
        _save_adapter(joined(work.experts), work.folder, base)
        return
    for name, share, adapter in work.experts:
        _save_adapter(_scaled(adapter, share), work.folder / name, base)
        save_card(work.library.card(name), work.folder / name)


def _hf(work: _Work) -> None:
    import torch

    from reverie.model.transformers_base import load_model

    source, merged = work.source, work.merged
    kinds = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    model = load_model(source.backbone, dtype="auto" if work.type == "kept" and merged is None else torch.float32)
    if len(model.get_input_embeddings().weight) > source.num_ids:
        with quiet_transformers():
            model.resize_token_embeddings(source.num_ids)
    if merged is not None:
        _merge(model, merged)
    if work.type in kinds:
        model = model.to(kinds[work.type])
    for name in ("bos", "eos", "pad"):
        if name in source.specials:
            setattr(model.config, f"{name}_token_id", source.specials[name])
            setattr(model.generation_config, f"{name}_token_id", source.specials[name])
    with quiet_transformers():
        model.save_pretrained(work.folder)
    for file in source.files:
        (work.folder / file.name).write_bytes(file.read_bytes())
    _write_words(source, work.folder)


def _onnx(work: _Work) -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("exporting to ONNX", "export") from error
    from reverie.export.onnx_base import BasePart
    from reverie.generator.onnx_graphs import export_part

    source, layout = work.source, work.source.base.config
    tensors: dict[str, Any] = dict(source.tensors())
    if (merged := work.merged) is not None:
        from reverie.experts.merging import merged_weights

        tensors |= merged_weights(tensors, [(merged, 1.0)])
    part = BasePart(layout, iter(tensors.items())).eval()
    model, path = export_part(part), work.folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=model.ByteSize() > _IN_ONE_FILE, location="model.onnx.data")
    difference = _onnx_difference(part, path)
    if difference > _MOST_DIFFERENCE:
        raise BundleError(f"the ONNX graph of {source.name} differs from torch by {difference:.2g} in a logit")
    _write_words(source, work.folder)
    shape = [layout.num_layers, "rows", layout.num_kv_heads, "read", layout.head_size]
    config = {
        "name": source.name,
        "inputs": {"ids": ["rows", "length"], "past_keys": shape, "past_values": shape},
        "outputs": {"logits": ["rows", "length", source.num_ids], "keys": shape, "values": shape},
        "max_ids": layout.max_positions,
        "end_ids": list(source.ends),
        "difference": difference,
    }
    atomic_write_json(work.folder / "config.json", config)


def _onnx_difference(part: Any, path: Path) -> float:
    """The largest between a logit of the graph and torch's, with and without ids that were read before."""
    import numpy as np
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ids, keys, values = part.examples()
    found = 0.0
    for read in (keys.shape[3], 0):
        given = (ids[:1, : 2 + (read == 0)], keys[:, :1, :, :read], values[:, :1, :, :read])
        with torch.inference_mode():
            truth = part(*given)[0].numpy()
        got = session.run(["logits"], {name: one.numpy() for name, one in zip(part.inputs, given, strict=True)})[0]
        found = max(found, float(np.abs(got - truth).max()))
    return found


def _scaled(adapter: Adapter, share: float) -> Adapter:
    if share == 1:
        return adapter
    return Adapter({name: Factors(one.down, share * one.up) for name, one in adapter.factors.items()})


def _merge(model: Any, adapter: Adapter) -> None:
    import torch

    from reverie.experts.merging import merged_weights

    state = model.state_dict()
    with torch.no_grad():
        for key, weight in merged_weights(state, [(adapter, 1.0)]).items():
            state[key].copy_(weight)


def _save_adapter(adapter: Adapter, folder: Path, base: str) -> None:
    import torch

    from reverie.experts.files import CONFIG_FILE, read_config

    save_adapter(adapter, folder, torch.float32)
    atomic_write_json(folder / CONFIG_FILE, {**read_config(folder), "base_model_name_or_path": base})


def _write_words(source: Source, folder: Path) -> None:
    """The tokenizer, its settings and the chat template, as transformers reads them."""
    atomic_write_text(folder / "tokenizer.json", source.tokenizer.to_str())
    atomic_write_text(folder / "chat_template.jinja", source.template)
    if not (folder / "tokenizer_config.json").exists():
        named = {f"{name}_token": source.token(token) for name, token in source.specials.items()}
        atomic_write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **named})


FORMATS: Mapping[str, Format] = {
    "gguf": Format(("f16", "f32", "q8_0"), _gguf, packaged=True),
    "ollama": Format(("f16", "f32", "q8_0"), _ollama),
    "hf": Format(("kept", "f32", "f16", "bf16"), _hf, merges=True),
    "peft": Format(("f32",), _peft, packaged=True),
    "onnx": Format(("f32",), _onnx, merges=True),
}
