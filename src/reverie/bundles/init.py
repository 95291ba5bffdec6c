"""A bundle from a base made elsewhere: any causal language model of transformers or in a GGUF file, or a checkpoint of
llama2.c."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from reverie.bundles.bases import Base, open_base
from reverie.bundles.bundle import GGUF, find_bundle, read_manifest, seal_bundle
from reverie.dreaming.confidence import ConfidenceModel
from reverie.errors import BundleError, UsageError, shorten
from reverie.experts.inject import linears_of
from reverie.files import atomic_folder
from reverie.logs import quiet_transformers
from reverie.model.quantized import check_quantizer, fits, quantization
from reverie.model.transformers_base import TransformersBackbone, extend, load_model
from reverie.precision import choose_precision, usual_device
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar, save_grammar
from reverie.tokens.image import ImageTokenizer
from reverie.tokens.text import BaseTokenizer
from reverie.tokens.vocabulary import Vocabulary

__all__ = ["InitConfig", "init_bundle"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class InitConfig:
    """How the base is kept."""

    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # auto: bf16 where this machine computes it, else fp32
    quantize: Literal["", "8bit", "4bit"] = ""  # of its linears; the rest keeps ``dtype``
    prompt: Literal["auto", "chat", "question", "plain"] = "auto"  # auto: its chat template if it has one
    name: str = ""  # of the bundle; empty: the base's
    seed: int = 0  # of the new ids' first embeddings


def init_bundle(
    base: str | Path,
    folder: Path,
    settings: InitConfig | None = None,
    *,
    tokenizer: Path | None = None,
    image_tokenizer: str | Path = "nano",
    keep_gguf: bool = False,
    said: Mapping[str, Any] | None = None,
    confidence: ConfidenceModel | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Path:
    """Make the bundle ``folder`` of a frozen base, with the grammar's ids added after its own.

    Args:
        base: a transformers folder, a GGUF file, a checkpoint of llama2.c (``*.bin``), or a hub's ``owner/name``, which
            is the only thing that is ever fetched
        tokenizer: the base's, where it lies elsewhere: a folder, a ``tokenizer.json``, or llama2.c's ``tokenizer.bin``
        image_tokenizer: its folder, or a bundle that has one; its codes are added to the vocabulary
        keep_gguf: a base's GGUF file is kept in the bundle, too, for llama.cpp (``bundle.gguf_of``)
        said: of its origin, for the manifest: origin, licence, known_as (names that adapters give their base)
        confidence: how sure it is of its answers, where that was calibrated for just this base
        on_step: is told what is being done

    The bundle appears whole or not at all. Raises UsageError where ``folder`` exists or the base does not,
    BundleError for a base that is damaged, too large for the disk, or no causal language model.
    """
    settings = settings or InitConfig()
    here = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if here == folder or not here.is_dir():
        where = "exists already" if here == folder else f"lies under a file, {here}"
        raise UsageError(f"{folder} {where}; name a new folder for the bundle")
    pictures = _image_tokenizer(image_tokenizer)
    if settings.quantize:
        check_quantizer()
    with tempfile.TemporaryDirectory() as scratch:
        given = open_base(str(base), tokenizer, Path(scratch), on_step)
        dtype = _dtype(settings, on_step)
        _check_room(given, dtype, here)
        on_step(f"loading {given.architecture}")
        model = given.load(DTYPES[dtype])
        if settings.quantize and getattr(model, "is_quantized", False):
            raise UsageError(f"the base {shorten(str(base))} is quantized already; leave --quantize out")
        source = {"source": given.name, "source_kind": given.kind, "source_sha256": given.sha256()}
        told = source | ({"licence": given.licence} if given.licence else {}) | dict(said or {})
        gguf = given.path if given.kind == "gguf" and keep_gguf else None
        trusted = confidence or ConfidenceModel(*_OWN_WORDS)
        return _write(model, dtype, given.words, pictures, folder, settings, told, gguf, trusted, on_step)


def _write(
    model: Any,
    dtype: str,
    words: Any,
    pictures: tuple[Path, ImageTokenizer, Grammar | None, dict[str, int]],
    folder: Path,
    settings: InitConfig,
    said: Mapping[str, Any],
    gguf: Path | None,
    confidence: ConfidenceModel,
    on_step: Callable[[str], None],
) -> Path:
    source, codes, taught, worlds = pictures
    num_text = max(model.get_input_embeddings().weight.shape[0], 1 + max(words.get_vocab().values()))
    backdrops = taught.backdrops if taught else ()
    vocabulary = Vocabulary(num_text, codes.num_codes, num_backdrops=max(8, len(backdrops)))
    text = BaseTokenizer(words.backend_tokenizer, num_text)
    grammar = Grammar(vocabulary, text, backdrops, full_frames=False)
    on_step(f"adding {vocabulary.text_start} ids of the grammar after the base's {num_text}")
    backbone = extend(model, num_text, vocabulary.text_start, torch.Generator().manual_seed(settings.seed))
    style = settings.prompt
    if style == "auto":
        style = "chat" if words.chat_template else "question"
    if style == "chat" and not words.chat_template:
        raise UsageError("the base has no chat template to be asked by; use --prompt question or plain")
    described = {
        **said,
        "architecture": backbone.config.architecture,
        "dtype": dtype,
        "quantized": settings.quantize,
        "prompt": style,
        "taught": False,  # the grammar: until a training says otherwise, it answers in plain words
    }
    with atomic_folder(folder) as building:
        on_step("writing it")
        _save(backbone, building / "backbone", settings.quantize, DTYPES[dtype], on_step)
        with quiet_transformers():
            words.save_pretrained(building / "backbone")
        save_grammar(grammar, building)
        shutil.copytree(source, building / "image_tokenizer")
        confidence.save(building / "confidence.json")
        name = settings.name or Path(said["source"]).name
        if gguf is not None:
            described["gguf"] = f"{GGUF}/{gguf.name}"
        seal_bundle(building, name=name, worlds=worlds, recipe={"init": asdict(settings)}, base=described)
        if gguf is not None:  # beside what is sealed: whoever loads the bundle need not read it
            (building / GGUF).mkdir()
            shutil.copyfile(gguf, building / GGUF / gguf.name)
    return folder


# A base's own words are always given; how sure they are is all that their likelihood says.
_OWN_WORDS = ((0.0,) * 5, (1.0,) * 5, (0.0, 0.0, 0.0, 0.0, 2.0), 2.0, 0.0)


def _dtype(settings: InitConfig, on_step: Callable[[str], None]) -> str:
    if settings.dtype != "auto":
        return settings.dtype
    chosen = choose_precision("auto", usual_device())
    on_step(f"keeping it in {chosen.name}: {chosen.reason}")
    return chosen.name


def _save(
    backbone: TransformersBackbone, folder: Path, bits: str, dtype: torch.dtype, on_step: Callable[[str], None]
) -> None:
    backbone.save(folder)
    if bits:
        base = backbone.base
        sizes = linears_of(base)
        whole = [
            name
            for name, size in sizes.items()
            if base.get_submodule(name) is base.get_output_embeddings() or not fits(bits, *size)
        ]
        on_step(f"quantizing {len(sizes) - len(whole)} of {len(sizes)} linears to {bits}")
        if len(whole) == len(sizes):
            raise UsageError("none of the base's linears fits 4 bits (multiples of 32 by 64); take --quantize 8bit")
        plain = folder.rename(folder.with_name("unquantized"))
        quantized = load_model(plain, dtype=dtype, quantization_config=quantization(bits, dtype, whole))
        TransformersBackbone(quantized, backbone.ids.num_grammar).save(folder)
        shutil.rmtree(plain)


def _image_tokenizer(place: str | Path) -> tuple[Path, ImageTokenizer, Grammar | None, dict[str, int]]:
    """Its folder, itself, and with a bundle its grammar and worlds."""
    folder = Path(place)
    if folder.is_dir() and not (folder / "image_tokenizer").is_dir():
        return folder, ImageTokenizer.load(folder), None, {}
    bundle = find_bundle(place)
    worlds = {world: int(cell_px) for world, cell_px in read_manifest(bundle)["worlds"].items()}
    return bundle / "image_tokenizer", ImageTokenizer.load(bundle / "image_tokenizer"), load_grammar(bundle), worlds


def _check_room(given: Base, dtype: str, here: Path) -> None:
    """Refuses before the work what would not fit onto the disk."""
    size, free = given.size(DTYPES[dtype]), shutil.disk_usage(here).free
    if size > free:
        raise BundleError(f"the base has {size / 1e9:.1f} GB, and only {free / 1e9:.1f} GB are free in {here}")
