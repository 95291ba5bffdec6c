"""Finds the lake in a picture that somebody brought: at another scale, in a window, in grey; or says why there is none.

Where the whole picture is no lake, the goal's cell is searched for at every scale by normalized cross-correlation
(Lewis, "Fast Normalized Cross-Correlation", 1995), and the lake is grown from there cell by cell. How the cells of a
grid are read is in ``cells.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from PIL import Image

from reverie.worlds.contract import Sighting
from reverie.worlds.frozenlake import cells
from reverie.worlds.frozenlake.cells import Grid
from reverie.worlds.frozenlake.maps import MAX_SIDE, MIN_SIDE
from reverie.worlds.frozenlake.pictures import cell_pictures, paint

__all__ = ["find_lake"]

_SEARCHED = 1000  # px of the longer side of a picture while the goal is searched for
_SEARCHED_PX = 8  # px a cell then
_SCALES = 1.07  # between the scales that are searched
_PEAK = 0.6  # least correlation of what may be the goal
_PEAKS = 12  # of those, looked at
_GROWS = 0.5  # least correlation of a cell with a tile, for the lake to grow there
_FITS = 0.98  # likeness at which a grid lies well enough
_STRETCH = 1.15  # width of a cell by its height, at most, and the other way round
_STRIP = 0.2  # of a cell: as much as must lie beside a lake to say whether it goes on
_NONE = "it shows no frozen lake"


def find_lake(picture: np.ndarray) -> Sighting:
    """The lake in ``picture``, uint8 (H, W, 3), as the world itself paints it."""
    image = Image.fromarray(cells.grey(picture))
    best = Sighting(None, 0.0, _NONE)
    for grid in _whole(image):
        sighting = _judged(image, grid)
        if sighting.picture is not None:
            return sighting
        best = max(best, sighting, key=lambda one: one.likeness)
    return _searched(image, best)


def _whole(image: Image.Image) -> list[Grid]:
    """Lakes that fill the picture, those of the squarest cells first."""
    box = (0.0, 0.0, float(image.width), float(image.height))
    sides = range(MIN_SIDE, MAX_SIDE + 1)
    grids = [Grid(box, rows, cols) for rows in sides for cols in sides]
    fitting = [one for one in grids if min(one.cell) >= cells.LEAST_PX and one.stretch <= _STRETCH]
    return sorted(fitting, key=lambda one: round(one.stretch, 2))


def _judged(image: Image.Image, grid: Grid) -> Sighting:
    """What lies in ``grid``, if it is a lake."""
    look = cells.look(image, grid)
    problem = look.problem or _cut(image, grid)
    if problem:
        return Sighting(None, look.likeness, problem)
    desc, elf = look.lake
    what = f"it shows a lake of {grid.rows}x{grid.cols} cells" + (", in grey" if image.mode == "L" else "")
    return Sighting(paint(desc, elf), look.likeness, what)


def _cut(image: Image.Image, grid: Grid) -> str:
    """Why it is only a part of a lake, "" where it is whole: beside it lies more of the same."""
    for side, beside in (("left", grid.grown(left=1)), ("top", grid.grown(top=1)),
                         ("right", grid.grown(right=1)), ("bottom", grid.grown(bottom=1))):  # fmt: skip
        if cells.goes_on(image, grid, beside, _STRIP, _GROWS):
            return f"the lake in it is cut off or covered at the {side}"
    return ""


# anywhere -----------------------------------------------------------------------------------------------------------


def _searched(image: Image.Image, best: Sighting) -> Sighting:
    """The lake that grows from a goal, where there is one and no other."""
    found: list[tuple[Grid, Sighting]] = []
    for place, start in enumerate(_goals(image)):
        if place >= _PEAKS:
            break
        if any(grid.holds(start.centre) for grid, _ in found):
            continue
        grid = _grown(image, _refined(image, start))
        if min(grid.rows, grid.cols) >= MIN_SIDE:
            found.append((grid, _judged(image, grid)))
    if len(found) > 1:
        return Sighting(None, 0.5, "it shows more than one lake")
    return max([best, *(sighting for _, sighting in found)], key=lambda one: (one.picture is not None, one.likeness))


def _goals(image: Image.Image) -> list[Grid]:
    """Where the goal's cell may lie, as grids of one cell, the likeliest first."""
    small = image.convert("L")
    small.thumbnail((_SEARCHED, _SEARCHED), Image.Resampling.BOX)
    shrunk = image.width / small.width
    peaks: list[tuple[float, Grid]] = []
    side = float(cells.LEAST_PX)
    while side * MIN_SIDE <= min(small.size):
        scale = _SEARCHED_PX / side
        size = round(small.width * scale), round(small.height * scale)
        resized = np.asarray(small.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
        across, down = image.width / size[0], image.height / size[1]
        for score, row, col in _peaks(_correlation(resized.astype(np.float32), _goal())):
            box = (col * across, row * down, (col + _SEARCHED_PX) * across, (row + _SEARCHED_PX) * down)
            peaks.append((score, Grid(box, 1, 1)))
        side *= _SCALES
    peaks.sort(key=lambda one: -one[0])
    kept: list[Grid] = []
    for _, grid in peaks:
        if min(grid.cell) * shrunk >= cells.LEAST_PX and not any(one.holds(grid.centre) for one in kept):
            kept.append(grid)
    return kept


@functools.cache
def _goal() -> np.ndarray:
    """The goal's cell in grey, float32 (8, 8)."""
    tile = Image.fromarray(cell_pictures()["G", False]).convert("L")
    return np.asarray(tile.resize((_SEARCHED_PX, _SEARCHED_PX), Image.Resampling.BOX)).astype(np.float32)


def _correlation(picture: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """How alike ``tile`` (n, n) and every window of ``picture`` (H, W) are: (H - n + 1, W - n + 1) in [-1, 1]."""
    n, shape = tile.shape[0], picture.shape
    flat = tile - tile.mean()
    spectrum = np.fft.rfft2(picture - picture.mean())
    product = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(flat, shape)), shape)
    mean, square = _windows(picture, n), _windows(picture**2, n)
    spread = np.sqrt(np.maximum(square - mean**2, 1.0)) * n  # what is flat is like nothing
    found: np.ndarray = product[: shape[0] - n + 1, : shape[1] - n + 1] / (spread * np.sqrt((flat**2).sum()))
    return found


