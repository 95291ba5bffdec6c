"""Captions from a vision-language model that the user names: a folder, or an id of the Hugging Face hub.

Three ways of asking cover what transformers has for pictures to text: chat models (LLaVA, Qwen-VL, SmolVLM …) are asked
in their own chat format, captioners with a processor (BLIP, BLIP-2, GIT …) get the picture and perhaps the beginning of
a sentence, and VisionEncoderDecoder pairs the picture alone. Answers are greedy: the same picture, the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reverie.data.pictures.phrases import one_line
from reverie.errors import BundleError, ConfigError, MissingExtraError, shorten
from reverie.logs import quiet_transformers

__all__ = ["CaptionerConfig", "ModelCaptioner", "load_captioner"]

_ASK = "Describe what this picture shows in one sentence."


@dataclass(frozen=True)
class CaptionerConfig:
    """Which model writes the captions, and how it is asked. Raises ConfigError on what cannot be."""

    source: str  # a folder, or an id of the hub
    prompt: str = (
        ""  # a chat model's question (empty: a sentence about the picture), or how a captioner's sentence begins
    )
    batch_size: int = 8
    max_tokens: int = 60  # of a caption
    device: str = "auto"  # auto, cpu, cuda …

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ConfigError("--captioner must name a folder or an id of the Hugging Face hub")
        for name, most in (("batch_size", 4_096), ("max_tokens", 4_096)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be from 1 to {most:,}, got {getattr(self, name)}")


class ModelCaptioner:
    """A model and how it is asked; make it with ``load_captioner``."""

    def __init__(self, config: CaptionerConfig, model: Any, ask: Callable[[list[Image.Image]], list[str]]) -> None:
        self.config, self.model, self._ask = config, model, ask
        # what the words depend on; not the batch, which one must be able to make smaller when memory was short
        self.name = f"{config.source} prompt={config.prompt!r} max_tokens={config.max_tokens}"
        self.batch_size = config.batch_size

    def describe(self, pictures: Sequence[np.ndarray]) -> list[str]:
        """A sentence for each picture, uint8 (H, W, 3); perhaps empty where the model says nothing.

        Raises BundleError where the model fails, for want of memory for example.
        """
        if not pictures:
            return []
        import torch

        try:
            with torch.inference_mode(), quiet_transformers():
                said = self._ask([Image.fromarray(picture) for picture in pictures])
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            raise BundleError(
                f"the captioner {shorten(self.config.source)} failed on {len(pictures)} pictures: "
                f"{shorten(str(error), 160)}. Run again, it goes on; with a smaller --caption-batch for want of memory."
            ) from error
        begun = self.config.prompt.strip().lower()
        return [_without_beginning(one_line(words), begun) for words in said]


def load_captioner(config: CaptionerConfig) -> ModelCaptioner:
    """The model that ``config`` names. A folder is read without the network; an id is fetched from the hub.

    Only safetensors are read and no foreign code is run. Raises BundleError where nothing can be loaded,
    MissingExtraError without transformers.
    """
    try:
        import torch
        import transformers
        from safetensors import SafetensorError
    except ImportError as error:
        raise MissingExtraError("a captioner", "train") from error
    known: dict[str, Any] = {"trust_remote_code": False}
    if Path(config.source).is_dir():
        known["local_files_only"] = True
    elif Path(config.source).exists():
        raise BundleError(f"the captioner {config.source} is a file. Name the folder that it lies in.")
    device = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        with quiet_transformers():
            model_config = transformers.AutoConfig.from_pretrained(config.source, **known)
            model, report = transformers.AutoModelForImageTextToText.from_pretrained(
                config.source, config=model_config, dtype=dtype, use_safetensors=True, output_loading_info=True, **known
            )
            if lacking := sorted(report["missing_keys"]):
                raise ValueError(f"it lacks {len(lacking)} weights, such as {lacking[0]}")
            model = model.eval().to(device)
            ask = _way_of_asking(config, model, transformers, known)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        AttributeError,
        ImportError,
        SafetensorError,
    ) as error:
        reason = shorten(str(error), 200)
        raise BundleError(f"no captioner can be loaded from '{shorten(config.source)}': {reason}") from error
    return ModelCaptioner(config, model, ask)


def _way_of_asking(
    config: CaptionerConfig, model: Any, transformers: Any, known: Mapping[str, Any]
) -> Callable[[list[Image.Image]], list[str]]:
    if model.config.model_type == "vision-encoder-decoder":
        look = transformers.AutoImageProcessor.from_pretrained(config.source, backend="pil", **known)
        tokenizer = _with_words(transformers.AutoTokenizer.from_pretrained(config.source, **known))
        return lambda pictures: _generate(config, model, look(pictures, return_tensors="pt"), tokenizer)
    processor = transformers.AutoProcessor.from_pretrained(config.source, backend="pil", **known)
    tokenizer = _with_words(getattr(processor, "tokenizer", None))
    tokenizer.padding_side = "left"  # so that every row goes on from its last word
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    prepare = _chat if getattr(processor, "chat_template", None) else _plain
    return lambda pictures: _generate(config, model, prepare(processor, pictures, config.prompt), tokenizer)


def _with_words(tokenizer: Any) -> Any:
    """The tokenizer itself. Where its files are missing transformers makes up an empty one: ValueError."""
    if tokenizer is None or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError("it has no tokenizer")
    return tokenizer


def _chat(processor: Any, pictures: list[Image.Image], prompt: str) -> Any:
    ask = {"type": "text", "text": prompt or _ASK}
    talks = [[{"role": "user", "content": [{"type": "image", "image": one}, ask]}] for one in pictures]
    return processor.apply_chat_template(
        talks, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", padding=True
    )


def _plain(processor: Any, pictures: list[Image.Image], prompt: str) -> Any:
    words = {"text": [prompt] * len(pictures), "padding": True} if prompt else {}
    return processor(images=pictures, return_tensors="pt", **words)


def _generate(config: CaptionerConfig, model: Any, inputs: Mapping[str, Any], tokenizer: Any) -> list[str]:
    """The new words of each row."""
    import torch

    moved = {}
    for name, value in inputs.items():
        floats = isinstance(value, torch.Tensor) and value.is_floating_point()
        moved[name] = value.to(model.device, model.dtype) if floats else value.to(model.device)
    ids = model.generate(**moved, do_sample=False, num_beams=1, max_new_tokens=config.max_tokens)
    asked = moved.get("input_ids")
    if asked is not None and ids.shape[1] > asked.shape[1] and torch.equal(ids[:, : asked.shape[1]], asked):
        ids = ids[:, asked.shape[1] :]  # many models repeat what they were asked
    said: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
    return said


def _without_beginning(words: str, begun: str) -> str:
    """A captioner that goes on with "an engraving of" repeats that; the style's phrase takes its place."""
    return words[len(begun) :].strip() if begun and words.lower().startswith(begun) else words
