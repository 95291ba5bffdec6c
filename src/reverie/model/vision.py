"""Pictures → states: vision encoders behind one contract, their registry, and ``check_vision`` that each must pass.

``lite``    our own small convolutional net, trained from nothing
``tokens``  the codes of an image tokenizer, read by their quantized digits, each cell beside its neighbours
``clip``    any CLIP folder or id (Radford et al., arXiv:2103.00020), by transformers; frozen
``resnet``  any ResNet folder or id (He et al., arXiv:1512.03385), by transformers, without torchvision; frozen
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.errors import BundleError, ConfigError, MissingExtraError, PictureError, shorten
from reverie.logs import quiet_transformers
from reverie.registry import Promises, Registry
from reverie.tokens.image import FSQ, ImageTokenizer, to_float

__all__ = [
    "EMBED_SIZE",
    "VisionConfig",
    "VisionEncoder",
    "check_vision",
    "make_vision",
    "vision_encoders",
]

EMBED_SIZE = 512  # numbers of a picture's semantic vector, whatever made it


@dataclass(frozen=True)
class VisionConfig:
    """One vision encoder."""

    kind: str = "lite"  # a name of the registry
    source: str = ""  # clip and resnet: a folder or a Hugging Face id
    side: int = 64  # pixels that a picture is resized to; clip and resnet know their own
    cell_px: int = 8  # tokens: side in pixels of the square that becomes one code
    size: int = 64  # width D of the states of lite and tokens

    def __post_init__(self) -> None:
        if self.cell_px < 1 or self.side < 16 or self.side % 16 or self.side % self.cell_px:
            raise ConfigError(
                f"vision: side is a multiple of 16 and of cell_px, got side={self.side} and cell_px={self.cell_px}"
            )
        if self.size < 8 or self.size % 8:
            raise ConfigError(f"vision: size is a multiple of 8, got {self.size}")


class VisionEncoder(nn.Module):
    """``prepare`` is done once a picture and has no gradients; ``forward`` is trained, unless the encoder is frozen."""

    name: str
    size: int  # width D of the states
    num_states: int  # K

    def prepare(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """uint8 (H, W, 3) pictures in [0, 255] of any size → (B, …), what ``forward`` reads; on the CPU.

        Raises PictureError for anything else.
        """
        raise NotImplementedError

    def forward(self, prepared: Tensor) -> Tensor:
        """→ (B, K, D)."""
        raise NotImplementedError

    def vector(self, prepared: Tensor) -> Tensor:
        """What stands for the whole picture: (B, …) → (B, any)."""
        return self(prepared).mean(1)

    @torch.inference_mode()
    def embed(self, pictures: Sequence[np.ndarray], batch_size: int = 32) -> np.ndarray:
        """Pictures → float32 (N, 512), rows of length 1: alike pictures, alike vectors.

        A vector of another width is turned into 512 numbers by a fixed matrix with orthonormal rows or columns: a
        narrower one keeps its angles exactly, a wider one about (Johnson and Lindenstrauss, 1984).
        ``batch_size`` pictures are worked on at a time, so a long list never lies in memory twice.
        """
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        was_training = self.training
        self.eval()
        rows = [torch.zeros(0, EMBED_SIZE)]
        for start in range(0, len(pictures), batch_size):
            found = self.vector(self.prepare(pictures[start : start + batch_size]).to(device)).float().cpu()
            rows.append(found if found.shape[1] == EMBED_SIZE else found @ _turn(found.shape[1]))
        self.train(was_training)
        return F.normalize(torch.cat(rows), dim=1).numpy()


class LiteVision(VisionEncoder):
    """Five convolutions, each but the first two halving the picture: 16 × 16 pixels become one state."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.name, self.size, self.side = "lite", config.size, config.side
        self.num_states = (config.side // 16) ** 2
        widths = [3, 16, 32, 64, config.size]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, padding=1), nn.GroupNorm(8, after), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Conv2d(config.size, config.size, 1))
        self.place = nn.Parameter(torch.empty(self.num_states, config.size))

    def prepare(self, pictures: Sequence[np.ndarray]) -> Tensor:  # → uint8 (B, side, side, 3)
        return _stack([_fitted(picture, self.side) for picture in pictures], self.side)

    def forward(self, prepared: Tensor) -> Tensor:
        return self.net(to_float(prepared)).flatten(2).transpose(1, 2) + self.place


