"""Dreams as pictures for people: a labelled strip (PNG) of all branches, and an animation (GIF) of one.

A strip has one card per branch: its scores at the start, then what → action → result (→ action → result …) with the
words under the pictures; the winner's card is framed and crowned. Nothing here knows the model: it draws pictures that
somebody else decoded, so recorded episodes of a true world are drawn by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from reverie.drawing import clip_line, font, gif_bytes, wrap_lines
from reverie.nouns import Dream, Frame, Part

__all__ = ["Branch", "Panel", "animate", "branches_of", "draw_strip"]

Color = tuple[int, int, int]

_FINE = 2  # everything is drawn at twice the size and averaged down: smooth curves, and whole pixels stay whole
_SIDE = 192  # px of a picture on the strip: 64-px pictures enlarge by exactly 3
_GUTTER = 116  # px between two pictures, for the action and its arrow
_HEAD = 148  # px at a card's start for its name and scores
_PAD = 18
_MAX_PANELS = 5  # pictures on one line; longer chains go on below
_NARROW = 760  # px: cards up to this width may stand in two columns
_COLUMN_NAMES = 22
_MAX_LINES = 3  # of a caption

_PAPER: Color = (246, 243, 237)
_CARD: Color = (255, 255, 255)
_LINE: Color = (222, 216, 205)
_INK: Color = (38, 36, 43)
_SOFT: Color = (118, 112, 122)
_GOLD: Color = (226, 148, 0)
_BLUE: Color = (56, 92, 196)
_BLANK: Color = (238, 235, 244)


@dataclass(frozen=True)
class Panel:
    """One part of a triplet as people see it: ``picture`` is uint8 (H, W, 3), or None where only words were dreamed."""

    picture: np.ndarray | None
    caption: str = ""


@dataclass(frozen=True)
class Branch:
    """One row of a strip: P panels and the P - 1 actions between them. ``scores`` lie in [0, 1]."""

    panels: tuple[Panel, ...]
    actions: tuple[str, ...]
    label: str = ""
    said: str = ""
    score: float | None = None
    scores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.panels or len(self.actions) != len(self.panels) - 1:
            raise ValueError(f"{len(self.panels)} panels need {len(self.panels) - 1} actions, got {len(self.actions)}")


def branches_of(dreams: Sequence[Dream], decode: Callable[[Sequence[Frame]], Sequence[np.ndarray]]) -> list[Branch]:
    """One row per dream, in their order; a dream without triplets is a card of what it says.

    ``decode`` turns frames into uint8 (H, W, 3) pictures (a session's ``decode``) and is called once for all.
    """
    frames = list(dict.fromkeys(part.frame for dream in dreams for part in _parts(dream) if part.frame is not None))
    pictures = dict(zip(frames, decode(frames), strict=True)) if frames else {}
    return [
        Branch(
            panels=tuple(Panel(pictures[part.frame] if part.frame else None, part.text) for part in _parts(dream)),
            actions=tuple(triplet.action.text for triplet in dream.triplets),
            label=f"dream {number}",
            said=dream.said if dream.triplets else "",
            score=dream.score,
            scores=dream.scores,
        )
        for number, dream in enumerate(dreams, start=1)
    ]


def _parts(dream: Dream) -> list[Part]:
    if not dream.triplets:
        return [Part(dream.said or "nothing was imagined")]
    return [dream.triplets[0].what, *(triplet.result for triplet in dream.triplets)]


def draw_strip(
    branches: Sequence[Branch], winner: int | None = None, question: str = "", answer: str = ""
) -> Image.Image:
    """The labelled strip of ``branches`` (at least one), the one at index ``winner`` framed, as an RGB picture.

    Many short branches stand in two columns, so that the strip fits a screen.
    """
    if not branches:
        raise ValueError("a strip needs at least one branch")
    card = _card_width(branches)
    columns = 2 if len(branches) > 3 and card <= _NARROW else 1
    width = columns * (card + _PAD) + _PAD
    rows = [branches[first : first + columns] for first in range(0, len(branches), columns)]
    heights = [max(_card_height(branch, card) for branch in row) for row in rows]
    title, spoken = _wrap(question, 26, width - 2 * _PAD, 2), _wrap(answer, 19, width - 2 * _PAD, 3)
    top = _PAD + len(title) * 34 + len(spoken) * 26 + 10
    sheet = _Sheet(width, top + _COLUMN_NAMES + sum(heights) + _PAD * len(rows))
    sheet.lines(title, (_PAD, _PAD), 26, _INK, step=34, bold=True)
    sheet.lines(spoken, (_PAD, _PAD + len(title) * 34 + 4), 19, _BLUE, step=26)
    for column in range(columns):
        _draw_column_names(sheet, branches, (_PAD + column * (card + _PAD), top))
    top += _COLUMN_NAMES
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column, branch in enumerate(row):
            box = (_PAD + column * (card + _PAD), top, card, height)
            _draw_card(sheet, branch, box, won=number * columns + column == winner)
        top += height + _PAD
    return sheet.picture()


def animate(branch: Branch, side: int = 320) -> bytes:
    """A GIF of ``branch``: each picture with its words, then the action that leads on; the last one stays longest."""
    shots: list[tuple[Image.Image, int]] = []
    for index, panel in enumerate(branch.panels):
        last = index == len(branch.panels) - 1
        shots.append((_shot(panel.picture, panel.caption, side, _INK), 2600 if last else 1100))
        if not last:
            shots.append((_shot(panel.picture, f"{branch.actions[index]} …", side, _BLUE), 900))
    pictures, durations_ms = zip(*shots, strict=True)
    return gif_bytes(pictures, durations_ms, one_palette=True)


def _draw_card(sheet: _Sheet, branch: Branch, box: tuple[int, int, int, int], won: bool) -> None:
    left, top, width, _ = box
    sheet.box(box, _CARD, _GOLD if won else _LINE, 4 if won else 1)
    _draw_head(sheet, branch, (left + _PAD, top + _PAD), won)
    start, y = left + _PAD + _HEAD, top + _PAD
    for first in range(0, len(branch.panels), _MAX_PANELS):
        line = branch.panels[first : first + _MAX_PANELS]
        for offset, panel in enumerate(line):
            x = start + offset * (_SIDE + _GUTTER)
            sheet.panel(panel, (x, y))
            if first + offset < len(branch.actions):
                sheet.arrow(branch.actions[first + offset], (x + _SIDE, y))
        y += _line_height(line)
    sheet.lines(_said(branch, width), (start, y), 16, _BLUE if won else _SOFT, step=22)


def _draw_column_names(sheet: _Sheet, branches: Sequence[Branch], at: tuple[int, int]) -> None:
    x, y = at[0] + _PAD + _HEAD, at[1]
    for index in range(min(max(len(branch.panels) for branch in branches), _MAX_PANELS)):
        name = "result" if index else "what"
        sheet.text(name, (x + (_SIDE - _width(name, 13)) / 2, y), 13, _SOFT)
        if index:
            sheet.text("action", (x - (_GUTTER + _width("action", 13)) / 2, y), 13, _SOFT)
        x += _SIDE + _GUTTER


def _draw_head(sheet: _Sheet, branch: Branch, at: tuple[int, int], won: bool) -> None:
    """The start of a card: name, crown, score, and a bar for every evaluator."""
    x, y = at
    if won:
        sheet.crown((x, y), 24)
        sheet.text("winner", (x + 32, y + 3), 16, _GOLD, bold=True)
        y += 30
    sheet.text(branch.label, (x, y), 16, _SOFT)
    y += 24
    if branch.score is not None:
        sheet.text(f"{branch.score:.2f}", (x, y), 34, _GOLD if won else _INK, bold=True)
        y += 46
    for name, score in branch.scores.items():
        sheet.text(clip_line(f"{name} {score:.2f}", font(12 * _FINE), (_HEAD - 24) * _FINE), (x, y), 12, _SOFT)
        sheet.bar((x, y + 17, _HEAD - 28, 5), score, _GOLD if won else _BLUE)
        y += 30


def _card_width(branches: Sequence[Branch]) -> int:
    longest = max(len(branch.panels) for branch in branches)
    line = min(longest, _MAX_PANELS)
    arrows = line if longest > line else line - 1  # an arrow at the end of a line leads on to the next
    return _HEAD + line * _SIDE + arrows * _GUTTER + 2 * _PAD


def _card_height(branch: Branch, card_width: int) -> int:
    lines = [branch.panels[first : first + _MAX_PANELS] for first in range(0, len(branch.panels), _MAX_PANELS)]
    body = sum(_line_height(line) for line in lines) + 22 * len(_said(branch, card_width))
    head = 100 + 30 * len(branch.scores)
    return max(body, head) + 2 * _PAD


def _said(branch: Branch, card_width: int) -> list[str]:
    return _wrap(f"“{branch.said}”", 16, card_width - _HEAD - 2 * _PAD, 2) if branch.said else []


def _line_height(panels: Sequence[Panel]) -> int:
    captions = [len(_wrap(panel.caption, 14, _SIDE, _MAX_LINES)) for panel in panels if panel.picture is not None]
    return _SIDE + max(captions, default=0) * 19 + 18


def _shot(picture: np.ndarray | None, words: str, side: int, color: Color) -> Image.Image:
    """One picture of the animation: (side, side) pixels of picture over a band with words."""
    lines = _wrap(words, 16, side - 16, 2)
    sheet = _Sheet(side, side + 56)
    if picture is not None:
        sheet.paste(_fit(picture, side * _FINE), (0, 0))
    sheet.lines(lines, (8, side + 6), 16, color, step=22)
    return sheet.picture()


class _Sheet:
    """A sheet of paper measured in final pixels, drawn ``_FINE`` times larger."""

    def __init__(self, width: int, height: int):
        self._image = Image.new("RGB", (width * _FINE, height * _FINE), _PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def picture(self) -> Image.Image:
        return self._image.reduce(_FINE)

    def text(self, words: str, at: tuple[float, float], size: int, color: Color, bold: bool = False) -> None:
        where = (at[0] * _FINE, at[1] * _FINE)
        stroke = size * _FINE / 50 if bold else 0  # the bundled font has one weight
        self._draw.text(where, words, fill=color, font=font(size * _FINE), stroke_width=stroke, stroke_fill=color)

    def lines(
        self, lines: Sequence[str], at: tuple[float, float], size: int, color: Color, step: int, bold: bool = False
    ) -> None:
        for number, line in enumerate(lines):
            self.text(line, (at[0], at[1] + number * step), size, color, bold)

    def box(self, box: tuple[float, float, float, float], fill: Color, edge: Color, edge_width: float) -> None:
        x, y, width, height = (value * _FINE for value in box)
        self._draw.rounded_rectangle(
            (x, y, x + width, y + height), 12 * _FINE, fill=fill, outline=edge, width=round(edge_width * _FINE)
        )

    def bar(self, box: tuple[float, float, float, float], share: float, color: Color) -> None:
        x, y, width, height = (value * _FINE for value in box)
        self._draw.rounded_rectangle((x, y, x + width, y + height), height / 2, fill=_BLANK)
        filled = max(height, width * min(max(share, 0.0), 1.0))
        self._draw.rounded_rectangle((x, y, x + filled, y + height), height / 2, fill=color)

    def panel(self, panel: Panel, at: tuple[int, int]) -> None:
        """A picture with its caption below, or a card of words where there is no picture."""
        x, y = at
        if panel.picture is None:
            self.box((x, y, _SIDE, _SIDE), _BLANK, _LINE, 1)
            words = _wrap(panel.caption, 18, _SIDE - 28, 6)
            self.lines(words, (x + 14, y + (_SIDE - 24 * len(words)) / 2), 18, _INK, step=24)
            return
        fitted = _fit(panel.picture, _SIDE * _FINE)
        dx, dy = ((_SIDE * _FINE - side) // 2 for side in fitted.size)
        self.paste(fitted, (x * _FINE + dx, y * _FINE + dy))
        edge = (x * _FINE + dx, y * _FINE + dy, x * _FINE + dx + fitted.width - 1, y * _FINE + dy + fitted.height - 1)
        self._draw.rectangle(edge, outline=_LINE, width=_FINE)
        self.lines(_wrap(panel.caption, 14, _SIDE, _MAX_LINES), (x, y + _SIDE + 7), 14, _INK, step=19)

    def paste(self, picture: Image.Image, fine: tuple[int, int]) -> None:
        self._image.paste(picture, fine)

    def arrow(self, action: str, at: tuple[int, int]) -> None:
        """An arrow across the gutter that starts at ``at``, its action above it."""
        x, y = at[0] + 12, at[1] + _SIDE / 2
        words = _wrap(action, 15, _GUTTER - 18, 4)
        for number, line in enumerate(words):
            indent = (_GUTTER - 24 - _width(line, 15)) / 2
            self.text(line, (x + indent, y - 12 - 20 * (len(words) - number)), 15, _BLUE, bold=True)
        end = x + _GUTTER - 24
        self._polygon([(x, y - 1.5), (end - 12, y - 1.5), (end - 12, y + 1.5), (x, y + 1.5)], _BLUE)
        self._polygon([(end - 14, y - 8), (end, y), (end - 14, y + 8)], _BLUE)

    def crown(self, at: tuple[int, int], width: int) -> None:
        (x, y), unit = at, width / 8
        points = [(0, 6), (0, 1.4), (2, 3.6), (4, 0), (6, 3.6), (8, 1.4), (8, 6)]
        self._polygon([(x + unit * px, y + unit * py) for px, py in points], _GOLD)

    def _polygon(self, points: Sequence[tuple[float, float]], color: Color) -> None:
        self._draw.polygon([(x * _FINE, y * _FINE) for x, y in points], fill=color)


def _fit(picture: np.ndarray, side: int) -> Image.Image:
    """``picture`` so that its longer side is ``side`` px: repeated up, averaged down."""
    image = Image.fromarray(picture)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)


def _width(words: str, size: int) -> float:
    return font(size * _FINE).getlength(words) / _FINE


def _wrap(words: str, size: int, width: float, most: int) -> list[str]:
    return wrap_lines(words, font(size * _FINE), width * _FINE, most)
