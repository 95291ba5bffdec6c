"""The generator behind one thread: what endpoints and page ask for, checked against the limits."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.errors import ReverieError
from reverie.generator.config import MAX_SEED
from reverie.generator.export_images import walk_gif
from reverie.generator.generator import Generator, Sample
from reverie.server.http.errors import RequestError
from reverie.server.http.settings import Limits
from reverie.server.http.worker import Job, Worker
from reverie.server.pictures.encoding import picture_bytes

__all__ = ["BundleFacts", "GeneratedPicture", "GenerationService", "PictureRequest", "random_seed"]

_MAX_TEMPERATURE, _MAX_GUIDANCE, _MAX_SIDE, _MIN_SIDE = 10.0, 20.0, 2_048, 8


@dataclass(frozen=True)
class PictureRequest:
    """Pictures that are asked for: one for each seed from ``seed`` on."""

    seed: int
    count: int = 1
    prompt: str = ""
    temperature: float = 1.0
    guidance: float = 2.0
    prior: str = ""  # empty: the generator's own
    side: int = 0  # px of the files; 0: as painted
    form: str = "png"
    quality: int = 90

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.count)


@dataclass(frozen=True)
class GeneratedPicture:
    """A sample and the bytes of its picture's file."""

    sample: Sample
    data: bytes


@dataclass(frozen=True)
class BundleFacts:
    """What is known of the files of a bundle."""

    created: int = 0  # seconds since 1970
    num_bytes: int = 0
    digest: str = ""  # SHA-256 of the manifest, which holds that of every file
    weights: str = ""  # bf16, int8


class GenerationService:
    """Takes requests, paints them one after the other on a thread of its own, and refuses what is beyond ``limits``."""

    def __init__(self, generator: Generator, limits: Limits, facts: BundleFacts | None = None):
        self.generator, self.limits, self.facts = generator, limits, facts or BundleFacts()
        self.worker = Worker(limits.max_waiting)

    @property
    def name(self) -> str:
        return self.generator.name

    @property
    def side(self) -> int:
        """Pixels of a picture's side as it is painted."""
        return self.generator.config.side

    @property
    def card(self) -> dict[str, Any]:
        return self.generator.card

    def check_name(self, name: str | None) -> None:
        """RequestError where ``name`` is another model's."""
        if name and name not in (self.name, f"{self.name}:latest"):
            raise RequestError(
                404, f"model '{name[:80]}' not found; this server has '{self.name}'", "model", "model_not_found"
            )

    def paint(self, request: PictureRequest) -> Job[list[GeneratedPicture]]:
        """Start painting. Raises RequestError where the request is beyond the limits or too many wait."""
        self._check(request)
        return self.worker.start(lambda job: self._paint(request, job), request.count)

    def walk(self, first: PictureRequest, last: int, steps: int) -> Job[list[GeneratedPicture]]:
        """Start painting the way from the picture of ``first`` to that of the seed ``last``."""
        self._check(first)
        self._check_number("to", last, 0, MAX_SEED)
        self._check_number("steps", steps, 2, self.limits.max_count)
        self._check_pixels(steps, first.side)
        return self.worker.start(lambda job: self._walk(first, last, steps), steps)

    def gif(self, pictures: Sequence[np.ndarray], frame_ms: int = 120) -> Job[bytes]:
        """Start joining pictures to a GIF."""
        self._check_number("frame_ms", frame_ms, 20, 10_000)
        return self.worker.start(lambda job: walk_gif(pictures, frame_ms))

    def describe(
        self, pictures: Sequence[Callable[[], np.ndarray]], temperature: float = 0.0, seed: int = 0
    ) -> Job[list[str]]:
        """Start captioning pictures, each given by what opens it: decoding is work for the thread, too."""
        self._check_number("images", len(pictures), 1, self.limits.max_count)
        self._check_number("temperature", temperature, 0, _MAX_TEMPERATURE)
        self._check_number("seed", seed, 0, MAX_SEED)
        return self.worker.start(lambda job: self._describe(pictures, temperature, seed, job), len(pictures))

    def _paint(self, request: PictureRequest, job: Job[list[GeneratedPicture]]) -> list[GeneratedPicture]:
        painted = []
        with _the_requests_fault():
            for seeds in job.portions(request.seeds, 1):
                samples = self.generator.sample(
                    seeds, request.prior, request.temperature, request.prompt, request.guidance
                )
                painted += [self._file(sample, request) for sample in samples]
        return painted

    def _walk(self, first: PictureRequest, last: int, steps: int) -> list[GeneratedPicture]:
        with _the_requests_fault():
            samples = self.generator.interpolate(first.seed, last, steps, first.prior, first.temperature)
        return [self._file(sample, first) for sample in samples]

    def _describe(
        self, pictures: Sequence[Callable[[], np.ndarray]], temperature: float, seed: int, job: Job[list[str]]
    ) -> list[str]:
        captions = list[str]()
        with _the_requests_fault():
            for portion in job.portions(pictures, 1):
                captions += self.generator.caption([opened() for opened in portion], temperature, seed)
        return captions

    def _file(self, sample: Sample, request: PictureRequest) -> GeneratedPicture:
        about = {"Description": sample.caption, "Source": f"{self.name}, seed {sample.seed}", "Software": "Reverie"}
        about |= {"Prompt": sample.prompt} if sample.prompt else {}
        return GeneratedPicture(
            sample, picture_bytes(sample.picture, request.form, request.side, request.quality, about)
        )

    def _check(self, request: PictureRequest) -> None:
        self._check_number("n", request.count, 1, self.limits.max_count)
        self._check_number("seed", request.seed, 0, MAX_SEED - request.count + 1)
        self._check_number("temperature", request.temperature, 0, _MAX_TEMPERATURE)
        self._check_number("guidance", request.guidance, 0, _MAX_GUIDANCE)
        if request.side:
            self._check_number("size", request.side, _MIN_SIDE, _MAX_SIDE)
        if len(request.prompt) > self.limits.max_letters:
            said = f"a prompt has at most {self.limits.max_letters} letters, got {len(request.prompt)}"
            raise RequestError(400, said, "prompt", "prompt_too_long")
        if request.prior and request.prior not in self.generator.priors:
            known = ", ".join(sorted(self.generator.priors))
            raise RequestError(400, f"unknown prior '{request.prior[:40]}'. Known: {known}.", "prior", "unknown_prior")
        self._check_pixels(request.count, request.side)

    def _check_pixels(self, count: int, side: int) -> None:
        pixels = count * (side or self.side) ** 2
        if pixels > self.limits.max_pixels:
            said = f"{count} such pictures are {pixels:,} pixels; one answer has at most {self.limits.max_pixels:,}"
            raise RequestError(400, said, "n" if count > 1 else "size", "too_many_pixels")

    @staticmethod
    def _check_number(name: str, value: float, least: float, most: float) -> None:
        if not least <= value <= most:  # also refuses what is not a number
            raise RequestError(
                400, f"'{name}' lies between {least:,} and {most:,}, got {value:,}", name, "out_of_range"
            )


def random_seed() -> int:
    """A seed that is easy to write down."""
    return secrets.randbelow(1_000_000_000)


@contextmanager
def _the_requests_fault() -> Iterator[None]:
    """What the generator refuses is a wrong request."""
    try:
        yield
    except RequestError:
        raise
    except ReverieError as error:
        raise RequestError(400, str(error)) from error
