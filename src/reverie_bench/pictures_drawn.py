"""Pictures of lakes as people bring them, and pictures that are no lake: drawn by code, each from a seed."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from reverie.worlds import make_world
from reverie.worlds.frozenlake import CELL_PX, paint, random_map
from reverie.worlds.frozenlake.maps import any_map

__all__ = ["LAKES", "NO_LAKES", "Lake", "draw_lake"]

Rng = np.random.Generator
_FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS, Image.Resampling.BOX)


@dataclass(frozen=True, eq=False)
class Lake:
    """A lake with the elf on a cell, as the world paints it: uint8 (H, W, 3)."""

    desc: tuple[str, ...]
    elf: tuple[int, int]
    picture: np.ndarray


def draw_lake(rng: Rng) -> Lake:
    """Of 3 to 8 cells a side, the elf at the start or on any ice."""
    desc = random_map(int(rng.integers(3, 9)), rng)
    free = [(row, col) for row, line in enumerate(desc) for col, letter in enumerate(line) if letter in "SF"]
    start = next(cell for cell in free if desc[cell[0]][cell[1]] == "S")
    elf = start if rng.random() < 0.5 else free[int(rng.integers(len(free)))]
    return Lake(desc, elf, paint(desc, elf))


# lakes as they are brought ------------------------------------------------------------------------------------------


def _resized(picture: np.ndarray, wide: float, tall: float, rng: Rng) -> np.ndarray:
    size = round(picture.shape[1] * wide), round(picture.shape[0] * tall)
    how = Image.Resampling.NEAREST if wide > 1 and rng.random() < 0.3 else _FILTERS[int(rng.integers(len(_FILTERS)))]
    return np.asarray(Image.fromarray(picture).resize(size, how))


def _scaled(picture: np.ndarray, rng: Rng) -> np.ndarray:
    scale = float(np.exp(rng.uniform(np.log(0.25), np.log(2.5))))
    return _resized(picture, scale, scale, rng)


def _stretched(picture: np.ndarray, rng: Rng) -> np.ndarray:
    scale = float(rng.uniform(0.4, 1.5))
    return _resized(picture, scale, scale * float(rng.uniform(0.9, 1.1)), rng)


def _margin(picture: np.ndarray, rng: Rng) -> np.ndarray:
    widths = [tuple(rng.integers(3, 80, size=2).tolist()) for _ in range(2)]
    return _framed(picture, (widths[0], widths[1]), rng.integers(0, 256, size=3))


def _framed(picture: np.ndarray, widths: tuple[tuple[int, ...], ...], colour: np.ndarray) -> np.ndarray:
    (top, bottom), (left, right) = widths
    height, width = picture.shape[:2]
    framed = np.empty((height + top + bottom, width + left + right, 3), np.uint8)
    framed[:] = colour
    framed[top : top + height, left : left + width] = picture
    return framed


def _window(picture: np.ndarray, rng: Rng) -> np.ndarray:
    """In a window with a title, buttons and lines of text, on a screen."""
    lake = _scaled(picture, rng) if rng.random() < 0.6 else picture
    height, width = lake.shape[:2]
    screen = Image.new("RGB", (width + int(rng.integers(80, 500)), height + int(rng.integers(120, 400))))
    draw = ImageDraw.Draw(screen)
    dark = rng.random() < 0.5
    back, ink = ((28, 30, 38), (220, 222, 230)) if dark else ((244, 245, 247), (40, 42, 50))
    draw.rectangle((0, 0, *screen.size), fill=back)
    draw.rectangle((0, 0, screen.width, 30), fill=tuple(rng.integers(0, 256, size=3).tolist()))
    for place in range(3):
        draw.ellipse((10 + 22 * place, 8, 24 + 22 * place, 22), fill=tuple(rng.integers(0, 256, size=3).tolist()))
    for line in range(44, screen.height - 12, 18):
        draw.text((int(rng.integers(4, 30)), line), "reward 0.0 step 17 policy left right " * 6, fill=ink)
    at = int(rng.integers(10, screen.width - width)), int(rng.integers(40, screen.height - height))
    screen.paste(Image.fromarray(lake), at)
    return np.asarray(screen)


def _on_noise(picture: np.ndarray, rng: Rng) -> np.ndarray:
    """On a wild background."""
    height, width = picture.shape[0] + int(rng.integers(30, 300)), picture.shape[1] + int(rng.integers(30, 300))
    back = _blobs(rng, (height, width))
    top, left = int(rng.integers(0, height - picture.shape[0])), int(rng.integers(0, width - picture.shape[1]))
    back[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return back


def _grey(picture: np.ndarray, rng: Rng) -> np.ndarray:
    shown = (lambda one, _: one, _scaled, _margin, _window)[int(rng.integers(4))](picture, rng)
    return np.asarray(Image.fromarray(shown).convert("L").convert("RGB"))


def _jpeg(picture: np.ndarray, rng: Rng) -> np.ndarray:
    shown = (lambda one, _: one, _scaled, _window)[int(rng.integers(3))](picture, rng)
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "JPEG", quality=int(rng.integers(40, 95)))
    return np.asarray(Image.open(buffer).convert("RGB"))


def _shaded(picture: np.ndarray, rng: Rng) -> np.ndarray:
    gain, offset = rng.uniform(0.85, 1.1, size=3), rng.uniform(-15, 10, size=3)
    return np.clip(picture * gain + offset, 0, 255).astype(np.uint8)


def _noisy(picture: np.ndarray, rng: Rng) -> np.ndarray:
    return np.clip(picture + rng.normal(0, rng.uniform(2, 12), picture.shape), 0, 255).astype(np.uint8)


def _blurred(picture: np.ndarray, rng: Rng) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(float(rng.uniform(1, 12)))))


LAKES: dict[str, Callable[[np.ndarray, Rng], np.ndarray]] = {
    "as_it_is": lambda picture, rng: picture,
    "scaled": _scaled,
    "stretched": _stretched,
    "margin": _margin,
    "window": _window,
    "on_noise": _on_noise,
    "grey": _grey,
    "jpeg": _jpeg,
    "shaded": _shaded,
    "noisy": _noisy,
    "blurred": _blurred,
}

# no lakes -----------------------------------------------------------------------------------------------------------


def _blobs(rng: Rng, shape: tuple[int, int]) -> np.ndarray:
    """Soft blobs of colour with some grain, as photos out of focus are."""
    small = rng.integers(0, 256, (int(rng.integers(3, 12)), int(rng.integers(3, 12)), 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))
    return np.clip(soft + rng.normal(0, rng.uniform(0, 12), soft.shape), 0, 255).astype(np.uint8)


def _size(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(60, 600)), int(rng.integers(60, 600))


def _pixels(rng: Rng) -> np.ndarray:
    return rng.integers(0, 256, (*_size(rng), 3), dtype=np.uint8)


def _chart(rng: Rng) -> np.ndarray:
    """Bars or a line over a grid."""
    height, width = _size(rng)
    image = Image.new("RGB", (width, height), "white")
    draw, step = ImageDraw.Draw(image), int(rng.integers(12, 80))
    for at in range(0, max(width, height), step):
        draw.line((at, 0, at, height), fill=(210, 215, 225))
        draw.line((0, at, width, at), fill=(210, 215, 225))
    tall = rng.integers(4, height, size=max(2, width // step))
    if rng.random() < 0.5:
        for place, high in enumerate(tall.tolist()):
            draw.rectangle((place * step + 3, height - high, (place + 1) * step - 3, height), fill=(91, 138, 189))
    else:
        draw.line([(place * step, int(high)) for place, high in enumerate(tall)], fill=(200, 90, 80), width=3)
    return np.asarray(image)


def _drawing(rng: Rng) -> np.ndarray:
    height, width = _size(rng)
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 256, size=3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 30))):
        (x0, x1), (y0, y1) = (
            sorted(rng.integers(0, width, size=2).tolist()),
            sorted(rng.integers(0, height, 2).tolist()),
        )
        shape = (draw.ellipse, draw.rectangle)[int(rng.integers(2))]
        shape((x0, y0, x1, y1), fill=tuple(rng.integers(0, 256, size=3).tolist()))
    return np.asarray(image)


def _game(rng: Rng) -> np.ndarray:
    """Another game on a grid, in the colours of a lake: every cell of one of a few patterns of its own."""
    side, cell = int(rng.integers(3, 9)), int(rng.integers(24, 80))
    colours = np.array([(200, 225, 243), (180, 200, 230), (91, 138, 189), (58, 60, 76), (200, 98, 88)], np.uint8)
    kinds = []
    for _ in range(4):
        pattern = colours[rng.integers(0, len(colours), (8, 8)) * (rng.random((8, 8)) < 0.25)]
        kinds.append(np.asarray(Image.fromarray(pattern).resize((cell, cell), Image.Resampling.NEAREST)).copy())
        kinds[-1][0] = kinds[-1][:, 0] = colours[1]
    grid = rng.integers(0, len(kinds), (side, side))
    return np.concatenate([np.concatenate([kinds[kind] for kind in line], 1) for line in grid.tolist()], 0)


def _everyday(rng: Rng) -> np.ndarray:
    world = make_world("Everyday")
    world.reset(seed=int(rng.integers(2**31)), options=world.sample_options(rng))
    picture = np.asarray(world.render())
    return _scaled(picture, rng) if rng.random() < 0.5 else picture


def _cropped(rng: Rng) -> np.ndarray:
    """A part of a cell is missing at one side or two."""
    picture = draw_lake(rng).picture
    cut = int(rng.integers(12, 52))
    part = (picture[cut:], picture[:-cut], picture[:, cut:], picture[:, :-cut], picture[cut:, cut:])
    return _maybe_scaled(np.ascontiguousarray(part[int(rng.integers(5))]), rng)


def _maybe_scaled(picture: np.ndarray, rng: Rng) -> np.ndarray:
    return _scaled(picture, rng) if rng.random() < 0.5 else picture


def _row_cut(rng: Rng) -> np.ndarray:
    """A row or a column of cells is missing at the top or the left."""
    picture = draw_lake(rng).picture
    return np.ascontiguousarray(picture[CELL_PX:] if rng.random() < 0.5 else picture[:, CELL_PX:])


def _several(rng: Rng) -> np.ndarray:
    lakes = [_margin(draw_lake(rng).picture, rng) for _ in range(2)]
    size = max(lake.shape[0] for lake in lakes), sum(lake.shape[1] for lake in lakes)
    picture = np.full((*size, 3), 255, np.uint8)
    picture[: lakes[0].shape[0], : lakes[0].shape[1]] = lakes[0]
    picture[: lakes[1].shape[0], lakes[0].shape[1] :] = lakes[1]
    return _maybe_scaled(picture, rng)


def _covered(rng: Rng) -> np.ndarray:
    """Something lies over most of a cell."""
    lake = draw_lake(rng)
    picture = lake.picture.copy()
    row, col = (int(rng.integers(size)) * CELL_PX for size in (len(lake.desc), len(lake.desc[0])))
    picture[row + 6 : row + 58, col + 6 : col + 58] = _blobs(rng, (52, 52))
    return _maybe_scaled(picture, rng)


def _no_elf(rng: Rng) -> np.ndarray:
    return _maybe_scaled(paint(draw_lake(rng).desc, None), rng)


def _two_elves(rng: Rng) -> np.ndarray:
    while True:
        lake, other = draw_lake(rng), np.array([])
        free = [(r, c) for r, line in enumerate(lake.desc) for c, one in enumerate(line) if one == "F"]
        if cells := [cell for cell in free if cell != lake.elf]:
            row, col = cells[int(rng.integers(len(cells)))]
            other = paint(lake.desc, (row, col))
            picture = lake.picture.copy()
            at = np.s_[row * CELL_PX : (row + 1) * CELL_PX, col * CELL_PX : (col + 1) * CELL_PX]
            picture[at] = other[at]
            return _maybe_scaled(picture, rng)


def _no_goal(rng: Rng) -> np.ndarray:
    desc = [line.replace("G", "F") for line in any_map(int(rng.integers(3, 9)), rng)]
    start = next((row, line.index("S")) for row, line in enumerate(desc) if "S" in line)
    return _maybe_scaled(paint(desc, start), rng)


def _turned(rng: Rng) -> np.ndarray:
    return _maybe_scaled(np.ascontiguousarray(np.rot90(draw_lake(rng).picture, int(rng.integers(1, 4)))), rng)


def _mirrored(rng: Rng) -> np.ndarray:
    picture = draw_lake(rng).picture
    return _maybe_scaled(np.ascontiguousarray(picture[::-1] if rng.random() < 0.5 else picture[:, ::-1]), rng)


NO_LAKES: dict[str, Callable[[Rng], np.ndarray]] = {
    "pixels": _pixels,
    "blobs": lambda rng: _blobs(rng, _size(rng)),
    "chart": _chart,
    "drawing": _drawing,
    "game": _game,
    "everyday": _everyday,
    "cropped": _cropped,
    "row_cut": _row_cut,
    "several": _several,
    "covered": _covered,
    "no_elf": _no_elf,
    "two_elves": _two_elves,
    "no_goal": _no_goal,
    "turned": _turned,
    "mirrored": _mirrored,
}
