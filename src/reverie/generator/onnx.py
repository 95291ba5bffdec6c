"""A generator as a folder of ONNX files that needs neither torch nor Reverie, compared with torch before it is kept.

picture_encoder.onnx    pictures → latents, and their unit vectors for matching
caption_encoder.onnx    ids of captions → the same
picture_decoder.onnx    latents → pictures
caption_decoder.onnx    latents and the ids so far → logits of the next id
prior_NAME.onnx         noise (and a caption's latent) → latents, one for each fitted prior
tokenizer.json          the words, for the library tokenizers; words.json: what each id spells
config.json             sizes and special ids
sample.py               a seed → a picture and its caption, with onnxruntime and numpy alone
README.md               what goes in and out of each file
export.json             what was exported, how far it is from torch, every file with size and SHA-256
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import BundleError, MissingExtraError, UsageError
from reverie.files import atomic_folder, atomic_write_json, atomic_write_text, sha256_of
from reverie.jsonio import read_json
from reverie.manifest import seal, verify
from reverie.progress import Progress, no_progress

if TYPE_CHECKING:
    from reverie.generator.generator import Generator
    from reverie.generator.onnx_graphs import Part
    from reverie.generator.onnx_sample import OnnxGenerator

__all__ = ["MOST_DIFFERENCE", "OnnxExport", "compare_onnx", "export_onnx", "load_onnx"]

FORMAT, KIND, REPORT = 1, "generator-onnx", "export.json"
MOST_DIFFERENCE = 1e-4  # between a number of an fp32 export and torch's; a larger one is a fault of the export


@dataclass(frozen=True)
class OnnxExport:
    """What was exported."""

    folder: Path
    weights: str  # fp32 or int8
    bytes: int  # of all files
    bytes_fp32: int  # what they are without rounding; the same for fp32
    differences: dict[str, float]  # by file: the largest between a number and torch's
    figures: dict[str, float]  # int8: psnr (dB), captions_equal and words_equal against torch; nothing for fp32


def export_onnx(
    generator_dir: str | Path, out: str | Path, int8: bool = False, progress: Progress = no_progress
) -> OnnxExport:
    """Write the generator in ``generator_dir`` as ONNX files into the folder ``out``, whole or not at all.

    Args:
        int8: round the weights of the networks to eight bits, and say what that costs
        progress: told what is being exported

    Raises BundleError on what is no generator, or where the export differs from it; UsageError where ``out`` holds
    something else; MissingExtraError without onnx, onnxscript and onnxruntime.
    """
    _need("exporting to ONNX", "onnx", "onnxscript", "onnxruntime")
    from reverie.generator.generator import Generator

    source, out = Path(generator_dir), Path(out)
    _check_free(out)
    generator = Generator.load(source)
    weights = "int8" if int8 else "fp32"
    with atomic_folder(out) as new:
        saved = _write_graphs(generator, new, int8, progress)
        _write_rest(generator, new, weights)
        progress("comparing with torch", 0, 1)
        differences = compare_onnx(generator, new)
        if not int8:
            _check_differences(differences)
        figures = _agreement(generator, new) if int8 else {}
        total = sum(file.stat().st_size for file in new.rglob("*") if file.is_file())
        report = {
            "format": FORMAT,
            "kind": KIND,
            "name": generator.name,
            "source_sha256": sha256_of(source / "model.safetensors"),
            "weights": weights,
            "bytes": total,
            "bytes_fp32": total + saved,
            "differences": differences,
            "figures": figures,
            "versions": {name: importlib.import_module(name).__version__ for name in ("torch", "onnx", "onnxruntime")},
        }
        seal(new, report, REPORT)
    return OnnxExport(out, weights, total, total + saved, differences, figures)


def load_onnx(folder: str | Path) -> OnnxGenerator:
    """An export, every file held to its SHA-256. Raises BundleError where it is none or damaged, MissingExtraError."""
    _need("running an ONNX export", "onnxruntime")
    from reverie.generator.onnx_sample import OnnxGenerator

    folder = Path(folder)
    if not (folder / REPORT).exists():
        raise BundleError(f"{folder} is no ONNX export: {REPORT} is missing. Make one: reverie generator export")
    report = verify(folder, BundleError, "the export", REPORT)
    if report.get("kind") != KIND or not isinstance(report.get("format"), int) or report["format"] > FORMAT:
        raise BundleError(f"{folder} holds no ONNX export of a format that is known here")
    try:
        return OnnxGenerator(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"the export {folder} is damaged: config.json cannot be read") from error


def compare_onnx(generator: Generator, folder: str | Path) -> dict[str, float]:
    """File without suffix → the largest difference between one of its numbers and torch's, over some sizes of batches.

    Captions of one id up to the longest, some with padding; priors with and without a caption; all drawn anew from
    fixed seeds. Raises BundleError where a file cannot be run.
    """
    from reverie.generator.onnx_graphs import NETWORKS, network_part, prior_part

    parts = {name: network_part(name, generator) for name in NETWORKS}
    parts |= {f"prior_{name}": prior_part(prior) for name, prior in _exported(generator).items()}
    return {name: _difference(part, Path(folder) / f"{name}.onnx", generator) for name, part in parts.items()}


def _exported(generator: Generator) -> Mapping[str, Any]:
    """The fitted priors, and the default one whatever it is."""
    return {
        name: prior for name, prior in generator.priors.items() if name != "normal" or generator.default_prior == name
    }


def _write_graphs(generator: Generator, folder: Path, int8: bool, progress: Progress) -> int:
    """Write every part; returns the bytes that rounding saved."""
    import onnx

    from reverie.generator.onnx_graphs import NETWORKS, export_part, network_part, prior_part, round_weights

    saved = 0
    for name in NETWORKS:
        progress(f"exporting {name}", 0, 1)
        model = export_part(network_part(name, generator))
        size = model.ByteSize()
        if int8:
            model = round_weights(model)
        saved += size - model.ByteSize()
        onnx.save(model, folder / f"{name}.onnx")
    for name, prior in _exported(generator).items():
        progress(f"exporting the prior {name}", 0, 1)  # in fp32: small, and covariances do not bear rounding
        onnx.save(export_part(prior_part(prior)), folder / f"prior_{name}.onnx")
    return saved


def _write_rest(generator: Generator, folder: Path, weights: str) -> None:
    from reverie.generator import onnx_sample
    from reverie.generator.caption_tokenizer import BEGIN, END, PAD

    generator.tokenizer.save(folder)
    first_word = END + 1
    pieces = _pieces(read_json(folder / "tokenizer.json", BundleError, "the tokenizer"))
    atomic_write_text(folder / "words.json", json.dumps([""] * first_word + pieces))
    config = {
        "format": FORMAT,
        "kind": KIND,
        "name": generator.name,
        "weights": weights,
        "side": generator.config.side,
        "latent_size": generator.config.latent_size,
        "caption_ids": generator.config.caption_ids,
        "vocabulary": generator.tokenizer.size,
        "pad_id": PAD,
        "begin_id": BEGIN,
        "end_id": END,
        "first_word_id": first_word,  # what is added to the ids of tokenizer.json
        "default_prior": generator.default_prior,
        "priors": {
            name: {"noise_size": prior.noise_size, "follows_captions": prior.follows_captions}
            for name, prior in _exported(generator).items()
        },
    }
    atomic_write_json(folder / "config.json", config)
    shutil.copyfile(str(onnx_sample.__file__), folder / "sample.py")
    atomic_write_text(folder / "README.md", _readme(generator, config))


def _pieces(tokenizer: Mapping[str, Any]) -> list[str]:
    """What each id of a byte-level tokenizer spells: its bytes, each as the Latin-1 letter of that number."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's table: these bytes stand for themselves
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): chr(byte) for byte in printable} | {chr(256 + at): chr(byte) for at, byte in enumerate(others)}
    spelled = {place: "".join(table[letter] for letter in word) for word, place in tokenizer["model"]["vocab"].items()}
    for added in tokenizer.get("added_tokens", []):
        spelled[added["id"]] = added["content"].encode().decode("latin-1")
    return [spelled[place] for place in range(len(spelled))]


