"""What the image tokenizer keeps: likeness of repainted pictures, use of its codes, and states read back from them.

Pictures are those of whole episodes on lakes of the test half of all maps, and of everyday scenes of the test share.
``collisions`` is the share of different patches that get the code of another patch; the baseline repaints every picture
in its mean colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reverie.worlds import World, make_world, record_episode
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.models import open_model

if TYPE_CHECKING:
    from reverie.tokens import ImageTokenizer

NUM_PICTURES = 300  # of each world


def run(settings: BenchConfig) -> Findings:
    session, manifest = open_model(settings.model)
    by: dict[str, Figures] = {}
    plain: list[float] = []
    for place, name in enumerate(session.worlds):
        settings.progress("repainting", place, len(session.worlds))
        world = make_world(name)
        pictures = _pictures(world, settings.limit or NUM_PICTURES, settings.seed)
        by[f"world_{name.lower()}"] = {"n": len(pictures)} | _count(session.tokenizer, world, pictures)
        plain.append(_mean_colour(pictures))
    settings.progress("repainting", len(by), len(by))
    names = [name for name in next(iter(by.values())) if name != "n"]
    return Findings(
        n=int(sum(figures["n"] for figures in by.values())),
        figures={name: float(np.mean([figures[name] for figures in by.values()])) for name in names},
        by=by,
        baselines={"mean_colour": {"psnr": float(np.mean(plain))}},
        settings={"bundle": manifest["name"], "codes": session.tokenizer.num_codes},
    )


def _pictures(world: World, count: int, seed: int) -> list[np.ndarray]:
    """Pictures of test scenes."""
    rng = np.random.default_rng([seed, 6])
    pictures: list[np.ndarray] = []
    while len(pictures) < count:
        options = world.sample_options(rng)
        if not world.in_test_split(options):
            continue
        steps = record_episode(world, options, rng=rng).transitions
        pictures += [steps[0].what, *(step.result for step in steps)]
    return pictures[:count]


def _count(tokenizer: ImageTokenizer, world: World, pictures: Sequence[np.ndarray]) -> Figures:
    from reverie.tokens.image import to_patches
    from reverie.training.tokenizer import picture_figures

    figures = picture_figures(tokenizer, world, pictures, world.cell_px)
    cell = world.cell_px
    patches = {patch.tobytes(): patch for picture in pictures for row in to_patches(picture, cell) for patch in row}
    codes = [int(frame.codes[0, 0]) for frame in tokenizer.encode(list(patches.values()), cell)]
    return figures | {"patches": len(codes), "collisions": 1 - len(set(codes)) / len(codes)}


def _mean_colour(pictures: Sequence[np.ndarray]) -> float:
    """PSNR in dB of pictures against their own mean colour."""
    errors = [np.square(picture - picture.mean((0, 1))).mean() for picture in pictures]
    return float(10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9)))


BENCHMARK = Benchmark(
    name="image-tokenizer",
    about="likeness, code perplexity and states read back from repainted pictures, world by world",
    run=run,
)