class TokensVision(VisionEncoder):
    """One state a code; the tokenizer itself stays as it is, and is no part of the weights."""

    def __init__(self, config: VisionConfig, tokenizer: ImageTokenizer):
        super().__init__()
        self.name, self.size, self.side, self.cell_px = "tokens", config.size, config.side, config.cell_px
        self.rows = config.side // config.cell_px
        self.num_states = self.rows**2
        self._tokenizer = (tokenizer,)  # in a tuple: not a submodule
        self.fsq = FSQ(tokenizer.config.levels)
        self.read = nn.Linear(sum(tokenizer.config.levels), config.size)
        self.place = nn.Parameter(torch.empty(self.num_states, config.size))
        self.around = nn.Conv2d(config.size, config.size, 3, padding=1)
        self.norm = nn.LayerNorm(config.size)

    def prepare(self, pictures: Sequence[np.ndarray]) -> Tensor:  # → int64 (B, rows, rows)
        fitted = [_fitted(picture, self.side) for picture in pictures]
        frames = self._tokenizer[0].encode(fitted, self.cell_px)
        codes = [torch.from_numpy(np.array(frame.codes, np.int64)) for frame in frames]
        return torch.stack(codes) if codes else torch.zeros(0, self.rows, self.rows, dtype=torch.int64)

    def forward(self, prepared: Tensor) -> Tensor:
        x = self.read(self.fsq.features(self.fsq.from_codes(prepared.flatten(1)))) + self.place  # (B, K, D)
        grid = self.norm(x).transpose(1, 2).unflatten(2, (self.rows, self.rows))
        return x + F.gelu(self.around(grid)).flatten(2).transpose(1, 2)


class _Pretrained(VisionEncoder):
    """A frozen network of transformers; its own processor (the one on PIL: no torchvision) prepares the pictures."""

    def __init__(self, config: VisionConfig, kind: str):
        super().__init__()
        if not config.source:
            raise ConfigError(f"vision: {kind} needs source, a folder or a Hugging Face id")
        self.name = kind
        self.net, self.processor = _load(kind, config.source)
        self.net.requires_grad_(False)

    def prepare(self, pictures: Sequence[np.ndarray]) -> Tensor:  # → float (B, 3, side, side), normalised
        for picture in pictures:
            _demand_picture(picture)
        if not pictures:
            return torch.zeros(0, 3, 1, 1)
        images = [Image.fromarray(picture) for picture in pictures]
        pixels: Tensor = self.processor(images, return_tensors="pt")["pixel_values"]
        return pixels

    def train(self, mode: bool = True) -> Self:
        return super().train(False)  # its norms and dropouts stay as in use


