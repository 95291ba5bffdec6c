"""State ↔ picture: draws a state on the lattice of cells, and reads it back from the pixels alone.

A state is a JSON-ready dict: ``things`` (name, condition, cell [row, column] of the top-left cell, in raster order;
a support and a puddle are things too), ``surface``, ``surface_column``, ``held``, ``tool`` (name or None).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import floor
from typing import Any

import numpy as np

from reverie.worlds.everyday import sprites
from reverie.worlds.everyday.physics import SUNK_TO, Moment
from reverie.worlds.everyday.sprites import CELL, Sprite
from reverie.worlds.everyday.things import FLOOR_ROW, GRID, LAST_COLUMN, SUPPORTS, SURFACES, THINGS, Scene

IN_WATER = ("whole", "broken", "popped", "toppled", "spilled")  # conditions that a fall can lead to
PUDDLE = "puddle of "
CLEAR_GAIN = 300.0  # mean squared error a cell that a sprite must explain to count as seen
SAME_PATCH = 60.0  # mean squared error between patches that a decoder may take for each other
LARGEST_ERROR = 22.0  # mean absolute error of a picture that still shows its state
Rect = tuple[int, int, int, int]  # top row, left column, rows, columns


def _round(value: float) -> int:
    return floor(value + 0.5 + 1e-6)


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _free(row: int, column: int, tall: int, blocked: list[Rect]) -> list[int]:
    """The cell nearest to (row, column) where a thing two cells wide covers nothing that is there already."""
    for up in range(row + 1):
        for side in sorted(range(LAST_COLUMN + 1), key=lambda at: (abs(at - column), -at)):
            if not any(_overlap((row - up, side, tall, 2), rect) for rect in blocked):
                return [row - up, side]
    return [row, column]


def state_of(scene: Scene, moment: Moment) -> dict[str, Any]:
    """A moment of a scene, snapped to the lattice; no two things share a cell."""
    surface, left = SURFACES[scene.surface], scene.surface_column
    solid: list[Rect] = [(FLOOR_ROW, 0, 1, GRID)]
    if surface.height:
        solid.append((FLOOR_ROW - surface.height, left, surface.height, surface.columns))
    things = []
    if scene.support:
        cell = [FLOOR_ROW - 2 - surface.height, scene.column]
        things.append({"name": scene.support, "condition": "whole", "cell": cell})
        solid.append((cell[0], cell[1], 2, 2))
    if surface.liquid and moment.bottom < surface.height and left < moment.x < left + surface.columns:
        cell = [FLOOR_ROW - 2 - (moment.bottom > SUNK_TO), left + 1]
    elif scene.support and moment.place == scene.support:
        cell = [FLOOR_ROW - 4 - surface.height, scene.column]
    else:
        row = min(max(FLOOR_ROW - 2 - _round(moment.bottom), 0), FLOOR_ROW - 2)
        cell = _free(row, min(max(_round(moment.x - 1), 0), LAST_COLUMN), 2, solid)
    things.append({"name": scene.thing, "condition": moment.condition, "cell": cell})
    if moment.puddle is not None:
        x, bottom = moment.puddle
        row = min(max(FLOOR_ROW - 1 - _round(bottom), 0), FLOOR_ROW - 1)
        spot = _free(row, min(max(_round(x - 1), 0), LAST_COLUMN), 1, [*solid, (cell[0], cell[1], 2, 2)])
        things.append({"name": PUDDLE + THINGS[scene.thing].contents, "condition": "wet", "cell": spot})
    return {
        "thing": scene.thing,
        "things": sorted(things, key=lambda thing: (thing["cell"], thing["name"])),
        "surface": scene.surface,
        "surface_column": left,
        "held": moment.held,
        "tool": moment.tool or None,
        "event": moment.event,
        "place": moment.place,
        "off": moment.off or None,
    }


def main_thing(state: dict[str, Any]) -> dict[str, Any]:
    """The thing that a state is about."""
    named = [thing for thing in state["things"] if thing["name"] == state.get("thing")]
    dry = [thing for thing in state["things"] if not thing["name"].startswith(PUDDLE)]
    first: dict[str, Any] = (named or dry or state["things"])[0]
    return first  # raster order: of two equal things the upper one


def _wet(state: dict[str, Any], cell: list[int]) -> tuple[bool, bool]:
    left = state["surface_column"]
    if not SURFACES[state["surface"]].liquid or cell[1] != left + 1:
        return False, False
    top = FLOOR_ROW - SURFACES[state["surface"]].height
    return cell[0] >= top, cell[0] + 1 >= top


def _tool_cell(cell: list[int]) -> list[int]:
    """Beside the thing, on the right where there is room."""
    return [cell[0], cell[1] + 2 if cell[1] + 2 < GRID else cell[1] - 1]


def _layers(state: dict[str, Any]) -> Iterator[tuple[Sprite, list[int]]]:
    """Sprites from the back to the front, with their top-left cells."""
    surface = SURFACES[state["surface"]]
    if surface.height:
        yield sprites.surface_sprite(surface.name), [FLOOR_ROW - surface.height, state["surface_column"]]
    for thing in state["things"]:
        name, cell = thing["name"], thing["cell"]
        if name.startswith(PUDDLE):
            yield sprites.puddle_sprite(name.removeprefix(PUDDLE)), cell
        else:
            yield sprites.thing_sprite(name, thing["condition"], _wet(state, cell)), cell
    cell = main_thing(state)["cell"]
    if state["held"] and cell[0] > 0:
        yield sprites.hand_sprite(), [cell[0] - 1, cell[1]]
    if state["tool"]:
        yield sprites.tool_sprite(state["tool"]), _tool_cell(cell)


def draw(state: dict[str, Any]) -> np.ndarray:
    """The picture of a state: uint8 (64, 64, 3). Cells replace each other whole; nothing is mixed."""
    picture = sprites.backdrop().copy()
    for sprite, (top, left) in _layers(state):
        for row, column in zip(*np.nonzero(sprite.painted), strict=True):
            y, x = (top + row) * CELL, (left + column) * CELL
            if 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]:
                picture[y : y + CELL, x : x + CELL] = sprite.cells[row, column]
    return picture


@dataclass(frozen=True)
class _Look:
    """One sprite as patch ids, for reading; ``extra`` is what it stands for."""

    kind: str
    name: str
    condition: str
    patches: tuple[tuple[int, int, int], ...]  # (row, column, patch id)
    shape: tuple[int, int]


@dataclass(frozen=True)
class _Looks:
    patches: np.ndarray  # float32 (P, 192)
    looks: tuple[_Look, ...]


_Found = tuple[float, _Look, list[int]]
_Fits = Callable[[_Look, list[int]], bool]


@cache
def _looks() -> _Looks:
    ids: dict[bytes, int] = {}
    patches: list[np.ndarray] = []

    def patch_id(cell: np.ndarray) -> int:
        key = np.ascontiguousarray(cell).tobytes()
        if key not in ids:
            ids[key] = len(patches)
            patches.append(cell.reshape(-1).astype(np.float32))
        return ids[key]

    def look(kind: str, name: str, condition: str, sprite: Sprite) -> _Look:
        at = zip(*np.nonzero(sprite.painted), strict=True)
        cells = tuple((int(row), int(column), patch_id(sprite.cells[row, column])) for row, column in at)
        return _Look(kind, name, condition, cells, sprite.shape)

    room = sprites.backdrop()
    patch_id(room[:CELL, :CELL])
    patch_id(room[-CELL:, :CELL])
    found = [look("surface", name, "", sprites.surface_sprite(name)) for name in SURFACES if name != "floor"]
    found += [look("tool", name, "", sprites.tool_sprite(name)) for name in sprites.tools()]
    found.append(look("hand", "hand", "", sprites.hand_sprite()))
    found += [look("puddle", PUDDLE + name, "wet", sprites.puddle_sprite(name)) for name in sprites.LIQUIDS]
    for thing in THINGS.values():
        for condition in sprites.conditions(thing):
            found.append(look("dry", thing.name, condition, sprites.thing_sprite(thing.name, condition)))
            if condition not in IN_WATER:
                continue
            for wet, kind in (((False, True), "floating"), ((True, True), "sunk")):
                found.append(look(kind, thing.name, condition, sprites.thing_sprite(thing.name, condition, wet)))
    return _Looks(np.stack(patches), tuple(found))


def _score(gain: np.ndarray, look: _Look) -> np.ndarray:
    """How much a look explains at every cell it may start from: float32 (rows, columns)."""
    tall, wide = look.shape
    score = np.zeros((GRID - tall + 1, GRID - wide + 1), np.float32)
    for row, column, patch in look.patches:
        score += gain[row : row + score.shape[0], column : column + score.shape[1], patch]
    return score


def _best(gain: np.ndarray, kinds: tuple[str, ...], fits: _Fits | None = None) -> _Found | None:
    """The look that explains most of what ``gain`` (rows, columns, P) still leaves, and its cell."""
    best: _Found | None = None
    for look in _looks().looks:
        if look.kind not in kinds:
            continue
        score = _score(gain, look)
        while True:
            flat = int(score.argmax())
            value = float(score.flat[flat])
            if value < CLEAR_GAIN or (best is not None and value <= best[0]):
                break
            cell = [flat // score.shape[1], flat % score.shape[1]]
            if fits is None or fits(look, cell):
                best = value, look, cell
                break
            score.flat[flat] = -1e9
    return best


def read(picture: np.ndarray) -> dict[str, Any] | None:
    """The state that a picture shows (see the module), or None where it shows none."""
    picture = np.asarray(picture)
    if picture.shape != sprites.backdrop().shape:
        return None
    table = _looks().patches
    cells = picture.reshape(GRID, CELL, GRID, CELL, 3).swapaxes(1, 2).reshape(GRID * GRID, -1).astype(np.float32)
    errors = ((cells**2).sum(1)[:, None] - 2 * cells @ table.T + (table**2).sum(1)[None]) / table.shape[1]
    errors = errors.reshape(GRID, GRID, -1)
    empty = np.concatenate([errors[:FLOOR_ROW, :, :1], errors[FLOOR_ROW:, :, 1:2]])
    gain = empty - errors

    def take(found: _Found) -> None:
        for row, column, _ in found[1].patches:
            gain[found[2][0] + row, found[2][1] + column] = -1e6

    state: dict[str, Any] = {"things": [], "surface": "floor", "surface_column": 0, "held": False, "tool": None}
    surface = _best_surface(errors, empty[..., 0])
    if surface is not None:
        look, cell = surface
        state["surface"], state["surface_column"] = look.name, cell[1]
        for row, column, patch in look.patches:  # from here on the surface is what is behind
            at = cell[0] + row, cell[1] + column
            gain[at] = errors[at][patch] - errors[at]
    without_tool = gain.copy()  # a tool may explain more than a small thing does
    tool = _best(gain, ("tool",))
    if tool is not None:
        _take(without_tool, tool)
    found = _guess_things(state, gain) + (_guess_things(state, without_tool) if tool is not None else [])
    guesses = [_complete(state, gain.copy(), things) for things in found]
    if not guesses:
        return None
    misses = [np.abs(draw(guess).astype(np.int16) - picture).mean() for guess in guesses]
    best = int(np.argmin(misses))
    return guesses[best] if misses[best] <= LARGEST_ERROR else None


def _take(gain: np.ndarray, found: _Found) -> None:
    """Nothing else can explain the cells of ``found``."""
    for row, column, _ in found[1].patches:
        gain[found[2][0] + row, found[2][1] + column] = -1e6


def _guess_things(state: dict[str, Any], gain: np.ndarray) -> list[list[_Found]]:
    """One thing, or one thing and a support: which of both, the redrawn picture tells."""

    def fits(look: _Look, cell: list[int]) -> bool:
        wet = _wet(state, cell)
        return {"dry": (False, False), "floating": (False, True), "sunk": (True, True)}[look.kind] == wet

    def support(look: _Look, cell: list[int]) -> bool:
        return _is_support(look) and fits(look, cell)

    kinds = ("dry", "floating", "sunk")
    first = _best(gain, kinds, fits)
    if first is None:
        return []
    left = gain.copy()
    _take(left, first)
    second = _best(left, kinds, fits if _is_support(first[1]) else support)
    return [[first]] + ([[first, second]] if second is not None else [])


def _complete(state: dict[str, Any], gain: np.ndarray, things: list[_Found]) -> dict[str, Any]:
    """The state with ``things``, and the hand, tool and puddle that the rest of the picture shows."""
    for thing in things:
        _take(gain, thing)
    hand = _best(gain, ("hand",), lambda look, cell: any(at[2] == [cell[0] + 1, cell[1]] for at in things))
    tool = _best(gain, ("tool",), lambda look, cell: any(_tool_cell(at[2]) == cell for at in things))
    for seen_too in (hand, tool):
        if seen_too is not None:
            _take(gain, seen_too)
    puddle = _best(gain, ("puddle",))
    seen = [*things, puddle] if puddle is not None else things
    named = sorted(
        ({"name": look.name, "condition": look.condition, "cell": cell} for _, look, cell in seen),
        key=lambda each: (each["cell"], each["name"]),
    )
    full = state | {"things": named, "held": hand is not None, "tool": tool[1].name if tool else None}
    return full | {"thing": _main_name(full, hand)}


def _is_support(look: _Look) -> bool:
    return look.name in SUPPORTS and look.condition == "whole"


def _best_surface(errors: np.ndarray, empty: np.ndarray) -> tuple[_Look, list[int]] | None:
    """The surface whose cells are most often the best match of all patches; things may hide half of it."""
    nearest = errors.min(axis=2)
    best, most = None, 0.5
    for look in _looks().looks:
        if look.kind != "surface":
            continue
        top = FLOOR_ROW - look.shape[0]
        for left in range(GRID - look.shape[1] + 1):
            seen = [
                errors[top + row, left + column, patch] <= nearest[top + row, left + column] + SAME_PATCH
                and errors[top + row, left + column, patch] < empty[top + row, left + column]
                for row, column, patch in look.patches
            ]
            share = sum(seen) / len(seen)
            if share >= most and (share > most or best is None):
                best, most = (look, [top, left]), share
    return best


def _main_name(state: dict[str, Any], hand: _Found | None) -> str | None:
    """Which thing the scene is about: the one in the hand, the changed one, else the upper one."""
    dry = [thing for thing in state["things"] if not thing["name"].startswith(PUDDLE)]
    if hand is not None:
        for thing in dry:
            if thing["cell"] == [hand[2][0] + 1, hand[2][1]]:
                return str(thing["name"])
    for thing in dry:
        if thing["name"] not in SUPPORTS or thing["condition"] != "whole":
            return str(thing["name"])
    return str(dry[0]["name"]) if dry else None
