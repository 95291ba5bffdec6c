"""The memory as a picture for people: what a question recalls, as a graph of named boxes and labelled arrows.

networkx lays the graph out by its springs (Fruchterman & Reingold 1991), several times, and the layout with the fewest
crossings is taken. Boxes are then pushed apart, arrows bend around boxes, and each label takes the freest place on its
arrow or beside it; where one finds none, everything moves further apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from reverie.data import NODE_KINDS
from reverie.drawing import drawable, font, wrap_lines
from reverie.errors import shorten
from reverie.memory.contract import Node, Recalled
from reverie.memory.store import Store

__all__ = ["Arrow", "Box", "Graph", "draw_graph", "graph_of"]

Color = tuple[int, int, int]

_FINE = 3  # drawn so many times larger and averaged down
_NAME, _LABEL, _TITLE, _NOTE = 15, 12, 26, 13  # px of letters
_WIDEST = 150  # px of a name's line
_GAP = np.array([34.0, 30.0])  # px between two boxes
_APART = 72.0  # px of an arrow without its label
_PAD = 36
_NARROWEST = 640  # px of the sheet
_STARTS = 8  # layouts tried
_STEP = 3  # px between two points of an arrow
_LARGER = 1.1  # each time that a label finds no place
_OVERLAP, _BESIDE = 100.0, 2.0  # how bad it is for a label to lie on something, to stand beside its arrow
_WIDE = 1400  # px up to which the sheet grows for labels that stand beside their arrow or on another

_PAPER: Color = (246, 243, 237)
_INK: Color = (38, 36, 43)
_SOFT: Color = (118, 112, 122)
_FAINT: Color = (190, 184, 178)
_GOLD: Color = (226, 148, 0)
_BLUE: Color = (56, 92, 196)
_COLORS: dict[str, tuple[Color, Color]] = {  # of a node's kind: inside, edge
    "entity": ((228, 235, 252), (86, 118, 206)),
    "action": ((253, 236, 205), (206, 140, 40)),
    "outcome": ((221, 242, 224), (70, 150, 92)),
    "passage": ((255, 255, 255), (150, 144, 154)),
    "picture": ((251, 227, 236), (196, 84, 130)),
}


@dataclass(frozen=True)
class Box:
    """A node of the picture. ``named``: the question names it."""

    name: str
    kind: str = "entity"
    named: bool = False


@dataclass(frozen=True)
class Arrow:
    """A fact of the picture, from one box to another by their places; ``score`` in [0, 1] makes it thick."""

    start: int
    end: int
    label: str
    score: float = 1.0


@dataclass(frozen=True)
class Graph:
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...] = ()


def graph_of(store: Store, recalled: Recalled, start_nodes: Sequence[int] = (), most: int = 30) -> Graph:
    """The recalled facts, best first, as far as they join ``most`` nodes at most.

    ``start_nodes``: ids of the nodes that the question names. Recalled nodes without a fact fill up what is left.
    """
    facts = {fact.id: fact for fact in (*recalled.facts, *(fact for chain in recalled.chains for fact in chain.facts))}
    places: dict[int, int] = {}
    arrows = []
    for edge in store.edges(list(facts)):
        if len(places.keys() | {edge.subject, edge.object}) <= most:
            start, end = (places.setdefault(node, len(places)) for node in (edge.subject, edge.object))
            arrows.append(Arrow(start, end, edge.relation, facts[edge.id].score))
    for node in [*start_nodes, *(node.id for node, _ in recalled.nodes)]:
        if len(places) < most:
            places.setdefault(node, len(places))
    living = {node.id: node for node in store.nodes(list(places))}
    boxes = [_box(living[node], node in start_nodes) if node in living else Box("(deleted)") for node in places]
    return Graph(tuple(boxes), tuple(arrows))


def _box(node: Node, named: bool) -> Box:
    return Box(Path(node.name).name if node.kind == "picture" else node.name, node.kind, named)


def draw_graph(graph: Graph, title: str = "", note: str = "", seed: int = 0) -> Image.Image:
    """The picture of ``graph`` as RGB; of an empty one a sheet that says so. The same seed gives the same picture."""
    boxes = [_Drawn(box) for box in graph.boxes]
    sizes = np.array([box.size for box in boxes]).reshape(-1, 2)
    links = _links(graph)
    rng = np.random.default_rng(seed)
    flat = _layout(sizes, links, rng)
    for _ in range(20):
        centers = _packed(flat, sizes, links)
        paths = [_path(link, centers, sizes) for link in links]
        spots, worst = _label_spots(links, paths, centers, sizes)
        hit = any(_hits(link, path, centers, sizes) for link, path in zip(links, paths))
        if worst < _OVERLAP and (centers[:, 0].max(initial=0) > _WIDE or not (hit or worst > 1)):
            break
        flat = flat * _LARGER
    return _Sheet(boxes, links, centers, paths, spots).picture(title, note)


# what is drawn --------------------------------------------------------------------------------------------------


class _Drawn:
    """A box with its name in lines and its size in px."""

    def __init__(self, box: Box):
        self.box = box
        self.lines = _wrap(box.name, _NAME, _WIDEST, 3) or [""]
        width = max(_width(line, _NAME) for line in self.lines)
        self.size = np.array([max(width, 24) + 26, 20 * len(self.lines) + 16])


@dataclass(frozen=True)
class _Link:
    """All arrows from one box to another, as one. ``lines``: its label; ``bends``: how it may be bent."""

    start: int
    end: int
    lines: tuple[str, ...]
    score: float  # of the strongest, as a share of the strongest of all
    bends: tuple[float, ...]

    @property
    def label_size(self) -> np.ndarray:
        return np.array([max(_width(line, _LABEL) for line in self.lines) + 10, 15 * len(self.lines) + 5])


def _links(graph: Graph) -> list[_Link]:
    joined: dict[tuple[int, int], list[Arrow]] = {}
    for arrow in sorted(graph.arrows, key=lambda arrow: -arrow.score):
        joined.setdefault((arrow.start, arrow.end), []).append(arrow)
    most = max((arrow.score for arrow in graph.arrows), default=1.0) or 1.0
    links = []
    for (start, end), arrows in joined.items():
        names = list(dict.fromkeys(drawable(shorten(arrow.label, 28)) for arrow in arrows))
        lines = (*names[:3], f"and {len(names) - 3} more") if len(names) > 3 else tuple(names)
        both = (end, start) in joined and start != end
        bends = (0.16, 0.28, 0.4) if both else (0.0, 0.14, -0.14, 0.28, -0.28, 0.45, -0.45)
        links.append(_Link(start, end, lines, arrows[0].score / most, bends))
    return links


# layout: px, centers of boxes as float (N, 2) -------------------------------------------------------------------


def _layout(sizes: np.ndarray, links: Sequence[_Link], rng: np.random.Generator) -> np.ndarray:
    """Centers of the boxes, each part that hangs together around 0."""
    import networkx as nx

    centers = np.zeros((len(sizes), 2))
    for part in _parts(len(sizes), links):
        inside = [link for link in links if link.start in part and link.start != link.end]
        graph = nx.Graph([(link.start, link.end) for link in inside])
        ends = np.array([(part.index(link.start), part.index(link.end)) for link in inside], int).reshape(-1, 2)
        length = np.mean([_length(link, sizes) for link in inside]) if inside else 0.0
        tries: list[tuple[int, int, np.ndarray]] = []
        for number in range(_STARTS if len(part) > 2 else bool(inside)):
            laid = nx.spring_layout(graph, iterations=100, scale=None, seed=int(rng.integers(2**32)))
            tried = np.array([laid[node] for node in part])
            apart = np.linalg.norm(tried[ends[:, 0]] - tried[ends[:, 1]], axis=1).mean()
            tried = _apart(_turned(tried * length / apart), sizes[part])
            tries.append((_faults(tried, sizes[part], ends), number, tried))
        if tries:
            centers[part] = min(tries)[-1]
    return centers


def _length(link: _Link, sizes: np.ndarray) -> float:
    return _APART + 0.3 * float(link.label_size[0]) + 0.25 * float(sizes[[link.start, link.end]].sum())


def _faults(centers: np.ndarray, sizes: np.ndarray, ends: np.ndarray) -> int:
    """How many pairs of straight arrows cross, and how often one leads over a box."""
    if len(ends) < 2:
        return 0
    share = np.linspace(0, 1, 40)[:, None, None]
    points = (1 - share) * centers[ends[:, 0]] + share * centers[ends[:, 1]]  # (40, arrows, 2)
    over = np.asarray(_inside(points[:, :, None], centers, sizes + 16)).any(0).reshape(len(ends), -1)
    over[np.arange(len(ends))[:, None], ends] = False
    a, b = centers[ends[:, 0]], centers[ends[:, 1]]
    of_a, of_b = _side(a[:, None], b[:, None], a[None]), _side(a[:, None], b[:, None], b[None])
    cross = (of_a * of_b < 0) & (of_a * of_b < 0).T
    shared = (ends[:, None, :, None] == ends[None, :, None, :]).any((2, 3))
    return int((cross & ~shared).sum()) // 2 + int(over.sum())


def _side(a: np.ndarray, b: np.ndarray, point: np.ndarray) -> np.ndarray:
    side: np.ndarray = np.sign(
        (b[..., 0] - a[..., 0]) * (point[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (point[..., 0] - a[..., 0])
    )
    return side


def _turned(centers: np.ndarray) -> np.ndarray:
    """Around 0, the longer side lying flat and stretched: boxes are wider than high, and so are sheets."""
    centers = centers - centers.mean(0)
    if len(centers) > 2:
        centers = centers @ np.linalg.svd(centers, full_matrices=False)[2].T
    elif len(centers) == 2:
        centers = np.array([[-1.0, 0.0], [1.0, 0.0]]) * np.linalg.norm(centers[1] - centers[0]) / 2
    stretched: np.ndarray = centers * np.array([1.15, 1.0])
    return stretched


def _apart(at: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Centers moved until no two boxes touch, each pair along the shorter way."""
    at, near = at.copy(), (sizes[:, None] + sizes[None]) / 2 + _GAP
    number = np.arange(len(at))
    order = np.sign(number[:, None] - number[None])[..., None]  # where two lie on one point
    for _ in range(400):
        away = at[:, None] - at[None]
        depth = near - np.abs(away)
        over = (depth > 1e-6).all(2)
        np.fill_diagonal(over, False)
        if not over.any():
            break
        flat = depth[..., 0] < depth[..., 1]
        way = np.where(away == 0, order, np.sign(away))
        at += 0.26 * np.where(np.stack((flat, ~flat), 2) & over[..., None], way * depth, 0).sum(1)
    return at


