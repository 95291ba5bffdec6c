"""Reads the cells of a grid that may be a lake, whatever its scale and shade, and says what keeps it from being one.

A lake must be legal (one start, one goal, one elf) and look, painted anew, like the picture: cell by cell, down to
where the cracks in the ice lie, by which a lake is told from one that a row was cut from.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reverie.worlds.frozenlake.maps import MAX_SIDE
from reverie.worlds.frozenlake.pictures import CRACKS, cell_pictures, crack, tile_of

__all__ = ["LEAST_PX", "Grid", "Look", "all_alike", "goes_on", "grey", "likeness", "look"]

LEAST_PX = 12  # a side of a cell, below which letters cannot be told apart
_PX = 16  # px a side at which cells are compared: those that Gymnasium's drawings are made of
_GREY = 3.0  # levels between channels, on average, below which a picture is grey
_ALIKE = 0.6  # least correlation of every cell with its tile
_FAR = 14.0  # most levels (of 255) between a cell and its tile, on average, once colours are fitted
_CLEAR = 0.75  # most of a cell's distance from its tile by that from the next one that means something else
_GAIN, _OFFSET = 1.35, 45.0  # how far colours may be off
_SHIFTED = 1.02  # distance by that with the cracks elsewhere, from which they lie elsewhere

Box = tuple[float, float, float, float]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Grid:
    """Where a lake may lie: ``rows`` x ``cols`` cells that fill ``box``."""

    box: Box
    rows: int
    cols: int

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell in px."""
        left, top, right, bottom = self.box
        return (right - left) / self.cols, (bottom - top) / self.rows

    @property
    def stretch(self) -> float:
        wide, tall = self.cell
        return max(wide / tall, tall / wide)

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    def holds(self, point: tuple[float, float]) -> bool:
        left, top, right, bottom = self.box
        return left <= point[0] <= right and top <= point[1] <= bottom

    def within(self, size: tuple[int, int]) -> bool:
        """Whether it lies in a picture of that width and height."""
        left, top, right, bottom = self.box
        return left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1] and min(self.cell) >= LEAST_PX / 2

    def grown(self, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> Grid:
        """With so many more cells at each side."""
        wide, tall = self.cell
        x0, y0, x1, y1 = self.box
        box = (x0 - left * wide, y0 - top * tall, x1 + right * wide, y1 + bottom * tall)
        return Grid(box, self.rows + top + bottom, self.cols + left + right)

    def moves(self, step: float) -> Iterator[Grid]:
        """Each edge, and each two opposite ones together, by ``step`` of a cell."""
        wide, tall = self.cell
        for dx0, dy0, dx1, dy1 in _MOVES:
            shift = (dx0 * wide, dy0 * tall, dx1 * wide, dy1 * tall)
            x0, y0, x1, y1 = (edge + step * by for edge, by in zip(self.box, shift, strict=True))
            yield Grid((x0, y0, x1, y1), self.rows, self.cols)


_MOVES = tuple(
    tuple(sign * one for one in edges)
    for edges in ((1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, -1, -1))
    for sign in (1, -1)
)


@dataclass(frozen=True)
class Look:
    """What a grid looks like. ``lake``: the map and the elf's cell, whatever they are worth where there is a
    ``problem``; ``likeness``: the share of cells that are a lake's."""

    lake: tuple[tuple[str, ...], tuple[int, int] | None]
    likeness: float
    problem: str


def grey(picture: np.ndarray) -> np.ndarray:
    """``picture``, uint8 (H, W, 3), as (H, W) where it has no colours."""
    if np.ptp(picture, axis=2).mean() >= _GREY:
        return picture
    return np.asarray(Image.fromarray(picture).convert("L"))


def look(image: Image.Image, grid: Grid) -> Look:
    """What lies in the cells of ``grid``, in "RGB" or "L"."""
    seen, tiles, names = _cells(image, grid), _tiles(image.mode), _names()
    fitted, off = _fitted(seen, tiles[_alike(seen, tiles).argmax(-1)])
    far = np.abs(fitted[:, :, None] - tiles).mean((-2, -1))  # (rows, cols, tiles)
    far[~_possible(grid.rows, grid.cols)] = np.inf
    best = far.argmin(-1)
    alike = np.take_along_axis(_alike(fitted, tiles), best[..., None], -1)[..., 0]
    others = np.where(_meanings()[best][..., None] == _meanings(), np.inf, far).min(-1)
    nearest = far.min(-1)
    ok = (alike >= _ALIKE) & (nearest <= _FAR)
    read = [[names[index] for index in line] for line in best]
    desc = tuple("".join(tile[0] for tile, _ in line) for line in read)
    elves = [(row, col) for row, line in enumerate(read) for col, (_, elf) in enumerate(line) if elf]
    problem = (
        _unlike(ok)
        or off
        or _legal(desc, elves)
        or _unclear(nearest / np.maximum(others, 1e-6))
        or _shifted(fitted, desc, elves)
    )
    return Look((desc, elves[0] if elves else None), float(ok.mean()), problem)


def likeness(image: Image.Image, grid: Grid) -> float:
    """How alike the cells of ``grid`` and tiles are, in [-1, 1] on average."""
    return float(_alike(_cells(image, grid), _tiles(image.mode)).max(-1).mean())


def all_alike(image: Image.Image, grid: Grid, wider: Grid, least: float) -> bool:
    """Whether the cells that ``wider`` has more than ``grid`` all look like a lake's."""
    return wider.within(image.size) and bool((_beside(image, grid, wider) >= least).all())


def goes_on(image: Image.Image, grid: Grid, wider: Grid, least_part: float, least: float) -> bool:
    """Whether most cells of the row or column that ``wider`` has more look like a lake's, as far as the picture shows
    them, if it shows ``least_part`` of them."""
    parts = [
        (edge - limit) / side if place < 2 else (limit - edge) / side
        for place, (edge, limit, side) in enumerate(
            zip(grid.box, (0, 0, *image.size), (*grid.cell, *grid.cell), strict=True)
        )
    ]
    changed = next(place for place in range(4) if grid.box[place] != wider.box[place])
    part = min(parts[changed], 1.0)
    if part < least_part:
        return False
    return float((_beside(image, grid, wider, part) >= least).mean()) >= 0.5


def _beside(image: Image.Image, grid: Grid, wider: Grid, part: float = 1.0) -> np.ndarray:
    """How alike each cell of the row or column that ``wider`` has more is to any tile, by the ``part`` of it that lies
    next to ``grid``."""
    (x0, y0, x1, y1), (wide, tall) = grid.box, grid.cell
    px = max(1, round(part * _PX))
    cut: tuple[slice, ...]
    if wider.cols > grid.cols:
        left = wider.box[0] < x0
        box = (x0 - part * wide, y0, x0, y1) if left else (x1, y0, x1 + part * wide, y1)
        size, cut = (px, grid.rows * _PX), np.s_[:, :, -px:] if left else np.s_[:, :, :px]
    else:
        top = wider.box[1] < y0
        box = (x0, y0 - part * tall, x1, y0) if top else (x0, y1, x1, y1 + part * tall)
        size, cut = (grid.cols * _PX, px), np.s_[:, -px:] if top else np.s_[:, :px]
    strip = _pixels(image, box, size, grid.cell)
    if wider.cols > grid.cols:
        parts = strip.reshape(grid.rows, 1, _PX, px, -1)
    else:
        parts = strip.reshape(px, grid.cols, _PX, -1).swapaxes(0, 1)[:, None]
    channels = parts.shape[-1]
    tiles = _tiles(image.mode).reshape(-1, _PX, _PX, channels)[cut]
    found: np.ndarray = _alike(parts.reshape(-1, 1, tiles.shape[1] * tiles.shape[2], channels),
                               tiles.reshape(len(tiles), -1, channels)).max(-1)  # fmt: skip
    return found


# cells --------------------------------------------------------------------------------------------------------------


def _cells(image: Image.Image, grid: Grid) -> np.ndarray:
    """The pixels of each cell: float32 (rows, cols, 16·16, channels)."""
    pixels = _pixels(image, grid.box, (grid.cols * _PX, grid.rows * _PX), grid.cell)
    channels = pixels.shape[-1]
    cut = pixels.reshape(grid.rows, _PX, grid.cols, _PX, channels).swapaxes(1, 2)
    return cut.reshape(grid.rows, grid.cols, _PX * _PX, channels)


def _pixels(image: Image.Image, box: Box, size: tuple[int, int], cell: tuple[float, float]) -> np.ndarray:
    """A part of the picture at another size: float32 (height, width, channels)."""
    how = Image.Resampling.BOX if min(cell) >= _PX else Image.Resampling.BICUBIC
    left, top, right, bottom = box
    inside = (max(0.0, left), max(0.0, top), min(float(image.width), right), min(float(image.height), bottom))
    pixels = np.asarray(image.resize(size, how, box=inside)).astype(np.float32)
    return pixels.reshape(*pixels.shape[:2], -1)


def _alike(seen: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """The correlation of each cell (…, P, C) with each tile (n, P, C): (…, n) in [-1, 1], whatever the shade."""
    x, y = seen - seen.mean(-2, keepdims=True), tiles - tiles.mean(-2, keepdims=True)
    x, y = x.reshape(*x.shape[:-2], -1), y.reshape(len(y), -1)
    lengths = np.sqrt((x**2).sum(-1) + x.shape[-1])[..., None] * np.sqrt((y**2).sum(-1) + y.shape[-1])
    found: np.ndarray = x @ y.T / lengths  # what is flat within a level is like nothing
    return found


def _fitted(seen: np.ndarray, painted: np.ndarray) -> tuple[np.ndarray, str]:
    """``seen`` in the shade of ``painted``, channel by channel, and why that goes too far, "" where it does not."""
    x, y = seen.reshape(-1, seen.shape[-1]), painted.reshape(-1, seen.shape[-1])
    spread = np.maximum(x.std(0), 1.0)
    gain = np.clip(((x - x.mean(0)) * (y - y.mean(0))).mean(0) / spread**2, 1 / _GAIN, _GAIN)
    offset = y.mean(0) - gain * x.mean(0)
    off = "its colours are too far from a lake's" if np.abs(y.mean(0) - x.mean(0)).max() > _OFFSET else ""
    return seen * gain + offset, off


@functools.cache
def _names() -> tuple[tuple[str, bool], ...]:
    return tuple(cell_pictures())


@functools.cache
def _meanings() -> np.ndarray:
    """A number for each tile, the same for those that mean the same: cracks mean nothing."""
    meant = [(tile[0], elf) for tile, elf in _names()]
    return np.array([meant.index(one) for one in meant])


@functools.cache
def _tiles(mode: str) -> np.ndarray:
    """Every tile at the size of comparison, in "RGB" or "L": float32 (tiles, 16·16, channels)."""
    drawn = [Image.fromarray(tile).convert(mode).resize((_PX, _PX), Image.Resampling.BOX)
             for tile in cell_pictures().values()]  # fmt: skip
    return np.stack([np.asarray(one).astype(np.float32).reshape(_PX * _PX, -1) for one in drawn])


@functools.cache
def _possible(rows: int, cols: int, shift: int = 0) -> np.ndarray:
    """Which tiles may lie where, with the cracks as they are: bool (rows, cols, tiles)."""
    return np.array(
        [
            [[tile[0] != "F" or tile[1:] == crack(row, col, shift) for tile, _ in _names()] for col in range(cols)]
            for row in range(rows)
        ]
    )


# what keeps it from being a lake ------------------------------------------------------------------------------------


def _unlike(ok: np.ndarray) -> str:
    if ok.all():
        return ""
    if ok.mean() < 0.5:
        return "it shows no frozen lake"
    row, col = np.argwhere(~ok)[0].tolist()
    return f"what looks like a lake has something else in row {row + 1}, place {col + 1}"


def _legal(desc: tuple[str, ...], elves: list[tuple[int, int]]) -> str:
    letters = "".join(desc)
    if max(len(desc), len(desc[0])) > MAX_SIDE:
        return f"the lake in it has more than {MAX_SIDE} rows or columns"
    if letters.count("S") != 1 or letters.count("G") != 1:
        return f"what looks like a lake has {letters.count('S')} starts and {letters.count('G')} goals"
    if len(elves) != 1:
        return f"there are {len(elves)} elves on the lake" if elves else "there is no elf on the lake"
    return ""


def _unclear(share: np.ndarray) -> str:
    if share.max() <= _CLEAR:
        return ""
    row, col = np.unravel_index(int(share.argmax()), share.shape)
    return f"it is too small or too blurred to tell what lies in row {row + 1}, place {col + 1} of the lake"


def _shifted(fitted: np.ndarray, desc: tuple[str, ...], elves: list[tuple[int, int]]) -> str:
    """The ice of another part of a lake is cracked elsewhere."""
    far = np.square(fitted[:, :, None] - _tiles("RGB" if fitted.shape[-1] == 3 else "L")).mean((-2, -1))
    cells = [(row, col) for row, line in enumerate(desc) for col, letter in enumerate(line) if letter == "F"]
    sums = []
    for shift in range(CRACKS):
        tiles = [_names().index(tile_of(desc, row, col, (row, col) in elves, shift=shift)) for row, col in cells]
        sums.append(sum(far[row, col, tile] for (row, col), tile in zip(cells, tiles, strict=True)))
    return "the lake in it is a part of a larger one" if sums and sums[0] > _SHIFTED * min(sums) + 1.0 else ""