def _readme(generator: Generator, config: Mapping[str, Any]) -> str:
    size, side, words = config["latent_size"], config["side"], config["vocabulary"]
    match, longest, first_word = generator.config.match_size, config["caption_ids"], config["first_word_id"]
    priors = "\n".join(
        f"| `prior_{name}.onnx` | `noise` (B, {facts['noise_size']}), `temperature` (1), `condition` (B, {size}), "
        f"`guidance` (1) | `latents` (B, {size}) |"
        for name, facts in config["priors"].items()
    )
    return f"""# {generator.name}: a picture generator in ONNX

One seed gives a picture of {side} × {side} pixels and its caption. Exported by Reverie; running it needs
`onnxruntime` and `numpy` alone:

    pip install onnxruntime numpy
    python sample.py --seed 7 8 9 --out pictures

or in Python:

```python
from sample import OnnxGenerator

generator = OnnxGenerator(".")
(picture, caption), = generator.sample([7])   # uint8 ({side}, {side}, 3) and a string
```

The same seed gives the same sample as `reverie generator sample`. A prompt needs `pip install tokenizers`, too.

All numbers are float32, ids int64; `B` is any number of rows.

| file | in | out |
|---|---|---|
| `picture_encoder.onnx` | `pictures` (B, 3, {side}, {side}) in [-1, 1] | `latents` (B, {size}), `match` (B, {match}) |
| `caption_encoder.onnx` | `ids` (B, T), 0 where a caption is over | `latents` (B, {size}), `match` (B, {match}) |
| `picture_decoder.onnx` | `latents` (B, {size}) | `pictures` (B, 3, {side}, {side}), about [-1, 1]: clip them |
| `caption_decoder.onnx` | `latents` (B, {size}), `ids` (B, T) so far | `logits` (B, {words}) of the next id |
{priors}

- Noise is standard normal; `seed_noise` in `sample.py` makes that of a seed. `guidance` 0 leaves the condition out.
- Ids: 0 fills up, 1 begins, 2 ends; a word's id in `tokenizer.json` plus {first_word}. T is at most {longest}.
- `words.json` spells each id: its bytes as Latin-1 letters, which together are UTF-8.
- `match` holds unit vectors: those of a picture and of its caption point the same way.
- Weights are {config["weights"]}; `export.json` says how far the files are from the original.
"""