def _packed(centers: np.ndarray, sizes: np.ndarray, links: Sequence[_Link]) -> np.ndarray:
    """The parts side by side in rows, the largest first, from (0, 0) on."""
    centers = centers.copy()
    boxes = []
    for part in _parts(len(sizes), links):
        low, high = _bounds(centers[part], sizes[part])
        boxes.append((part, low, high - low))
    boxes.sort(key=lambda box: -box[2].prod())
    area = sum((box[2] + _GAP).prod() for box in boxes)
    width = max([box[2][0] for box in boxes], default=0.0)
    width = max(width, 1.3 * np.sqrt(area), _NARROWEST - 2 * _PAD)
    x = y = row = 0.0
    for part, low, size in boxes:
        if x and x + size[0] > width:
            x, y, row = 0.0, y + row + _GAP[1], 0.0
        centers[part] += np.array([x, y]) - low
        x, row = x + size[0] + _GAP[0], max(row, size[1])
    return centers


def _parts(count: int, links: Sequence[_Link]) -> list[list[int]]:
    """Places of boxes that hang together."""
    import networkx as nx

    graph = nx.Graph([(link.start, link.end) for link in links])
    graph.add_nodes_from(range(count))
    return sorted(map(sorted, nx.connected_components(graph)))


def _bounds(centers: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (centers - sizes / 2).min(0), (centers + sizes / 2).max(0)


# arrows and their labels ----------------------------------------------------------------------------------------


def _path(link: _Link, centers: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Points (P, 2) of an arrow from edge to edge, bent where that leads it around other boxes."""
    if link.start == link.end:
        return _loop(centers[link.start], sizes[link.start])
    best, fewest = np.zeros((0, 2)), np.inf
    for bend in link.bends:
        path = _curve(centers[link.start], centers[link.end], bend)
        path = path[~_inside(path, centers[link.start], sizes[link.start] + 4)]
        path = path[~_inside(path, centers[link.end], sizes[link.end] + 8)]
        hit = _hits(link, path, centers, sizes)
        if len(path) > 1 and hit < fewest:
            best, fewest = path, hit
    return best if len(best) > 1 else np.stack((centers[link.start], centers[link.end]))


def _hits(link: _Link, path: np.ndarray, centers: np.ndarray, sizes: np.ndarray) -> int:
    """How many points of an arrow lie on boxes that it does not join."""
    on = _inside(path[:, None], centers, sizes + 12)
    on[:, [link.start, link.end]] = False
    return int(on.sum())


def _curve(start: np.ndarray, end: np.ndarray, bend: float) -> np.ndarray:
    along = end - start
    middle = (start + end) / 2 + bend * np.array([-along[1], along[0]])
    share = np.linspace(0, 1, max(12, int(np.linalg.norm(along) / _STEP)))[:, None]
    curve: np.ndarray = (1 - share) ** 2 * start + 2 * share * (1 - share) * middle + share**2 * end
    return curve


def _loop(center: np.ndarray, size: np.ndarray) -> np.ndarray:
    turn = np.linspace(0.8 * np.pi, -0.05 * np.pi, 40)[:, None]
    top = center + np.array([size[0] / 2 - 16, -size[1] / 2 - 8])
    loop: np.ndarray = top + np.concatenate((np.cos(turn), -np.sin(turn)), 1) * np.array([18, 20])
    return loop


def _inside(points: np.ndarray, center: np.ndarray, size: np.ndarray) -> np.ndarray:
    inside: np.ndarray = (np.abs(points - center) < size / 2).all(-1)
    return inside


def _label_spots(
    links: Sequence[_Link], paths: Sequence[np.ndarray], centers: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, float]:
    """Centers of the labels (L, 2), and how bad the worst is: above 1 beside its arrow, ``_OVERLAP`` on something."""
    spots = np.zeros((len(links), 2))
    label_sizes = np.array([link.label_size for link in links]).reshape(-1, 2)
    points = np.concatenate((np.zeros((0, 2)), *paths))
    owners = np.repeat(np.arange(len(paths)), [len(path) for path in paths])
    worst, placed = 0.0, list[int]()
    for number in sorted(range(len(links)), key=lambda number: len(paths[number])):  # short arrows have least choice
        path, size, best = paths[number], label_sizes[number], np.inf
        others = points[owners != number], owners[owners != number]
        for spot, off in sorted(_spots_along(path, size), key=lambda found: found[1]):
            if off >= best:
                break
            on_boxes = _inside(centers, spot, sizes + size + 6).sum()
            on_labels = _inside(spots[placed], spot, label_sizes[placed] + size + 4).sum()
            crossed = np.unique(others[1][_inside(others[0], spot, size)])
            if off >= _BESIDE and len(others[0]):  # it must not seem to be that of another arrow
                own, near = (np.linalg.norm(path - spot, axis=1).min() for path in (path, others[0]))
                off += 4 * (near < 1.6 * own)
            cost = _OVERLAP * (on_boxes + on_labels) + 3 * len(crossed) + off
            if cost < best:
                best, spots[number] = cost, spot
        placed.append(number)
        worst = max(worst, float(best))
    return spots, worst


def _spots_along(path: np.ndarray, size: np.ndarray) -> Iterator[tuple[np.ndarray, float]]:
    """Places for a label of that size, each with how much worse than the middle of the arrow it is."""
    for share in (0.5, 0.44, 0.56, 0.38, 0.62, 0.31, 0.69, 0.24, 0.76, 0.17, 0.83):
        spot = path[int(share * (len(path) - 1))]
        off = abs(share - 0.5)
        hidden = _inside(path, spot, size + 4)  # an arrow hidden by its label is none
        yield spot, off + (6 if hidden.mean() > 0.6 or hidden[-6:].any() else 0)
        along = path[min(len(path) - 1, int(share * len(path)) + 1)] - path[max(0, int(share * len(path)) - 1)]
        across = np.array([-along[1], along[0]]) / (np.linalg.norm(along) or 1)
        away = across * (np.abs(across) @ size / 2 + 3)
        yield spot + away, off + _BESIDE
        yield spot - away, off + _BESIDE


# paper ----------------------------------------------------------------------------------------------------------


class _Sheet:
    """The sheet of paper, measured in final px and drawn ``_FINE`` times larger."""

    def __init__(
        self,
        boxes: Sequence[_Drawn],
        links: Sequence[_Link],
        centers: np.ndarray,
        paths: Sequence[np.ndarray],
        spots: np.ndarray,
    ):
        self.boxes, self.links, self.centers, self.paths, self.spots = boxes, links, centers, paths, spots

    def picture(self, title: str, note: str) -> Image.Image:
        low, high = self._extent()
        width = int(max(high[0] - low[0], _NARROWEST - 2 * _PAD)) + 2 * _PAD
        heading, said = _wrap(title, _TITLE, width - 2 * _PAD, 2), _wrap(note, _NOTE, width - 2 * _PAD, 2)
        top = _PAD + 34 * len(heading) + 20 * len(said) + (16 if heading or said else 0)
        height = int(top + high[1] - low[1]) + _PAD + 44
        self._image = Image.new("RGB", (width * _FINE, height * _FINE), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        for number, line in enumerate(heading):
            self._text(line, (_PAD, _PAD - 8 + 34 * number), _TITLE, _INK, bold=True)
        for number, line in enumerate(said):
            self._text(line, (_PAD, _PAD + 34 * len(heading) + 20 * number), _NOTE, _SOFT)
        self._shift = np.array([(width - (high[0] - low[0])) / 2, top]) - low
        if not self.boxes:
            self._text("Nothing in the memory answers to this.", (_PAD, top), _NAME, _SOFT)
        order = sorted(range(len(self.links)), key=lambda number: self.links[number].score)
        for number in order:  # the strongest on top
            self._arrow(self.links[number], self.paths[number])
        for number in order:
            self._label(self.links[number], self.spots[number])
        for box, center in zip(self.boxes, self.centers):
            self._box(box, center)
        self._legend(height - 40)
        return self._image.reduce(_FINE)

    def _extent(self) -> tuple[np.ndarray, np.ndarray]:
        if not self.boxes:
            return np.zeros(2), np.array([_NARROWEST - 2.0 * _PAD, 20.0])
        low, high = _bounds(self.centers, np.array([box.size for box in self.boxes]) + 12)
        for path in self.paths:
            low, high = np.minimum(low, path.min(0) - 4), np.maximum(high, path.max(0) + 4)
        for link, spot in zip(self.links, self.spots):
            low, high = np.minimum(low, spot - link.label_size / 2), np.maximum(high, spot + link.label_size / 2)
        return low, high

    def _box(self, drawn: _Drawn, center: np.ndarray) -> None:
        inside, edge = _COLORS[drawn.box.kind]
        if drawn.box.named:
            self._rounded(center, drawn.size + 10, 15, _PAPER, _GOLD, 3)
        self._rounded(center, drawn.size, 4 if drawn.box.kind == "passage" else 11, inside, edge, 1.5)
        x, y = center + self._shift
        for number, line in enumerate(drawn.lines):
            at = (x - _width(line, _NAME) / 2, y - 10 * len(drawn.lines) + 20 * number + 1)
            self._text(line, at, _NAME, _INK, bold=drawn.box.named)

    def _arrow(self, link: _Link, path: np.ndarray) -> None:
        color, width = _blend(_FAINT, _BLUE, link.score), 1.2 + 3.3 * link.score
        self._ribbon(path + self._shift, width, color)
        tip = path[-1] + self._shift
        back = tip - (path[max(-len(path), -5)] + self._shift)
        back = back / (np.linalg.norm(back) or 1)
        side, size = np.array([-back[1], back[0]]), 8 + 1.6 * width
        corners = [tip + 3 * back, tip - size * back + size / 2 * side, tip - size * back - size / 2 * side]
        self._draw.polygon([tuple(corner * _FINE) for corner in corners], fill=color)

    def _ribbon(self, path: np.ndarray, width: float, color: Color) -> None:
        """A line as one polygon: pieces of a line would end on whole pixels each, which shows."""
        along = np.gradient(path, axis=0)
        across = np.stack((-along[:, 1], along[:, 0]), 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
        sides = np.concatenate((path + across * width / 2, (path - across * width / 2)[::-1]))
        self._draw.polygon([tuple(point) for point in sides * _FINE], fill=color)

    def _label(self, link: _Link, spot: np.ndarray) -> None:
        self._rounded(spot, link.label_size, 6, _PAPER, _PAPER, 0)
        x, y = spot + self._shift
        for number, line in enumerate(link.lines):
            at = (x - _width(line, _LABEL) / 2, y - 7.5 * len(link.lines) + 15 * number)
            self._text(line, at, _LABEL, _blend(_SOFT, _INK, link.score))

    def _legend(self, y: float) -> None:
        """What the colours mean, as far as they are there."""
        x, kinds = float(_PAD), {box.box.kind for box in self.boxes}
        shift, self._shift = self._shift, np.zeros(2)
        for kind in NODE_KINDS:
            if kind in kinds:
                self._rounded(np.array([x + 9, y + 9]), np.array([18, 14]), 5, *_COLORS[kind], 1.5)
                x = self._word(kind, x + 26, y)
        if any(box.box.named for box in self.boxes):
            self._rounded(np.array([x + 9, y + 9]), np.array([20, 16]), 6, _PAPER, _GOLD, 3)
            x = self._word("named in the question", x + 26, y)
        if self.links:
            self._draw.line([(x * _FINE, (y + 9) * _FINE), ((x + 26) * _FINE, (y + 9) * _FINE)], _BLUE, 4 * _FINE)
            self._word("thicker: matters more", x + 34, y)
        self._shift = shift

    def _word(self, word: str, x: float, y: float) -> float:
        self._text(word, (x, y), _NOTE, _SOFT)
        return x + _width(word, _NOTE) + 20

    def _rounded(
        self, center: np.ndarray, size: np.ndarray, radius: float, fill: Color, edge: Color, width: float
    ) -> None:
        low, high = (center + self._shift - size / 2) * _FINE, (center + self._shift + size / 2) * _FINE
        self._draw.rounded_rectangle((*low, *high), radius * _FINE, fill, edge, round(width * _FINE))

    def _text(self, words: str, at: tuple[float, float], size: int, color: Color, bold: bool = False) -> None:
        stroke = size * _FINE / 50 if bold else 0  # the bundled font has one weight
        where = (at[0] * _FINE, at[1] * _FINE)
        self._draw.text(where, words, fill=color, font=font(size * _FINE), stroke_width=stroke, stroke_fill=color)


def _blend(low: Color, high: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * min(max(share, 0.0), 1.0)) for a, b in zip(low, high))
    return red, green, blue


def _width(words: str, size: int) -> float:
    return font(size * _FINE).getlength(words) / _FINE


def _wrap(words: str, size: int, width: float, most: int) -> list[str]:
    return wrap_lines(words, font(size * _FINE), width * _FINE, most)
