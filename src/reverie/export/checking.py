"""What is wrong with a bundle, an adapter or an exported folder: a line each, all of them, nothing when it is sound.

Nothing that lies in a folder is run: weights are safetensors, ONNX and GGUF, and a pickle is named, not opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reverie.bundles.bundle import read_manifest, verify_bundle
from reverie.bundles.experts import EXPERTS, bundle_base_hash
from reverie.errors import BundleError, ReverieError, UsageError, shorten
from reverie.experts.files import CONFIG_FILE, base_linears, check_expert, load_adapter
from reverie.export.modelfile import read_modelfile
from reverie.jsonio import read_object
from reverie.manifest import MANIFEST, verify

__all__ = ["check_folder"]

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_REPORT = "export.json"


def check_folder(folder: Path) -> tuple[str, list[str]]:
    """What the folder is (bundle, gguf, ollama, hf, peft, onnx), and a line for everything that is wrong with it.

    Raises UsageError where there is nothing that could be one.
    """
    folder = Path(folder)
    if folder.is_file() and folder.suffix == ".gguf":
        return "gguf", _faults(_check_gguf, folder)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: give a bundle, an exported folder or a GGUF file")
    kind = _kind(folder)
    problems = [f"{file.relative_to(folder)} is a pickle, which may run code" for file in _pickles(folder)]
    if kind == "bundle":
        problems += _bundle_faults(folder)
    else:
        if (folder / _REPORT).exists():
            problems += _faults(lambda one: verify(one, BundleError, "the export", _REPORT), folder)
        problems += _CHECKS[kind](folder)
    return kind, list(dict.fromkeys(problems))


def _kind(folder: Path) -> str:
    if (folder / MANIFEST).exists():
        return "bundle"
    if (folder / "Modelfile").exists():
        return "ollama"
    if any(folder.glob("*.gguf")):
        return "gguf"
    if (folder / "model.onnx").exists():
        return "onnx"
    if (folder / CONFIG_FILE).exists() or any(folder.glob(f"*/{CONFIG_FILE}")):
        return "peft"
    if (folder / "config.json").exists():
        return "hf"
    raise UsageError(
        f"{folder} is no bundle and no export: it has no {MANIFEST}, Modelfile, GGUF file, {CONFIG_FILE} or config.json"
    )


def _faults(check: Callable[[Path], Any], path: Path) -> list[str]:
    """The one line that a check raises; none where it passes."""
    try:
        check(path)
    except ReverieError as error:
        return [str(error)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{path} cannot be read: {shorten(str(error), 160)}"]
    return []


def _pickles(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICKLES and file.is_file())


def _bundle_faults(folder: Path) -> list[str]:
    """Manifest and files first: what is said of the rest needs them."""
    if problems := _faults(verify_bundle, folder):
        return problems
    manifest = read_manifest(folder)
    problems = [f"{name} is in no manifest" for name in _strangers(folder, manifest)]
    problems += _faults(lambda one: _check_fit(one, manifest), folder)
    problems += _tensor_faults(folder / "backbone")
    problems += [line for part in ("image_tokenizer", "reader", "router") for line in _not_finite(folder / part)]
    return problems + _expert_faults(folder, manifest)


def _expert_faults(folder: Path, manifest: dict[str, Any]) -> list[str]:
    try:
        base, linears = bundle_base_hash(folder, manifest), base_linears(folder / "backbone")
    except BundleError as error:  # a base that cannot be read has no experts
        return [str(error)]
    experts = sorted(path for path in (folder / EXPERTS).glob("*") if path.is_dir())
    return [line for expert in experts for line in _faults(lambda one: check_expert(one, base, linears), expert)]


def _strangers(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Files beside those that the manifest lists; the GGUF file that a base was made of is not sealed."""
    known = {MANIFEST, str(manifest.get("base", {}).get("gguf", ""))}
    names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return [name for name in names if name not in known and name not in manifest["files"]]


def _check_fit(folder: Path, manifest: dict[str, Any]) -> None:
    from reverie.tokens.grammar_files import load_grammar
    from reverie.tokens.text import TextTokenizer

    vocabulary = load_grammar(folder).vocabulary
    given = read_object(folder / "backbone" / "config.json", BundleError, "the base's config").get("vocab_size")
    if given != vocabulary.size:
        raise BundleError(f"backbone/config.json has {given} ids, vocabulary.json {vocabulary.size}")
    if "base" in manifest:
        _check_ids(TextTokenizer.load(folder / "backbone").library, vocabulary.num_text, "backbone")
    codes = read_object(folder / "image_tokenizer" / "config.json", BundleError, "the image tokenizer's config")
    if isinstance(codes.get("levels"), list) and int(np.prod(codes["levels"])) != vocabulary.num_codes:
        raise BundleError(f"the image tokenizer has codes by {codes['levels']}, vocabulary.json {vocabulary.num_codes}")


def _check_ids(tokenizer: Any, num_ids: int, where: str) -> None:
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= num_ids:
        raise BundleError(f"the tokenizer in {where} knows the id {highest}, and there are only {num_ids} for text")


def _tensor_faults(folder: Path) -> list[str]:
    """Shapes by the config where it is of a layout that is known, and values that are not finite."""
    from reverie.model.llama_base import LlamaBase

    return _faults(lambda one: LlamaBase.find(one, 0), folder) or _not_finite(folder)