def _difference(part: Part, file: Path, generator: Generator) -> float:
    import torch

    session = _open(file)
    largest = 0.0
    with torch.no_grad():
        for inputs in _trials(part, generator):
            wanted = part.truth(*(torch.from_numpy(value) for value in inputs))
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            given = session.run(None, dict(zip(part.inputs, inputs, strict=True)))
            for one, other in zip(wanted, given, strict=True):
                difference = np.abs(one.numpy() - other).max()
                largest = max(largest, float(difference) if np.isfinite(difference) else float("inf"))
    return largest


def _open(file: Path) -> Any:
    import onnxruntime

    if not file.is_file():
        raise BundleError(f"the export lacks {file.name}")
    try:
        return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no base class of its own for what it raises
        raise BundleError(f"{file} cannot be run: {str(error).splitlines()[0]}") from error


def _trials(part: Part, generator: Generator) -> Sequence[tuple[np.ndarray, ...]]:
    """Inputs for a part: batches of one and of three; short, long and padded captions; each strength of guidance."""
    trials = []
    longest = generator.config.caption_ids
    for rows, length, guidance in ((1, 1, 0.0), (3, min(7, longest), 1.0), (2, longest, 2.5)):
        rng = np.random.default_rng([rows, length])
        made: dict[str, np.ndarray] = {}
        for name, example in zip(part.inputs, part.examples(), strict=True):
            if name == "ids":
                made[name] = rng.integers(3, generator.tokenizer.size, (rows, length))
                made[name][1:, length // 2 + 1 :] *= "latents" in part.inputs  # padding: the encoder's business alone
            elif name in part.fixed:
                made[name] = np.full(1, guidance if name == "guidance" else 0.8, np.float32)
            else:
                drawn = rng.standard_normal((rows, *example.shape[1:]))
                made[name] = (drawn.clip(-1, 1) if name == "pictures" else drawn).astype(np.float32)
        trials.append(tuple(made.values()))
    return trials


def _agreement(generator: Generator, folder: Path) -> dict[str, float]:
    """As ``export_int8.agreement``, of an export."""
    from reverie.generator.export_int8 import FIGURE_SEEDS, agreement_of
    from reverie.generator.onnx_sample import OnnxGenerator

    latents = generator.latents(FIGURE_SEEDS)
    other = OnnxGenerator(folder)
    rows = latents.numpy()
    return agreement_of(
        (generator.paint(latents), other.paint(rows)), (generator.describe(latents), other.describe(rows))
    )


def _check_differences(differences: Mapping[str, float]) -> None:
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= MOST_DIFFERENCE:
        raise BundleError(
            f"the exported {worst} differs from the generator by {differences[worst]:.2g}, at most {MOST_DIFFERENCE:g} "
            f"is right; nothing was written. Report this with the versions of torch and onnxruntime."
        )


def _check_free(out: Path) -> None:
    """UsageError where ``out`` is a file, or a folder that holds anything but an earlier export."""
    if out.is_dir() and (not any(out.iterdir()) or (out / REPORT).is_file()):
        return
    if out.exists():
        raise UsageError(f"{out} is there already and is no ONNX export. Name a folder that is new or empty.")


def _need(feature: str, *modules: str) -> None:
    try:
        for name in modules:
            importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(feature, "export") from error
