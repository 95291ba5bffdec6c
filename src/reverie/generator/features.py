"""Pictures → features, in which sets of pictures are compared: extractors behind one contract, with a registry.

``own``     our own small net, taught on the training pictures without labels (see ``own_features.py``): no download,
            and no compared system judges itself
``pixels``  grey thumbnails of 16 × 16: the toy, which sees tone and layout and nothing else
any other   a Hugging Face vision folder or id: CLIP and ResNet as in ``reverie.model.vision``, and every network that
            transformers' ``AutoModel`` opens and that gives ``pooler_output`` or ``last_hidden_state`` of pictures
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from reverie.errors import BundleError, MissingExtraError, PictureError, ReverieError, shorten
from reverie.generator.measures import thumbnails
from reverie.generator.own_features import OwnFeaturesConfig, Pictures, own_features
from reverie.jsonio import read_object
from reverie.logs import quiet_transformers
from reverie.model.vision import VisionConfig, VisionEncoder, make_vision
from reverie.progress import Progress, no_progress
from reverie.registry import Promises, Registry

__all__ = [
    "EXTRACTORS",
    "FeatureExtractor",
    "Lesson",
    "check_features",
    "make_features",
]

_BATCH = 32  # pictures a network call
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation where a folder names none


class FeatureExtractor(Protocol):
    """The same picture has the same features whatever the company, alike pictures have near ones."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """D, the number of features."""
        ...

    def features(self, pictures: Pictures) -> np.ndarray:
        """uint8 (H, W, 3) pictures in [0, 255], a list or one array of them → float32 (N, D).

        Raises PictureError for anything else.
        """
        ...


@dataclass(frozen=True)
class Lesson:
    """What an extractor that must be taught is taught with."""

    pictures: np.ndarray  # uint8 (N, side, side, 3), of the training split alone
    config: OwnFeaturesConfig = field(default_factory=OwnFeaturesConfig)
    cache_dir: Path | None = None  # where taught extractors are kept; None: the user's cache
    progress: Progress = no_progress  # told how far the teaching is


Factory = Callable[[Lesson], FeatureExtractor]


class PixelFeatures:
    """Grey values of a thumbnail, each as it is: an extractor that needs nothing."""

    name, size = "pixels", 256

    def features(self, pictures: Pictures) -> np.ndarray:
        _demand_pictures(pictures)
        rows = [thumbnails(np.asarray(picture)[None], 16) * 16 for picture in pictures]
        return np.concatenate([np.zeros((0, self.size), np.float32), *rows]).astype(np.float32)


class FolderFeatures:
    """A frozen network of transformers; what it says of the whole picture is the feature row."""

    def __init__(self, source: str):
        self.name = Path(source).name
        self._describe, self.size = _open(source)

    @torch.inference_mode()
    def features(self, pictures: Pictures) -> np.ndarray:
        _demand_pictures(pictures)
        parts = [list(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH)]
        return torch.cat([torch.zeros(0, self.size), *(self._describe(part).float() for part in parts)]).numpy()


# What an entry makes must pass ``check_features``.
EXTRACTORS = Registry[Factory](
    "feature extractor",
    {
        "own": lambda lesson: own_features(lesson.pictures, lesson.config, lesson.cache_dir, lesson.progress),
        "pixels": lambda lesson: PixelFeatures(),
    },
    others=("a Hugging Face folder",),
)


def make_features(name: str, lesson: Lesson) -> FeatureExtractor:
    """The extractor of that name, else the network in the folder of that name or behind that Hugging Face id.

    Raises UnknownNameError where it is neither, BundleError for a folder without a network of pictures, DataError for
    too few pictures to be taught on, MissingExtraError without transformers.
    """
    is_id = "/" in name and not name.startswith((".", "/", "~"))
    if name not in EXTRACTORS and (is_id or Path(name).exists()):
        return FolderFeatures(name)
    return EXTRACTORS.get(name)(lesson)


def check_features(extractor: FeatureExtractor) -> None:
    """Hold an extractor to the contract; ContractError says what it breaks."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(256, size=(side, side, 3), dtype=np.uint8) for side in (64, 64, 48, 20)]
    promises, rows = Promises("a feature extractor", extractor.name), extractor.features(pictures)
    whole = rows.shape == (4, extractor.size) and rows.dtype == np.float32
    promises.expect(f"pictures become float32 (4, {extractor.size})", whole, f"{rows.dtype} {rows.shape}")
    promises.expect("features are finite", bool(np.isfinite(rows).all()))
    alone = np.allclose(rows[2:3], extractor.features(pictures[2:3]), atol=1e-4, rtol=1e-3)
    promises.expect("a picture's features do not depend on the pictures beside it", alone)
    same = np.allclose(rows[:2], extractor.features(np.stack(pictures[:2])), atol=1e-4, rtol=1e-3)
    promises.expect("an array of pictures has the features of a list of them", same)
    promises.expect("two different pictures differ in features", not np.allclose(rows[0], rows[1], atol=1e-6))
    promises.expect("no pictures give no rows", extractor.features([]).shape == (0, extractor.size))
    for bad in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)):
        try:
            extractor.features([bad])
        except PictureError:
            continue
        promises.expect("what is no picture is refused with a PictureError", False, f"{bad.dtype} {bad.shape}")


