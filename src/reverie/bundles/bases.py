"""What ``init`` takes for a base: a folder, a GGUF file, a checkpoint of llama2.c, or a hub's repository."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from reverie.bundles.llama2c import convert
from reverie.errors import BundleError, UsageError, shorten
from reverie.experts.files import base_hash
from reverie.files import sha256_of
from reverie.logs import quiet_transformers
from reverie.model.gguf_base import gguf_tokenizer, load_gguf, read_gguf
from reverie.model.transformers_base import check_causal, load_model

__all__ = ["Base", "is_hub_id", "open_base", "read_tokenizer"]

Kind = Literal["folder", "hub", "gguf", "llama2.c"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]  # of a hub's repository


@dataclass(frozen=True)
class Base:
    """A base before it is loaded."""

    name: str  # a hub's id, or the name alone of what lies here: where it lies is nobody's business
    kind: Kind
    path: Path  # of what was given, or fetched
    architecture: str
    words: Any  # its tokenizer, of transformers
    load: Callable[[torch.dtype], Any]  # → the causal language model
    size: Callable[[torch.dtype], int]  # → bytes of its weights when they are saved
    licence: str = ""

    def sha256(self) -> str:
        """What names its weights: of a folder what ``experts.base_hash`` says of it, of a file its own."""
        return base_hash(self.path) if self.path.is_dir() else sha256_of(self.path)


def is_hub_id(base: str) -> bool:
    """Whether it reads as a hub's ``owner/name``, and as nothing that lies here: ``runs/mine`` is a wrong path."""
    return bool(_HUB_ID.fullmatch(base)) and not Path(base).exists() and not Path(base).parent.exists()


def open_base(base: str, tokenizer: Path | None, scratch: Path, on_step: Callable[[str], None]) -> Base:
    """The base that was given, with its tokenizer; arguments as for ``init_bundle``, ``scratch`` a folder for what is
    made on the way. Raises UsageError, BundleError, MissingExtraError."""
    path = Path(base)
    if path.is_dir():
        return _folder(path, path.resolve().name, "folder", tokenizer)
    if path.is_file() and path.suffix == ".gguf":
        return _gguf(path, tokenizer)
    if path.is_file() and path.suffix == ".bin":
        words = tokenizer or path.with_name("tokenizer.bin")
        if not words.is_file():
            raise UsageError(f"{path} needs its tokenizer, and {words} is no file; give it with --tokenizer")
        on_step(f"converting {path.name}")
        convert(path, words, scratch / "base")
        return _folder(scratch / "base", path.resolve().stem, "llama2.c", None, path)
    if path.is_file():
        raise UsageError(f"a base is a folder, a hub's id, a GGUF file or a checkpoint of llama2.c; {path} is none")
    if is_hub_id(base):
        return _folder(_fetch(base, on_step), base, "hub", tokenizer)
    raise UsageError(f"no base '{shorten(base)}': it is no folder or file here, and no hub's id such as owner/name")


def _folder(
    folder: Path,
    name: str,
    kind: Literal["folder", "hub", "llama2.c"],
    tokenizer: Path | None,
    given: Path | None = None,
) -> Base:
    ggufs = sorted(folder.glob("*.gguf"))
    if ggufs and not (folder / "config.json").exists():
        raise BundleError(f"{folder} holds GGUF files and no model folder; give one of them, such as {ggufs[0]}")
    architecture = check_causal(folder)

    def size(_: torch.dtype) -> int:
        return sum(file.stat().st_size for file in folder.glob("*.safetensors"))

    return Base(
        name, kind, given or folder, architecture, read_tokenizer(tokenizer or folder), partial(_load, folder), size
    )


def _load(folder: Path, dtype: torch.dtype) -> Any:
    return load_model(folder, dtype=dtype)


def _gguf(path: Path, tokenizer: Path | None) -> Base:
    head = read_gguf(path)
    words = read_tokenizer(tokenizer) if tokenizer else gguf_tokenizer(head)

    def size(dtype: torch.dtype) -> int:
        return head.num_parameters * dtype.itemsize

    return Base(
        path.resolve().stem, "gguf", path, head.architecture, words, partial(load_gguf, head), size, head.licence
    )


def _fetch(hub_id: str, on_step: Callable[[str], None]) -> Path:
    from huggingface_hub import snapshot_download

    on_step(f"fetching {hub_id}")
    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=_WANTED))
    except (OSError, ValueError) as error:
        raise BundleError(f"'{shorten(hub_id)}' cannot be fetched: {shorten(str(error), 120)}") from error
    if not (folder / "config.json").is_file():
        hint = "If it holds GGUF files, fetch one of them and give that."
        raise BundleError(f"'{shorten(hub_id)}' holds no model folder of transformers. {hint}")
    return folder


def read_tokenizer(place: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        if place.suffix == ".json" and place.is_file():
            return PreTrainedTokenizerFast(tokenizer_file=str(place))
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
    except Exception as error:  # whatever a foreign file makes the libraries raise
        raise BundleError(f"the tokenizer in {place} cannot be loaded: {shorten(str(error), 120)}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise BundleError(f"the tokenizer in {place} has no tokenizer.json; save it once with a recent transformers")
    return tokenizer
