"""What the everyday world is made of: things and surfaces with their material properties, actions, scenes.

Lengths are in cells (8 px, read as 10 cm), times in seconds, temperatures in °C, densities in g/cm³.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any

from reverie.errors import ConfigError, UnknownNameError, WorldError

AIR_DENSITY = 0.0012
GRID = 8  # cells a side
FLOOR_ROW = 7  # the floor strip; things rest on its upper edge, which is y = 0
LAST_COLUMN = GRID - 2  # of the left column of a thing, which is two cells wide


@dataclass(frozen=True)
class Thing:
    """One thing and its material properties; every outcome follows from these and the physics.

    Equal properties mean equal outcomes: no other file asks for a thing by its name, except to draw or say it.
    """

    name: str
    short: str  # with "the": "the cup"
    indefinite: tuple[str, ...]  # how people name one: "an egg"
    mass: float  # g
    density: float  # g/cm³
    round: bool = False  # a disc that rolls; otherwise a box
    size: tuple[float, float] = (1.9, 1.9)  # width, height in cells
    stands: bool = False  # upright, so that it can fall over
    pieces: int = 1  # standing one behind the other
    elasticity: float = 0.1  # of the speed that an impact gives back, in [0, 1]
    friction: float = 0.5
    rolling: float = 2.0  # share of its speed that rolling loses a second, 1/s
    drag: float = 0.1  # share of its speed that air takes a second, 1/s
    toughness: float = inf  # sudden change of speed on hard ground that it survives, cells/s
    hardness: float = 3.0  # Mohs
    pressed: bool = False  # a thin skin under pressure: it bursts
    melts_at: float = inf
    ignites_at: float = inf
    cooks_at: float = inf
    freezes_at: float = -inf
    warming: float = 0.02  # how fast it takes on the temperature around it, latent heat included, 1/s
    starts_at: float = 20.0
    wick: bool = False  # burns on with a small flame instead of burning away
    contents: str = ""  # the liquid that it holds

    def __post_init__(self) -> None:
        if self.mass <= 0 or self.density <= 0 or self.warming <= 0:
            raise ConfigError(f"{self.name}: mass, density and warming are above 0")
        if not 0 <= self.elasticity <= 1:
            raise ConfigError(f"{self.name}: elasticity lies in [0, 1], got {self.elasticity}")

    @property
    def the(self) -> str:
        return f"the {self.short}"

    @property
    def a(self) -> str:
        return self.indefinite[0]

    @property
    def rises(self) -> bool:
        return self.density < AIR_DENSITY

    @property
    def floats(self) -> bool:
        return self.density < 1.0

    @property
    def fragile(self) -> bool:
        return self.toughness < 12.0

    @property
    def burns(self) -> bool:
        return self.wick or self.ignites_at < inf


def _thing(name: str, *indefinite: str, short: str = "", **properties: Any) -> Thing:
    return Thing(name, short or name, indefinite, **properties)


_ALL = (
    _thing("ball", "a ball", "a rubber ball", mass=150, density=0.4, round=True, elasticity=0.85, friction=0.8,
           rolling=0.9, warming=0.02),
    _thing("egg", "an egg", "a raw egg", mass=60, density=1.05, round=True, elasticity=0.1, friction=0.6, rolling=0.7,
           toughness=4, hardness=1.0, cooks_at=70, freezes_at=-1),
    _thing("glass", "a glass", "a drinking glass", mass=250, density=2.5, size=(1.3, 1.9), stands=True, friction=0.4,
           elasticity=0.15, toughness=6, hardness=5.5, warming=0.03),
    _thing("balloon", "a balloon", "a helium balloon", mass=4, density=0.0009, round=True, elasticity=0.3, drag=5,
           toughness=40, hardness=0.3, pressed=True, warming=1.0),
    _thing("ice cube", "an ice cube", "a cube of ice", short="ice cube", mass=90, density=0.92, elasticity=0.2,
           friction=0.12, toughness=14, hardness=1.5, melts_at=0, warming=0.002, starts_at=-5),
    _thing("candle", "a candle", "a wax candle", mass=120, density=0.9, size=(0.7, 1.9), stands=True, friction=0.7,
           hardness=0.9, melts_at=60, warming=0.006, wick=True),
    _thing("feather", "a feather", "a light feather", mass=2, density=0.1, elasticity=0.02, drag=9, hardness=0.4,
           ignites_at=220, warming=0.25),
    _thing("book", "a book", "a thick book", mass=600, density=0.7, elasticity=0.05, friction=0.5, hardness=1.6,
           ignites_at=230, warming=0.17),
    _thing("domino row", "a domino row", "a row of dominoes", short="domino row", mass=30, density=1.3,
           size=(0.3, 1.6), stands=True, pieces=4, friction=0.5, hardness=2.5, warming=0.02),
    _thing("cup of water", "a cup of water", "a cup with water", short="cup", mass=400, density=1.3, size=(1.4, 1.7),
           stands=True, friction=0.6, toughness=10.5, hardness=6, freezes_at=0, warming=0.01, contents="water"),
    _thing("plate", "a plate", "a china plate", mass=400, density=2.4, elasticity=0.1, friction=0.4, toughness=5,
           hardness=6, warming=0.02),
    _thing("apple", "an apple", "a fresh apple", mass=180, density=0.8, round=True, elasticity=0.15, friction=0.6,
           rolling=3, hardness=0.5, cooks_at=90, freezes_at=-2, warming=0.012),
    _thing("stone", "a stone", "a heavy stone", mass=1500, density=2.6, round=True, elasticity=0.05, friction=0.9,
           rolling=8, hardness=6.5, warming=0.015),
    _thing("paper", "a sheet of paper", "a piece of paper", short="paper", mass=5, density=0.8, elasticity=0.02,
           drag=6, hardness=0.3, ignites_at=230, warming=0.2),
    _thing("butter", "a piece of butter", "butter", "some butter", short="butter", mass=250, density=0.91,
           elasticity=0.02, friction=0.6, hardness=0.2, melts_at=35, warming=0.004),
    _thing("chocolate", "a bar of chocolate", "chocolate", "some chocolate", short="chocolate", mass=100, density=1.3,
           elasticity=0.05, friction=0.5, hardness=0.8, melts_at=34, warming=0.003),
    _thing("teddy bear", "a teddy bear", "a stuffed teddy bear", short="teddy bear", mass=300, density=0.3,
           elasticity=0.1, friction=0.8, hardness=0.7, ignites_at=240, warming=0.17),
    _thing("soap bubble", "a soap bubble", "a bubble", short="soap bubble", mass=1, density=0.002, round=True,
           elasticity=0.0, drag=8, toughness=0.0, hardness=0.1, pressed=True, warming=1.0),
    _thing("bread", "a slice of bread", "a piece of bread", short="bread", mass=40, density=0.3, elasticity=0.05,
           friction=0.6, hardness=0.2, cooks_at=140, ignites_at=300, warming=0.045),
    _thing("wooden block", "a wooden block", "a block of wood", short="wooden block", mass=350, density=0.6,
           elasticity=0.15, friction=0.5, hardness=2.5, ignites_at=260, warming=0.047),
    _thing("metal spoon", "a metal spoon", "a spoon", short="spoon", mass=60, density=7.8, elasticity=0.1,
           friction=0.4, hardness=5.0, warming=0.06),
    _thing("rubber duck", "a rubber duck", "a bath duck", short="rubber duck", mass=60, density=0.2, elasticity=0.4,
           friction=0.6, hardness=1.8, melts_at=110, warming=0.012),
    _thing("bottle of milk", "a bottle of milk", "a milk bottle", short="bottle", mass=700, density=1.2,
           size=(1.2, 1.9), stands=True, friction=0.5, toughness=8, hardness=5.5, freezes_at=-1, warming=0.01,
           contents="milk"),
)  # fmt: skip
THINGS: Mapping[str, Thing] = MappingProxyType({thing.name: thing for thing in _ALL})
SUPPORTS = ("wooden block", "book", "ball", "stone")


@dataclass(frozen=True)
class Surface:
    """What a thing falls or stands on. ``height`` is its upper edge over the floor, in cells."""

    name: str
    on: str  # "on a pillow"
    height: int
    hardness: float  # share of an impact that the thing feels, in [0, 1]
    bounce: float  # share of a thing's elasticity that it leaves, in [0, 1]
    friction: float
    rolling: float  # further loss of rolling speed, 1/s
    liquid: bool = False
    columns: int = 4  # its width; the floor reaches from wall to wall


SURFACES: Mapping[str, Surface] = MappingProxyType({
    "floor": Surface("floor", "on the floor", 0, 1.0, 1.0, 0.8, 0.0, columns=GRID),
    "pillow": Surface("pillow", "on a pillow", 1, 0.12, 0.15, 1.0, 6.0),
    "sand": Surface("sand", "on sand", 1, 0.4, 0.05, 1.2, 12.0),
    "table": Surface("table", "on a table", 2, 1.0, 0.9, 0.8, 0.0),
    "water": Surface("water", "in water", 2, 0.3, 0.0, 0.8, 0.0, liquid=True),
})  # fmt: skip

ACTIONS = ("drop", "let go", "throw", "pour", "push", "tip", "heat", "cool", "cut", "light", "stack", "wait")
HELD_ACTIONS = frozenset({"drop", "let go", "throw", "pour"})
HEIGHTS: Mapping[str, int] = MappingProxyType({"low": 2, "middle": 3, "high": 4})  # bottom of the held thing, cells
DEFAULT_HEIGHT = "high"
DEFAULT_COLUMN = 2
REST = "rest"  # the height of a thing that stands on the surface


@dataclass(frozen=True)
class Scene:
    """A scene before the action, checked: the thing, what it lies on or is held over, and where."""

    thing: str
    action: str
    surface: str = "floor"
    column: int = DEFAULT_COLUMN
    height: str = ""  # "" means the default of the action
    support: str = ""  # what to stack it on, for the action "stack"

    def __post_init__(self) -> None:
        for kind, given, known in (
            ("thing", self.thing, THINGS), ("action", self.action, ACTIONS), ("surface", self.surface, SURFACES),
        ):  # fmt: skip
            if given not in known:
                raise UnknownNameError(kind, str(given), known)
        if isinstance(self.column, bool) or not isinstance(self.column, int) or not 0 <= self.column <= LAST_COLUMN:
            raise WorldError(f"the column is a whole number from 0 to {LAST_COLUMN}, got {self.column!r}.")
        if self.action == "stack" and not self.support:
            object.__setattr__(self, "support", SUPPORTS[0])
        if self.support and self.support not in SUPPORTS:
            raise UnknownNameError("support", self.support, SUPPORTS)
        if not self.height:
            object.__setattr__(self, "height", DEFAULT_HEIGHT if self.action in HELD_ACTIONS else REST)
        if self.height not in heights_over(self.surface, self.action):
            fit = ", ".join(heights_over(self.surface, self.action)) or "none"
            raise WorldError(
                f"'{self.action}' over '{self.surface}' cannot start at the height '{self.height}'. Fitting: {fit}."
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Scene:
        """The scene of ``reset(options=…)``. Raises UnknownNameError or WorldError."""
        known = tuple(cls.__dataclass_fields__)
        for key in options:
            if key not in known:
                raise UnknownNameError("scene option", str(key), known)
        for key in ("thing", "action"):
            if key not in options:
                raise WorldError(f"a scene needs '{key}'; given: {', '.join(options) or 'nothing'}.")
        return cls(**{key: value for key, value in options.items() if value is not None})

    def options(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self.__dataclass_fields__}

    @property
    def surface_column(self) -> int:
        """Left column of the surface: under the thing, ahead where a throw comes down, ending where a push leads."""
        width = SURFACES[self.surface].columns
        ahead = {"throw": 2, "push": -1}.get(self.action, 0)
        return min(max(self.column - 1 + ahead, 0), GRID - width)

    @property
    def held(self) -> bool:
        """A thing lighter than air is held too where it stands: it would not stay."""
        return self.height != REST or bool(self.support) or THINGS[self.thing].rises

    @property
    def bottom(self) -> int:
        """Height of the thing's lower edge, in cells."""
        if self.height != REST:
            return HEIGHTS[self.height]
        return SURFACES[self.surface].height + (2 if self.support else 0)


def heights_over(surface: str, action: str) -> tuple[str, ...]:
    """The heights that an action can start from over a surface; nothing stands or is stacked on water."""
    top = SURFACES[surface]
    if action in HELD_ACTIONS:
        return tuple(name for name, bottom in HEIGHTS.items() if bottom > top.height)
    return () if top.liquid else (REST,)


def scene_count() -> int:
    """How many distinct scenes there are."""
    one_thing = sum(
        len(heights_over(surface, action)) * (len(SUPPORTS) if action == "stack" else 1)
        for surface in SURFACES
        for action in ACTIONS
    )
    return one_thing * len(THINGS) * (LAST_COLUMN + 1)