def _windows(picture: np.ndarray, n: int) -> np.ndarray:
    """The mean of every n x n window."""
    total = np.pad(picture.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    means: np.ndarray = (total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]) / n**2
    return means


def _peaks(likeness: np.ndarray) -> Iterator[tuple[float, int, int]]:
    """(likeness, row, column) of the places above ``_PEAK``, the highest first, no two within half a cell."""
    left = likeness.copy()
    for _ in range(_PEAKS):
        row, col = divmod(int(left.argmax()), left.shape[1])
        if left[row, col] < _PEAK:
            return
        yield float(left[row, col]), row, col
        near = _SEARCHED_PX // 2
        left[max(0, row - near) : row + near + 1, max(0, col - near) : col + near + 1] = -1.0


def _grown(image: Image.Image, grid: Grid) -> Grid:
    """``grid`` with the cells around it that look like a lake's, as far as a lake can go and one cell more."""
    while True:
        for wider in (grid.grown(left=1), grid.grown(right=1), grid.grown(top=1), grid.grown(bottom=1)):
            if max(wider.rows, wider.cols) <= MAX_SIDE + 1 and cells.all_alike(image, grid, wider, _GROWS):
                grid = _refined(image, wider)
                break
        else:
            return grid


def _refined(image: Image.Image, grid: Grid) -> Grid:
    """``grid`` moved and stretched a little, until its cells look most like tiles."""
    best = cells.likeness(image, grid)
    step = 0.08
    while step > 0.004 and best < _FITS:
        moved = [one for one in grid.moves(step) if one.within(image.size)]
        scores = [cells.likeness(image, one) for one in moved]
        if scores and max(scores) > best + 1e-4:
            best = max(scores)
            grid = moved[scores.index(best)]
        else:
            step /= 2
    return grid
