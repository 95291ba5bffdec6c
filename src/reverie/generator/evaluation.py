"""What an evaluation is asked and what it finds: plain dataclasses, which measuring and drawing both know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from reverie.errors import ConfigError
from reverie.generator.caption_tokenizer import CaptionTokenizer
from reverie.generator.generator import Sample
from reverie.generator.own_features import OwnFeaturesConfig
from reverie.generator.real_pictures import Near, RealPictures

__all__ = ["EvaluateConfig", "Evaluation", "Figures", "Shown", "System"]

Figures = dict[str, float]


class System(Protocol):
    """What can be evaluated: a ``Generator``, or whatever else makes pictures with captions from seeds."""

    network: Any  # has ``caption_logits(latents, ids)``
    tokenizer: CaptionTokenizer
    default_prior: str
    priors: dict[str, Any]

    @property
    def config(self) -> Any: ...  # has ``side`` and ``caption_ids``

    def encode(self, pictures: Sequence[np.ndarray]) -> Tensor: ...

    def paint(self, latents: Tensor) -> np.ndarray: ...

    def describe(self, latents: Tensor) -> list[str]: ...

    def match_pictures(self, pictures: Sequence[np.ndarray]) -> Tensor: ...

    def match_captions(self, captions: Sequence[str]) -> Tensor: ...

    def sample(
        self, seeds: Sequence[int], prior: str = "", temperature: float = 1.0, prompt: str = "", guidance: float = 2.0
    ) -> list[Sample]: ...


@dataclass(frozen=True)
class EvaluateConfig:
    """How a generator is evaluated."""

    samples: int = 100  # pictures sampled from each prior
    first_seed: int = 0  # the seeds are first_seed, first_seed + 1, …
    temperature: float = 1.0
    priors: tuple[str, ...] = ()  # which ones; empty: all that the generator has
    prompts: int = 50  # held-out captions that are asked for, where a prior follows captions
    guidance: float = 2.0  # how strictly
    phrasing: str = "{caption}"  # what is said of a held-out picture: a template of its caption and given fields
    features: str = "own"  # an extractor's name, a Hugging Face folder or id
    own: OwnFeaturesConfig = field(default_factory=OwnFeaturesConfig)  # how "own" is taught
    cache_dir: str = ""  # where taught extractors are kept; "": the user's cache
    shown: int = 24  # pictures on each sheet

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", tuple(self.priors))
        if self.samples < 1 or self.shown < 1 or self.first_seed < 0 or self.prompts < 0:
            raise ConfigError(
                f"evaluate: samples and shown are at least 1, first_seed and prompts 0 or more, got samples="
                f"{self.samples}, shown={self.shown}, first_seed={self.first_seed} and prompts={self.prompts}"
            )
        for name in ("temperature", "guidance"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"evaluate: {name} lies between 0 and 100, got {getattr(self, name)}")


@dataclass(frozen=True)
class Evaluation:
    """What was found. ``figures``: of the default prior and of everything that needs no prior.

    ``by``: "prior NAME" for each prior, and "floor": what real pictures of the training split get.
    """

    n: int  # held-out pictures
    figures: Figures
    by: dict[str, Figures]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """What was measured, for those who want to look at it."""

    reference: RealPictures
    repainted: np.ndarray  # held-out pictures repainted, uint8 (N, side, side, 3)
    captions: Sequence[str]  # of the first ones, as the generator writes them
    samples: Mapping[str, Sequence[Sample]]  # by prior
    near: Mapping[str, Near]  # by prior: the training pictures nearest to the samples
