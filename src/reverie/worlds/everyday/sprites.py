"""Pixel art, painted by code: every thing in each of its conditions, surfaces, tools, the hand.

A sprite is 16×16 px where it shows a thing; ``None`` cells of it let the scene behind show through. Colours have no
alpha: every cell of a scene is one of a few hundred fixed 8×8 patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from reverie.worlds.everyday import matter
from reverie.worlds.everyday.things import GRID, THINGS, Thing

CELL = 8  # px
Colour = tuple[int, int, int]
WALL: Colour = (246, 236, 214)
FLOOR: Colour = (168, 116, 72)
WATER: Colour = (84, 164, 224)
INK: Colour = (58, 44, 50)
FIRE: tuple[Colour, ...] = ((226, 62, 34), (250, 142, 40), (255, 222, 90))
ASH: Colour = (92, 88, 90)
WHITE: Colour = (255, 255, 255)


def shade(colour: Colour, share: float) -> Colour:
    """Darker below 1, lighter above."""
    if share <= 1:
        return tuple(int(part * share) for part in colour)  # type: ignore[return-value]
    return tuple(int(part + (255 - part) * (share - 1)) for part in colour)  # type: ignore[return-value]


class Canvas:
    """A picture with a mask of what is painted; coordinates are (x, y) px from the top left."""

    def __init__(self, wide: int = 16, tall: int = 16) -> None:
        self.rgb = np.zeros((tall, wide, 3), np.uint8)
        self.mask = np.zeros((tall, wide), bool)
        self.y, self.x = np.mgrid[:tall, :wide] + 0.5

    def paint(self, where: np.ndarray, colour: Colour) -> Canvas:
        self.rgb[where] = colour
        self.mask |= where
        return self

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> Canvas:
        return self.paint(((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2 <= 1.0, colour)

    def box(self, x: float, y: float, wide: float, tall: float, colour: Colour) -> Canvas:
        inside = (self.x >= x) & (self.x < x + wide) & (self.y >= y) & (self.y < y + tall)
        return self.paint(inside, colour)

    def shape(self, corners: Sequence[tuple[float, float]], colour: Colour) -> Canvas:
        """A polygon, by the even-odd rule."""
        inside = np.zeros(self.mask.shape, bool)
        for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if y1 == y2:
                continue
            crosses = (self.y >= min(y1, y2)) & (self.y < max(y1, y2))
            inside ^= crosses & (self.x < x1 + (self.y - y1) * (x2 - x1) / (y2 - y1))
        return self.paint(inside, colour)

    def dots(self, colour: Colour, *points: tuple[int, int]) -> Canvas:
        for x, y in points:
            self.rgb[y, x] = colour
            self.mask[y, x] = True
        return self

    def clear(self, where: np.ndarray) -> Canvas:
        self.mask &= ~where
        return self

    def outline(self, share: float = 0.45) -> Canvas:
        """Darken the rim of what is painted so far."""
        around = np.pad(self.mask, 1)
        inner = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
        rim = self.mask & ~inner
        self.rgb[rim] = (self.rgb[rim] * share).astype(np.uint8)
        return self

    def fallen(self, mirrored: bool = False) -> Canvas:
        """Lying on its right side, as painted or seen from behind."""
        if mirrored:
            self.rgb, self.mask = self.rgb[:, ::-1], self.mask[:, ::-1]
        self.rgb, self.mask = np.rot90(self.rgb, -1).copy(), np.rot90(self.mask, -1).copy()
        drop = self.mask.shape[0] - 1 - int(np.nonzero(self.mask.any(axis=1))[0].max())
        self.rgb, self.mask = np.roll(self.rgb, drop, axis=0), np.roll(self.mask, drop, axis=0)
        return self


def _ball() -> Canvas:
    c = Canvas().disc(8, 8, 8, 8, (226, 52, 58))
    c.paint(c.mask & (abs(c.y - 8.5) < 2), WHITE).outline()
    return c.disc(5, 4.5, 1.6, 1.2, (255, 190, 190))


def _egg() -> Canvas:
    c = Canvas().disc(8, 9.5, 6.6, 6.5, (232, 184, 132)).disc(8, 7, 5.4, 7, (232, 184, 132)).outline(0.5)
    return c.disc(6, 5.5, 1.6, 2.2, (255, 232, 204)).dots((186, 130, 84), (10, 6), (11, 10), (8, 12), (5, 11), (9, 9))


def _glass() -> Canvas:
    c = Canvas().shape([(2, 0), (14, 0), (12.5, 16), (3.5, 16)], (196, 232, 240)).outline(0.55)
    c.box(4, 1, 8, 1, (232, 250, 252)).box(4.5, 13, 7, 2, (150, 204, 218))
    return c.box(5, 3, 1, 9, WHITE).box(10, 4, 1, 6, (168, 216, 228))


def _balloon() -> Canvas:
    c = Canvas().disc(8, 6.5, 6.6, 6.6, (196, 62, 180)).shape([(6, 12), (10, 12), (8, 10)], (196, 62, 180)).outline(0.6)
    return c.disc(5.5, 4, 1.5, 2, (248, 190, 240)).dots(INK, (8, 13), (7, 14), (8, 15))


def _ice() -> Canvas:
    c = Canvas().box(1, 1, 14, 15, (158, 216, 250)).outline(0.55)
    c.box(3, 3, 6, 2, WHITE).box(3, 5, 2, 5, WHITE)
    return c.dots((96, 168, 226), (12, 12), (11, 13), (12, 13), (10, 7), (11, 8), (9, 6))


def _candle() -> Canvas:
    c = (
        Canvas()
        .box(5, 4, 6, 12, (250, 248, 240))
        .outline(0.7)
        .box(6, 8, 4, 2, (222, 60, 90))
        .box(6, 12, 4, 2, (222, 60, 90))
    )
    return c.box(7.5, 1, 1, 3, INK).dots((190, 186, 176), (9, 5), (9, 6))


def _feather() -> Canvas:
    c = Canvas().shape([(1, 13), (3, 7), (9, 1), (15, 0), (14, 6), (9, 12), (3, 15)], (110, 196, 178)).outline(0.55)
    for at in range(3, 14):
        c.dots((236, 252, 248), (at, 16 - at))
    return c.dots(INK, (1, 15), (2, 14)).dots((64, 140, 124), (6, 7), (8, 5), (10, 8), (12, 5), (7, 12))


def _book() -> Canvas:
    c = Canvas().box(1, 1, 14, 15, (44, 86, 176)).outline(0.5).box(12, 2, 2, 13, (240, 234, 214))
    return c.box(3, 3, 7, 3, (246, 206, 84)).box(2, 2, 1, 13, (28, 58, 128)).box(4, 9, 5, 1, (246, 206, 84))


def _dominoes() -> Canvas:
    c = Canvas()
    for at in range(4):
        c.box(4 * at, 1, 3, 15, (40, 40, 52)).box(4 * at + 1, 4, 1, 1, WHITE).box(4 * at + 1, 8, 1, 1, (255, 214, 80))
        c.box(4 * at + 1, 12, 1, 1, WHITE)
    return c


def _cup() -> Canvas:
    c = (
        Canvas()
        .shape([(1, 3), (12, 3), (11, 16), (2, 16)], (236, 122, 60))
        .box(12, 6, 3, 6, (236, 122, 60))
        .outline(0.5)
    )
    c.clear((c.x > 11.7) & (c.x < 13.2) & (c.y > 7.5) & (c.y < 10.5))
    return c.box(2, 3, 9, 2, WATER).box(3, 3, 3, 1, (190, 226, 250)).box(4, 7, 1, 6, (255, 190, 150))


def _plate() -> Canvas:
    c = Canvas().disc(8, 8, 8, 8, (238, 240, 250)).outline(0.62)
    ring = (np.hypot(c.x - 8, c.y - 8) < 6.2) & (np.hypot(c.x - 8, c.y - 8) > 5)
    return c.paint(ring, (70, 110, 200)).disc(8, 8, 2.6, 2.6, (214, 220, 238)).box(4, 4, 2, 1, WHITE)


def _apple() -> Canvas:
    c = Canvas().disc(5.5, 9.5, 5.2, 6.4, (124, 190, 50)).disc(10.5, 9.5, 5.2, 6.4, (124, 190, 50)).outline(0.5)
    return (
        c.box(7.5, 0, 1, 5, (92, 58, 34))
        .shape([(9, 2), (14, 0), (12, 4)], (40, 128, 58))
        .disc(4.5, 7, 1.3, 1.8, (214, 244, 150))
    )


def _stone() -> Canvas:
    c = Canvas().shape([(0, 16), (0, 9), (4, 3), (10, 1), (15, 6), (16, 16)], (132, 132, 138)).outline(0.5)
    c.shape([(4, 5), (9, 3), (11, 6), (5, 8)], (174, 174, 180))
    return c.dots((92, 92, 100), (3, 11), (7, 12), (8, 11), (12, 9), (13, 12), (10, 14))


def _paper() -> Canvas:
    c = Canvas().shape([(2, 0), (10, 0), (14, 4), (14, 16), (2, 16)], (253, 253, 255)).outline(0.62)
    c.shape([(9, 1), (13, 5), (9, 5)], (196, 202, 216))
    for row, wide in ((4, 4), (7, 8), (9, 7), (11, 8), (13, 5)):
        c.box(4, row, wide, 1, (124, 140, 176))
    return c


def _butter() -> Canvas:
    c = (
        Canvas()
        .box(0, 5, 16, 11, (250, 216, 84))
        .shape([(2, 2), (16, 2), (16, 5), (0, 5)], (255, 238, 150))
        .outline(0.6)
    )
    return c.box(1, 13, 14, 2, (226, 184, 58)).box(2, 7, 5, 1, (255, 246, 190))


def _chocolate() -> Canvas:
    c = Canvas().box(1, 1, 14, 15, (112, 64, 38)).outline(0.5)
    for x in (3, 9):
        for y in (3, 7, 11):
            c.box(x, y, 4, 3, (142, 88, 54)).box(x, y, 4, 1, (178, 122, 82))
    return c


def _teddy() -> Canvas:
    fur: Colour = (176, 120, 66)
    c = (
        Canvas()
        .disc(4, 2.5, 2.5, 2.5, fur)
        .disc(12, 2.5, 2.5, 2.5, fur)
        .disc(8, 5, 5, 4.6, fur)
        .disc(8, 12, 5, 4.5, fur)
    )
    c.disc(2.5, 11, 2.4, 2, fur).disc(13.5, 11, 2.4, 2, fur).disc(4.5, 14.8, 2.8, 2, fur).disc(
        11.5, 14.8, 2.8, 2, fur
    ).outline(0.55)
    c.disc(8, 6.5, 2.1, 1.6, (230, 190, 140)).disc(8, 12, 2.6, 2.6, (230, 190, 140))
    return c.dots(INK, (5, 4), (10, 4), (7, 6), (8, 6))


def _bubble() -> Canvas:
    c = Canvas().disc(8, 8, 7.6, 7.6, (214, 240, 250))
    ring = np.hypot(c.x - 8, c.y - 8) > 6.3
    c.paint(c.mask & ring & (c.x + c.y < 16), (150, 190, 250)).paint(c.mask & ring & (c.x + c.y >= 16), (238, 160, 230))
    return c.disc(5.5, 5, 1.8, 1.3, WHITE).dots((170, 236, 190), (11, 11), (10, 12), (12, 10))


def _bread() -> Canvas:
    c = (
        Canvas()
        .disc(4.5, 4.5, 4.5, 4, (244, 214, 160))
        .disc(11.5, 4.5, 4.5, 4, (244, 214, 160))
        .box(1, 4, 14, 12, (244, 214, 160))
    )
    c.outline(0.6).dots((214, 172, 112), (4, 6), (9, 5), (6, 10), (11, 9), (8, 13), (4, 12))
    return c


def _block() -> Canvas:
    c = Canvas().box(0, 0, 16, 16, (206, 148, 84)).outline(0.55)
    for y in (4, 8, 12):
        c.box(2, y, 12, 1, (170, 112, 58))
    return c.box(1, 1, 14, 1, (236, 186, 124)).box(9, 5, 3, 3, (150, 94, 46)).box(10, 6, 1, 1, (206, 148, 84))


def _spoon() -> Canvas:
    steel: Colour = (184, 194, 208)
    c = Canvas().disc(4, 11.5, 4, 4.5, steel).shape([(5, 8), (14, 0), (16, 2), (8, 11)], steel).outline(0.5)
    return c.disc(3.5, 11, 1.6, 2.2, (228, 236, 246)).dots(WHITE, (12, 3), (10, 5), (13, 2))


def _duck() -> Canvas:
    yellow: Colour = (255, 212, 40)
    c = (
        Canvas()
        .disc(7, 12, 7, 4.4, yellow)
        .disc(9.5, 5, 4.4, 5, yellow)
        .shape([(0, 6), (4, 10), (0, 13)], yellow)
        .outline(0.62)
    )
    c.box(13, 5, 3, 2, (240, 110, 30)).dots(INK, (11, 3), (11, 4))
    return c.disc(6, 12, 3, 1.8, (232, 172, 20))


def _bottle() -> Canvas:
    c = (
        Canvas()
        .shape([(5, 0), (11, 0), (11, 5), (13, 8), (13, 16), (3, 16), (3, 8), (5, 5)], (248, 250, 255))
        .outline(0.58)
    )
    return c.box(5, 0, 6, 2, (52, 140, 220)).box(4, 9, 8, 4, (52, 140, 220)).box(6, 10, 4, 2, WHITE)


_WHOLE: dict[str, tuple[Callable[[], Canvas], Colour]] = {
    "ball": (_ball, (226, 52, 58)),
    "egg": (_egg, (232, 184, 132)),
    "glass": (_glass, (176, 222, 234)),
    "balloon": (_balloon, (196, 62, 180)),
    "ice cube": (_ice, (158, 216, 250)),
    "candle": (_candle, (244, 240, 228)),
    "feather": (_feather, (110, 196, 178)),
    "book": (_book, (44, 86, 176)),
    "domino row": (_dominoes, (40, 40, 52)),
    "cup of water": (_cup, (236, 122, 60)),
    "plate": (_plate, (238, 240, 250)),
    "apple": (_apple, (124, 190, 50)),
    "stone": (_stone, (132, 132, 138)),
    "paper": (_paper, (253, 253, 255)),
    "butter": (_butter, (250, 216, 84)),
    "chocolate": (_chocolate, (112, 64, 38)),
    "teddy bear": (_teddy, (176, 120, 66)),
    "soap bubble": (_bubble, (190, 210, 250)),
    "bread": (_bread, (244, 214, 160)),
    "wooden block": (_block, (244, 196, 120)),
    "metal spoon": (_spoon, (184, 194, 208)),
    "rubber duck": (_duck, (255, 212, 40)),
    "bottle of milk": (_bottle, (248, 250, 255)),
}
LIQUIDS: dict[str, Colour] = {"water": WATER, "milk": (250, 252, 255)}


def _broken(thing: Thing, colour: Colour) -> Canvas:
    """Shards in the colour of the thing, in a puddle of what it held."""
    c = Canvas()
    if thing.contents:
        c.disc(8, 15, 8, 3, LIQUIDS[thing.contents])
    elif thing.cooks_at < matter.SKIN_BURSTS_AT:  # an egg runs out
        c.disc(8, 14.5, 7.5, 2.6, (255, 250, 228))
    if thing.melts_at < np.inf:  # ice breaks into chunks, china and glass into splinters
        c.box(0, 11, 5, 5, colour).box(6, 9, 5, 4, colour).box(6, 13, 4, 3, colour).box(11, 11, 5, 5, colour).outline(
            0.6
        )
        return c.dots(WHITE, (1, 12), (2, 12), (7, 10), (8, 10), (12, 12), (13, 12))
    for corners in ([(0, 16), (2, 9), (6, 16)], [(5, 13), (8, 7), (10, 12)], [(10, 16), (14, 10), (16, 16)]):
        c.shape(corners, colour)
    c.outline(0.5)
    if thing.cooks_at < matter.SKIN_BURSTS_AT:
        c.disc(8, 13.5, 2.6, 2.1, (250, 176, 30)).dots((255, 224, 130), (7, 12))
    return c.dots(shade(colour, 1.5), (2, 13), (8, 10), (13, 13))


def _popped(thing: Thing, colour: Colour) -> Canvas:
    c = Canvas()
    if thing.density > 0.001:  # a film of soap leaves drops
        c.disc(2.5, 13.5, 2.5, 2.5, colour).disc(8, 14.5, 2.5, 1.6, colour).disc(13.5, 13.5, 2.5, 2.5, colour).outline(
            0.7
        )
        return c.dots(WHITE, (2, 12), (13, 12), (7, 14))
    c.shape([(1, 16), (3, 11), (6, 14), (8, 10), (10, 14), (14, 11), (15, 16)], colour).outline(0.55)
    return c.dots(INK, (7, 15), (8, 14), (9, 15))


def _melted(thing: Thing, colour: Colour) -> Canvas:
    c = Canvas().disc(8, 14.2, 8, 2.8, colour).disc(8, 13, 5, 2.4, colour).outline(0.6)
    c.box(4, 12, 4, 1, shade(colour, 1.6)).clear(c.y > 16)
    return c.dots(INK, (9, 10), (9, 11), (10, 9)) if thing.wick else c


def _burnt(colour: Colour) -> Canvas:
    c = Canvas().shape([(0, 16), (4, 12), (7, 10), (10, 12), (16, 16)], ASH).outline(0.55)
    c.dots((140, 136, 138), (5, 13), (9, 12), (11, 14), (3, 15), (8, 14))
    return c.box(5, 13, 3, 2, colour).box(10, 13, 2, 2, colour).dots((240, 120, 40), (9, 14), (4, 14))


def _burning(c: Canvas) -> Canvas:
    flames = [(0, 12), (1, 5), (3, 8), (5, 1), (8, 6), (11, 0), (12, 7), (15, 4), (16, 12), (11, 9), (8, 12), (4, 9)]
    c.shape(flames, FIRE[0])
    c.shape([(2, 10), (5, 4), (8, 9), (11, 3), (14, 10), (11, 8), (8, 11), (5, 8)], FIRE[1])
    return c.dots(FIRE[2], (5, 6), (5, 7), (11, 6), (11, 5), (8, 9), (13, 8))


def _halved(c: Canvas, flesh: Colour) -> Canvas:
    """Two halves with a gap; the cut faces show what is inside. A slim thing is cut across."""
    across = c.mask.any(axis=0).sum() <= 8
    way = (c.y - 9) + (c.x - 8) * 0.3 if across else c.x - 8
    c.paint(c.mask & (abs(way) < 4), flesh).paint(c.mask & (abs(way) < 2), shade(flesh, 0.6)).clear(abs(way) < 1)
    if across:
        c.rgb[:9], c.mask[:9] = np.roll(c.rgb[:9], 2, axis=1), np.roll(c.mask[:9], 2, axis=1)
    return c


def _hot(c: Canvas) -> Canvas:
    top = c.mask & (c.y < 8)
    c.rgb[top] = (c.rgb[top] * 0.55 + np.array((236, 50, 20)) * 0.45).astype(np.uint8)
    return c.dots(FIRE[0], (1, 1), (2, 2), (1, 3), (14, 1), (13, 2), (14, 3))


def _chilled(c: Canvas, share: float) -> Canvas:
    top = c.mask & ((c.y < 8) | (share > 0.5))
    c.rgb[top] = (c.rgb[top] * (1 - share) + np.array((206, 236, 255)) * share).astype(np.uint8)
    return c.dots((70, 150, 230), (1, 1), (3, 1), (2, 2), (1, 3), (3, 3), (14, 2), (13, 1), (15, 1))


def _cooked(thing: Thing, c: Canvas) -> Canvas:
    if thing.fragile:  # out of its shell, on its white
        c = Canvas().disc(8, 13.2, 8, 2.8, (255, 252, 240)).disc(8, 12, 5, 2, (255, 252, 240)).outline(0.65)
        return c.disc(8, 12.2, 3, 2.2, (252, 180, 30)).dots((255, 230, 140), (7, 11))
    c.rgb[c.mask] = (c.rgb[c.mask] * np.array((0.8, 0.5, 0.34))).astype(np.uint8)
    return c.dots((80, 44, 20), (4, 8), (9, 7), (6, 11), (11, 10), (8, 13))


def _lit(c: Canvas) -> Canvas:
    return c.disc(8, 2.2, 2.3, 2.6, FIRE[1]).disc(8, 2.8, 1.2, 1.6, FIRE[2]).dots(FIRE[0], (8, 0))


def _toppled(thing: Thing, c: Canvas) -> Canvas:
    if thing.pieces == 1:
        return c.fallen()
    c = Canvas()
    for at in range(4):
        x = 3.0 * at
        c.shape([(x, 16), (x + 2.4, 16), (x + 7, 9.5), (x + 4.6, 8.5)], (40, 40, 52))
        c.shape([(x, 16), (x + 0.9, 16), (x + 5.4, 8.6), (x + 4.6, 8.5)], (150, 150, 168))
    return c


def _emptied(thing: Thing, c: Canvas) -> Canvas:
    liquid = LIQUIDS[thing.contents]
    if liquid == WATER:
        return c.box(2, 3, 9, 2, (92, 48, 30))
    inside = c.mask & (c.rgb == np.array((248, 250, 255))).all(axis=2)
    return c.paint(inside, (190, 212, 222)).box(5, 3, 1, 3, WHITE)


_FLESH: dict[str, Colour] = {"apple": (252, 248, 208), "bread": (255, 238, 200), "teddy bear": (255, 255, 255)}


def paint_thing(name: str, condition: str) -> Canvas:
    """The thing in a condition."""
    thing, (whole, colour) = THINGS[name], _WHOLE[name]
    c = whole()
    painters: dict[str, Callable[[], Canvas]] = {
        "whole": lambda: c,
        "broken": lambda: _broken(thing, colour),
        "popped": lambda: _popped(thing, colour),
        "melted": lambda: _melted(thing, colour),
        "burning": lambda: _burning(c),
        "burnt": lambda: _burnt(colour),
        "cut": lambda: _halved(c, _FLESH.get(name, shade(colour, 1.4))),
        "hot": lambda: _hot(c),
        "cold": lambda: _chilled(c, 0.35),
        "frozen": lambda: _chilled(c, 0.6),
        "cooked": lambda: _cooked(thing, c),
        "lit": lambda: _lit(c),
        "toppled": lambda: _toppled(thing, c),
        "spilled": lambda: _emptied(thing, c).fallen(mirrored=True),
        "empty": lambda: _emptied(thing, c),
    }
    return painters[condition]()


def conditions(thing: Thing) -> tuple[str, ...]:
    """The conditions that the properties of a thing let it reach."""
    thermal = {
        matter.burnt_out(matter.warmed(thing, *matter.FLAME)),
        matter.warmed(thing, *matter.FLAME),
        matter.warmed(thing, *matter.FREEZER),
        matter.warmed(thing, *matter.ROOM),
        matter.touched_by_match(thing),
        matter.burnt_out(matter.touched_by_match(thing)),
        matter.cut(thing),
    }
    if thing.toughness < 20:
        thermal.add("popped" if thing.pressed else "broken")
    if thing.stands:
        thermal.add("spilled" if thing.contents else "toppled")
    if thing.contents:
        thermal.add("empty")
    return ("whole", *sorted(thermal - {"whole"}))


def _pillow() -> Canvas:
    c = Canvas(32, 8).disc(16, 5, 16, 4.4, (150, 130, 214)).box(1, 3, 30, 5, (150, 130, 214)).outline(0.6)
    return c.box(5, 2, 22, 1, (200, 186, 244)).dots((112, 92, 176), (8, 5), (16, 5), (24, 5))


def _sand() -> Canvas:
    c = Canvas(32, 8).box(0, 1, 32, 7, (232, 200, 126)).outline(0.7)
    for at in range(32):
        c.dots((204, 168, 92), (at, 3 + (at * 5) % 4)) if at % 3 == 1 else None
    return c.box(0, 7, 32, 1, (176, 138, 70))


def _table() -> Canvas:
    c = Canvas(32, 16).box(0, 0, 32, 5, (142, 84, 46)).box(2, 5, 4, 11, (142, 84, 46)).box(26, 5, 4, 11, (142, 84, 46))
    return c.outline(0.5).box(1, 1, 30, 1, (196, 134, 84))


def _tub() -> Canvas:
    c = Canvas(32, 16).box(0, 0, 32, 16, (120, 132, 148)).box(3, 2, 26, 12, WATER).outline(0.5)
    c.clear((c.x > 3) & (c.x < 29) & (c.y < 2))
    return c.box(3, 2, 26, 1, (200, 232, 252)).dots((150, 206, 244), (6, 5), (7, 5), (25, 6), (26, 6), (12, 9), (20, 5))


def _hand() -> Canvas:
    skin: Colour = (244, 190, 150)
    c = Canvas(16, 8).box(4, 0, 8, 3, (70, 130, 90)).disc(8, 4, 6, 2.6, skin)
    for x in (2, 5, 9, 12):
        c.box(x, 4, 2, 4, skin)
    return c.outline(0.6).box(4, 0, 8, 2, (70, 130, 90))


def _flame() -> Canvas:
    c = (
        Canvas(8, 16)
        .shape([(4, 0), (7, 6), (7, 10), (1, 10), (1, 6)], FIRE[0])
        .shape([(4, 3), (6, 8), (4, 10), (2, 8)], FIRE[1])
    )
    return c.dots(FIRE[2], (3, 8), (4, 8), (4, 7)).box(1, 11, 6, 5, (90, 96, 110)).box(2, 12, 1, 3, (150, 158, 172))


def _pack() -> Canvas:
    c = Canvas(8, 16).box(0, 2, 8, 14, (230, 246, 255)).outline(0.7)
    return c.dots(
        (64, 140, 230),
        (4, 5),
        (4, 6),
        (4, 7),
        (4, 8),
        (4, 9),
        (2, 7),
        (3, 7),
        (5, 7),
        (6, 7),
        (2, 5),
        (6, 5),
        (2, 9),
        (6, 9),
        (4, 12),
        (3, 13),
        (5, 13),
    )


def _knife() -> Canvas:
    c = Canvas(8, 16).shape([(3, 0), (6, 2), (6, 9), (3, 9)], (206, 214, 226)).outline(0.6)
    return c.box(3, 9, 3, 7, (60, 50, 56)).dots((190, 180, 170), (4, 11), (4, 14))


def _match() -> Canvas:
    c = Canvas(8, 16).box(3, 6, 2, 10, (222, 184, 120)).box(3, 5, 2, 2, (150, 40, 36))
    return c.disc(4, 3, 2.4, 3, FIRE[1]).disc(4, 3.6, 1.3, 1.8, FIRE[2])


def _puddle(colour: Colour) -> Canvas:
    return Canvas(16, 8).disc(8, 6, 8, 2.6, colour).outline(0.65).box(4, 5, 4, 1, shade(colour, 1.5))


@dataclass(frozen=True)
class Sprite:
    """Cells of 8×8 px: array (rows, cols, 8, 8, 3) uint8, and which of them are painted, bool (rows, cols)."""

    cells: np.ndarray
    painted: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.painted.shape[0], self.painted.shape[1]


def _sprite(canvas: Canvas, behind: np.ndarray | Colour = WALL) -> Sprite:
    tall, wide = canvas.mask.shape
    rgb = np.where(canvas.mask[..., None], canvas.rgb, np.asarray(behind, np.uint8))
    cells = rgb.reshape(tall // CELL, CELL, wide // CELL, CELL, 3).swapaxes(1, 2)
    painted = np.asarray(canvas.mask.reshape(tall // CELL, CELL, wide // CELL, CELL).any(axis=(1, 3)))
    return Sprite(np.ascontiguousarray(cells), painted)


_SURFACES: dict[str, Callable[[], Canvas]] = {"pillow": _pillow, "sand": _sand, "table": _table, "water": _tub}
_TOOLS: dict[str, Callable[[], Canvas]] = {"flame": _flame, "ice": _pack, "knife": _knife, "match": _match}


@cache
def thing_sprite(name: str, condition: str, wet: tuple[bool, bool] = (False, False)) -> Sprite:
    """The sprite of a thing; ``wet`` says which of its two rows is under water."""
    behind = np.empty((16, 16, 3), np.uint8)
    behind[:] = WALL
    for row, under in enumerate(wet):
        if under:
            behind[8 * row : 8 * row + 8] = WATER
            if not (row and wet[0]):
                behind[8 * row : 8 * row + 2] = WALL
                behind[8 * row + 2] = (200, 232, 252)
    if wet[1]:
        behind[14:] = shade((120, 132, 148), 0.5)
        behind[14] = (120, 132, 148)
    if wet[1] and not wet[0]:
        behind[14:] = WATER
    return _sprite(paint_thing(name, condition), behind)


@cache
def surface_sprite(name: str) -> Sprite:
    return _sprite(_SURFACES[name]())


@cache
def tool_sprite(name: str) -> Sprite:
    return _sprite(_TOOLS[name]())


@cache
def hand_sprite() -> Sprite:
    return _sprite(_hand())


@cache
def puddle_sprite(liquid: str) -> Sprite:
    return _sprite(_puddle(LIQUIDS[liquid]))


def tools() -> tuple[str, ...]:
    return tuple(_TOOLS)


@cache
def backdrop() -> np.ndarray:
    """The empty room: uint8 (64, 64, 3), read-only."""
    room = np.empty((GRID * CELL, GRID * CELL, 3), np.uint8)
    room[:] = WALL
    strip = (
        Canvas(8, 8)
        .box(0, 0, 8, 8, FLOOR)
        .box(0, 0, 8, 1, (110, 70, 42))
        .box(0, 4, 8, 1, (148, 98, 58))
        .box(3, 1, 1, 3, (148, 98, 58))
    )
    room[-CELL:] = np.tile(strip.rgb, (1, GRID, 1))
    room.setflags(write=False)
    return room