def _demand_pictures(pictures: Pictures) -> None:
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise PictureError(f"a picture is uint8 (height, width, 3), got {picture.dtype} {picture.shape}")


# networks of transformers --------------------------------------------------------------------------------------------

Describe = Callable[[list[np.ndarray]], Tensor]


def _open(source: str) -> tuple[Describe, int]:
    """What turns pictures into rows, and how wide these are."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("features of a Hugging Face network", "train") from error
    try:
        with quiet_transformers():
            kind = transformers.AutoConfig.from_pretrained(source).model_type
            kind = {"clip_vision_model": "clip"}.get(kind, kind)
            describe = _by_vision(kind, source) if kind in ("clip", "resnet") else _by_auto_model(transformers, source)
        return describe, describe([np.zeros((32, 32, 3), np.uint8)]).shape[1]
    except ReverieError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        reason = shorten(str(error), 160)
        raise BundleError(f"no network of pictures can be loaded from '{shorten(source)}': {reason}") from error


def _by_vision(kind: str, source: str) -> Describe:
    encoder: VisionEncoder = make_vision(VisionConfig(kind, source=source))
    return lambda pictures: encoder.vector(encoder.prepare(pictures))


def _by_auto_model(transformers: Any, source: str) -> Describe:
    network, report = transformers.AutoModel.from_pretrained(source, use_safetensors=True, output_loading_info=True)
    if lacking := sorted(key for key in report["missing_keys"] if "pooler" not in key):
        raise ValueError(f"it lacks {len(lacking)} weights, such as {lacking[0]}")
    pooled = not any("pooler" in key for key in report["missing_keys"])
    network = network.eval().requires_grad_(False)
    side, mean, deviation = _preparation(source, network.config)

    @torch.inference_mode()
    def describe(pictures: list[np.ndarray]) -> Tensor:
        resized = [np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in pictures]
        pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        found = network(pixel_values=(pixels - mean) / deviation)
        row = getattr(found, "pooler_output", None) if pooled else None
        if row is not None:
            return row.flatten(1)
        states = found.last_hidden_state
        return states.mean(1) if states.ndim == 3 else states.mean((2, 3))

    return describe


def _preparation(source: str, config: Any) -> tuple[int, Tensor, Tensor]:
    """Side in pixels, mean and deviation of the colours, as the folder says or as is usual."""
    file = Path(source) / "preprocessor_config.json"
    said = read_object(file, BundleError, "the preparation of pictures") if file.is_file() else {}
    side: Any = said.get("crop_size") or said.get("size") or getattr(config, "image_size", 224)
    if isinstance(side, dict):
        side = side.get("height") or side.get("shortest_edge") or 224
    side = max(side) if isinstance(side, (list, tuple)) else side
    mean, deviation = said.get("image_mean", _IMAGENET[0]), said.get("image_std", _IMAGENET[1])
    return int(side), torch.tensor(mean).view(3, 1, 1), torch.tensor(deviation).view(3, 1, 1)