class ClipVision(_Pretrained):
    """The states of the class and of every patch; ``vector`` is the projection that CLIP compares with words."""

    def __init__(self, config: VisionConfig):
        super().__init__(config, "clip")
        vision = self.net.config
        self.size = int(vision.hidden_size)
        self.num_states = 1 + (int(vision.image_size) // int(vision.patch_size)) ** 2

    @torch.no_grad()
    def forward(self, prepared: Tensor) -> Tensor:
        return self.net(pixel_values=prepared).last_hidden_state

    @torch.no_grad()
    def vector(self, prepared: Tensor) -> Tensor:
        return self.net(pixel_values=prepared).image_embeds


class ResNetVision(_Pretrained):
    """One state a cell of the last map; ``vector`` is their mean, 512 numbers in ResNet-18 and 34."""

    def __init__(self, config: VisionConfig):
        super().__init__(config, "resnet")
        self.size = int(self.net.config.hidden_sizes[-1])
        blank = self.prepare([np.zeros((64, 64, 3), np.uint8)])
        self.num_states = self.forward(blank).shape[1]

    @torch.no_grad()
    def forward(self, prepared: Tensor) -> Tensor:
        return self.net(pixel_values=prepared).last_hidden_state.flatten(2).transpose(1, 2)


Factory = Callable[[VisionConfig, ImageTokenizer | None], VisionEncoder]


def _tokens(config: VisionConfig, tokenizer: ImageTokenizer | None) -> VisionEncoder:
    if tokenizer is None:
        raise ConfigError("vision: 'tokens' needs an image tokenizer, such as that of a bundle")
    return TokensVision(config, tokenizer)


#: What a factory makes must pass ``check_vision``.
vision_encoders: Registry[Factory] = Registry(
    "vision encoder",
    {
        "lite": lambda config, _: LiteVision(config),
        "tokens": _tokens,
        "clip": lambda config, _: ClipVision(config),
        "resnet": lambda config, _: ResNetVision(config),
    },
)


def make_vision(
    config: VisionConfig, tokenizer: ImageTokenizer | None = None, generator: torch.Generator | None = None
) -> VisionEncoder:
    """The encoder that ``config`` names; ``generator`` seeds what is not pretrained.

    Raises UnknownNameError, ConfigError (a source or tokenizer is missing), MissingExtraError, or BundleError for a
    source that holds no such network.
    """
    encoder = vision_encoders.get(config.kind)(config, tokenizer)
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            _initialise(name, parameter, generator)
    return encoder


def check_vision(encoder: VisionEncoder) -> list[str]:
    """Hold an encoder to the contract, and return what was checked; ContractError says what it breaks."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(256, size=(h, w, 3), dtype=np.uint8) for h, w in ((64, 64), (48, 96), (70, 33))]
    promises = Promises("a vision encoder", encoder.name)
    encoder.eval()
    with torch.no_grad():
        states, alone = (encoder(encoder.prepare(given)) for given in (pictures, pictures[1:2]))
    wanted, shape = (3, encoder.num_states, encoder.size), tuple(states.shape)
    promises.expect(
        f"pictures become float {wanted}", shape == wanted and states.is_floating_point(), f"{states.dtype} {shape}"
    )
    promises.expect("states are finite", bool(states.isfinite().all()))
    same = torch.allclose(states[1:2], alone, atol=1e-4, rtol=1e-4)
    promises.expect("a picture's states do not depend on the pictures beside it", same)
    vectors = encoder.embed([*pictures, pictures[0]], batch_size=2)
    whole = vectors.shape == (4, EMBED_SIZE) and vectors.dtype == np.float32
    promises.expect(f"embed returns float32 (4, {EMBED_SIZE})", whole, f"{vectors.dtype} {vectors.shape}")
    promises.expect("every vector has length 1", np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3))
    same, other = (np.allclose(vectors[0], vectors[place], atol=1e-4) for place in (3, 1))
    promises.expect("the same picture has the same vector, and another has another", same and not other)
    promises.expect("no pictures give no vectors", encoder.embed([]).shape == (0, EMBED_SIZE))
    for bad in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)):
        promises.expect(f"{bad.dtype} {bad.shape} is refused as no picture", _refuses(encoder, bad))
    return promises.kept


def _refuses(encoder: VisionEncoder, bad: np.ndarray) -> bool:
    try:
        encoder.prepare([bad])
    except PictureError:
        return True
    return False


# pictures ----------------------------------------------------------------------------------------------------


def _demand_picture(picture: np.ndarray) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise PictureError(f"a picture is uint8 (height, width, 3), got {picture.dtype} {picture.shape}")


def _fitted(picture: np.ndarray, side: int) -> np.ndarray:
    _demand_picture(picture)
    if picture.shape[:2] == (side, side):
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def _stack(pictures: list[np.ndarray], side: int) -> Tensor:
    return torch.from_numpy(np.stack(pictures) if pictures else np.zeros((0, side, side, 3), np.uint8))


# weights -----------------------------------------------------------------------------------------------------


def _load(kind: str, source: str) -> tuple[Any, Any]:
    """A network in eval mode and the processor of its pictures."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(f"the vision encoder '{kind}'", "embed") from error
    network, pictures, types = {
        "clip": ("CLIPVisionModelWithProjection", "CLIPImageProcessorPil", ("clip", "clip_vision_model")),
        "resnet": ("ResNetModel", "ConvNextImageProcessorPil", ("resnet",)),
    }[kind]
    try:
        with quiet_transformers():
            config = transformers.AutoConfig.from_pretrained(source)
            if config.model_type not in types:
                raise ValueError(f"it holds a network of type {config.model_type}")
            if config.model_type == "clip":  # both halves: what looks, and how wide both project
                config.vision_config.projection_dim = config.projection_dim
                config = config.vision_config
            model, report = getattr(transformers, network).from_pretrained(
                source, config=config, use_safetensors=True, output_loading_info=True
            )
            if lacking := sorted(report["missing_keys"]):
                raise ValueError(f"it lacks {len(lacking)} weights, such as {lacking[0]}")
            try:
                processor = getattr(transformers, pictures).from_pretrained(source)
            except OSError:  # a folder without preprocessor_config.json
                side = int(getattr(model.config, "image_size", 224))
                crop = {"crop_size": {"height": side, "width": side}} if kind == "clip" else {}
                processor = getattr(transformers, pictures)(size={"shortest_edge": side}, **crop)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        reason = shorten(str(error), 160)
        raise BundleError(f"no {kind} network can be loaded from '{shorten(source)}': {reason}") from error
    return model.eval(), processor


def _initialise(name: str, parameter: nn.Parameter, generator: torch.Generator | None) -> None:
    """Matrices of variance 1 / inputs, places small, norms 1 and biases 0."""
    with torch.no_grad():
        if name.endswith("place"):
            parameter.normal_(0.0, 0.1, generator=generator)
        elif parameter.dim() > 1:
            parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            parameter.fill_(float(name.endswith("weight")))


def _turn(width: int) -> Tensor:
    """(width, 512), the same at every call: orthonormal rows or columns, whichever are fewer."""
    wide = torch.randn(max(width, EMBED_SIZE), min(width, EMBED_SIZE), generator=torch.Generator().manual_seed(512))
    q = torch.linalg.qr(wide)[0]
    return q if width >= EMBED_SIZE else q.T