def _not_finite(folder: Path) -> list[str]:
    """One line for each file of weights that cannot be read or holds NaN or infinity."""
    return [line for file in sorted(folder.glob("*.safetensors")) for line in _faults(_check_finite, file)]


def _check_finite(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118, it is no dict
                tensor = file.get_tensor(name)
                if tensor.is_floating_point() and not tensor.isfinite().all():
                    raise BundleError(f"{path.parent.name}/{path.name}: {name} holds values that are not finite")
    except SafetensorError as error:
        raise BundleError(f"{path} is damaged or cut short: {shorten(str(error), 120)}") from error


def _check_gguf(path: Path) -> None:
    """Its head can be read, its tensors are all there and as large as they are said to be, and its tokens fit them."""
    from reverie.export.gguf_files import need_gguf

    need_gguf()
    from gguf import GGUFReader

    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise BundleError(f"{path} is no GGUF file: it does not begin with GGUF")
    try:
        reader = GGUFReader(path)
        arch = reader.fields["general.architecture"].contents()
        tensors = {one.name: one for one in reader.tensors}
    except Exception as error:  # whatever a head that ends or lies makes the reader raise
        raise BundleError(f"{path} is cut short or damaged: {shorten(str(error), 120)}") from error
    for name, tensor in tensors.items():
        if tensor.data.dtype in (np.float32, np.float16) and not np.isfinite(tensor.data).all():
            raise BundleError(f"{path.name}: {name} holds values that are not finite")
    if "adapter.type" in reader.fields:
        _check_gguf_adapter(path, set(tensors))
        return
    blocks = reader.fields[f"{arch}.block_count"].contents()
    wanted = {"token_embd.weight", "output_norm.weight"} | {f"blk.{place}.attn_norm.weight" for place in range(blocks)}
    if missing := sorted(wanted - set(tensors)):
        raise BundleError(f"{path.name} lacks {len(missing)} tensor(s), such as {missing[0]}")
    words = len(reader.fields["tokenizer.ggml.tokens"].data) if "tokenizer.ggml.tokens" in reader.fields else 0
    rows = int(tensors["token_embd.weight"].shape[-1])
    if words != rows:
        raise BundleError(f"{path.name} names {words} tokens, and its embeddings have {rows} rows")


def _check_gguf_adapter(path: Path, names: set[str]) -> None:
    halves = {name.rpartition(".")[0] for name in names}
    odd = sorted(one for one in halves if not {f"{one}.lora_a", f"{one}.lora_b"} <= names)
    if odd or not halves:
        raise BundleError(f"{path.name} has not two factors of {odd[0] if odd else 'anything'}")


def _gguf_faults(folder: Path) -> list[str]:
    return [line for file in sorted(folder.glob("*.gguf")) for line in _faults(_check_gguf, file)]


def _ollama_faults(folder: Path) -> list[str]:
    try:
        commands = read_modelfile((folder / "Modelfile").read_text(encoding="utf-8"))
    except (BundleError, OSError, UnicodeDecodeError) as error:
        return [f"the Modelfile cannot be read: {error}" if isinstance(error, UnicodeDecodeError) else str(error)]
    named = [value for command, value in commands if command in ("from", "adapter")]
    missing = [one for one in named if _is_path(one) and not (folder / one).exists()]
    problems = [f"the Modelfile names {one}, which is not there" for one in missing]
    if sum(command == "adapter" for command, _ in commands) > 1:
        problems.append("the Modelfile names several adapters, and Ollama takes one")
    return problems + _gguf_faults(folder)


def _is_path(value: str) -> bool:
    return value.startswith((".", "/")) or value.endswith((".gguf", ".safetensors"))


def _hf_faults(folder: Path) -> list[str]:
    problems = _tensor_faults(folder)
    if not any(folder.glob("*.safetensors")):
        problems.append(f"{folder} holds no *.safetensors")
    return problems + _faults(_check_hf_words, folder)


def _check_hf_words(folder: Path) -> None:
    from reverie.tokens.text import TextTokenizer

    size = read_object(folder / "config.json", BundleError, "the model's config").get("vocab_size")
    if isinstance(size, int):
        _check_ids(TextTokenizer.load(folder).library, size, str(folder))


def _peft_faults(folder: Path) -> list[str]:
    found = (
        [folder] if (folder / CONFIG_FILE).exists() else sorted(one.parent for one in folder.glob(f"*/{CONFIG_FILE}"))
    )
    return [line for one in found for line in _faults(load_adapter, one)]


def _onnx_faults(folder: Path) -> list[str]:
    return _faults(_check_onnx, folder / "model.onnx") + _faults(
        lambda path: json.loads(path.read_text(encoding="utf-8")), folder / "config.json"
    )


def _check_onnx(path: Path) -> None:
    try:
        import onnxruntime
    except ImportError as error:
        from reverie.errors import MissingExtraError

        raise MissingExtraError("checking an ONNX graph", "export") from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has errors of its own kind
        raise BundleError(f"{path} is no ONNX graph that can be run: {shorten(str(error), 120)}") from error
    names: Iterator[str] = (one.name for one in session.get_inputs())
    if "ids" not in names:
        raise BundleError(f"{path} takes no ids: it is no base that was exported here")


_CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "gguf": _gguf_faults,
    "ollama": _ollama_faults,
    "hf": _hf_faults,
    "peft": _peft_faults,
    "onnx": _onnx_faults,
}
