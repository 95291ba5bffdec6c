"""A generator's bundle with weights in eight bits (``int8.py``), and what that costs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from reverie.errors import BundleError, UsageError
from reverie.files import atomic_folder, atomic_write_bytes
from reverie.generator.bundle import seal_generator, verify_generator
from reverie.generator.generator import Generator
from reverie.generator.int8 import dequantize_tensors, quantize_tensors
from reverie.generator.network import GeneratorNetwork

__all__ = ["FIGURE_SEEDS", "agreement", "agreement_of", "quantize_bundle"]

WEIGHTS = "model.safetensors"
FIGURE_SEEDS = range(16)  # what the figures are measured on


def quantize_bundle(generator_dir: str | Path, out: str | Path) -> dict[str, float]:
    """Write the generator in ``generator_dir`` to the folder ``out`` with int8 weights; everything else is copied.

    Returns ``bytes`` and ``bytes_before`` of the weights, and what ``agreement`` says. Raises BundleError on what is
    no generator, and UsageError where it has int8 weights already or ``out`` is taken.
    """
    source, out = Path(generator_dir), Path(out)
    manifest = verify_generator(source)
    if manifest["weights"] == "int8":
        raise UsageError(f"the generator {source} has int8 weights already")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already. Name a folder that is new or empty.")
    try:
        tensors = quantize_tensors(load((source / WEIGHTS).read_bytes()))
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(f"cannot read the weights of {source}: {error}") from error
    original = Generator.load(source)
    figures = _figures(original, tensors, (source / WEIGHTS).stat().st_size)
    with atomic_folder(out) as new:
        for name in manifest["files"]:
            if name != WEIGHTS:
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, new / name)
        atomic_write_bytes(new / WEIGHTS, save({name: tensor.contiguous() for name, tensor in tensors.items()}))
        figures["bytes"] = float((new / WEIGHTS).stat().st_size)
        named = {key: manifest[key] for key in ("name", "default_prior")}
        seal_generator(new, **named, weights="int8", card=manifest["card"] | {"int8": figures})
    return figures


def agreement(original: Generator, other: Generator) -> dict[str, float]:
    """``agreement_of`` what the two make of the latents of sixteen seeds."""
    latents = original.latents(FIGURE_SEEDS)
    return agreement_of(
        (original.paint(latents), other.paint(latents)), (original.describe(latents), other.describe(latents))
    )


def agreement_of(
    pictures: tuple[np.ndarray, np.ndarray], captions: tuple[Sequence[str], Sequence[str]]
) -> dict[str, float]:
    """How near the second pictures (N, S, S, 3) and captions come to the first.

    ``psnr``: in dB, over all pictures, at most 100; ``captions_equal``: the share of captions that are the same;
    ``words_equal``: the share of words that stand at the same place.
    """
    one, other = (some.astype(np.float64) for some in pictures)
    error = float(np.square(one - other).mean())
    pairs = list(zip(*captions, strict=True))
    return {
        "psnr": min(100.0, float(10 * np.log10(255.0**2 / max(error, 1e-12)))),
        "captions_equal": sum(first == second for first, second in pairs) / len(pairs),
        "words_equal": sum(_words_equal(first, second) for first, second in pairs) / len(pairs),
    }


def _words_equal(first: str, second: str) -> float:
    one, other = first.split(), second.split()
    same = sum(a == b for a, b in zip(one, other))
    return same / max(len(one), len(other)) if one or other else 1.0


def _figures(original: Generator, tensors: Mapping[str, Tensor], bytes_before: int) -> dict[str, float]:
    network = GeneratorNetwork(original.config)
    network.load_state_dict(dequantize_tensors(tensors))
    rounded = Generator(network, original.tokenizer, original.priors, original.default_prior, original.card)
    return {"bytes_before": float(bytes_before), "bytes": 0.0} | agreement(original, rounded)
