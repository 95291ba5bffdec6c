"""Runs a scene: pymunk moves the things, matter.py changes them, and the moments worth a picture come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, exp, inf, pi, sin
from typing import TYPE_CHECKING, Any

from reverie.worlds.everyday import matter
from reverie.worlds.everyday.things import AIR_DENSITY, GRID, SURFACES, THINGS, Scene, Surface, Thing

if TYPE_CHECKING:
    import pymunk

GRAVITY = 20.0  # cells/s²
STEP_S = 1 / 120
LONGEST_S = 7.0
CEILING = 7.0  # cells over the floor
WATER_LEVEL = 2.0
REST_SPEED = 0.08  # cells/s
THROW = (3.0, 3.0)  # cells/s to the right and up
PUSH_SPEED, PUSH_MOMENTUM = 6.0, 2400.0  # cells/s at most; g·cells/s at most
TIP_SPEED = 2.0  # cells/s, of what has no edge to tip over or is too thin to tilt
TIP_TILT = 0.9  # rad: as far as a hand tilts a thing
PIECE_GAP = 0.36  # cells from one piece of a row to the next
HAND_TILT = 0.3  # rad: no hand holds a tall thing quite upright
HAND_OFFSET, HAND_DRIFT = 0.3, 0.8  # cells, cells/s: no hand stacks quite exactly
TOPPLED_FROM = pi / 4
BOUNCE_FROM = 0.6  # cells: a hop that one can see
FALL_FROM, MOVED_FROM = 0.6, 0.5  # cells: what counts as having fallen, and as having moved
DRIFTS_FROM = 3.0  # 1/s: the drag of what comes down slowly
SUNK_TO = 0.1  # cells over the ground
SHED = frozenset({"broken", "popped", "melted", "burnt", "cut"})  # what slips out of a hand
_THING, _GROUND = 1, 2


@dataclass(frozen=True)
class Moment:
    """What there is to see at one time. ``x`` is the thing's middle, ``bottom`` its lower edge, in cells."""

    x: float
    bottom: float
    condition: str = "whole"
    held: bool = False
    tool: str = ""
    puddle: tuple[float, float] | None = None  # middle and height of spilled liquid
    event: str = "rests"
    place: str = "floor"
    off: str = ""  # what it fell off


@dataclass(frozen=True)
class _Point:
    x: float
    bottom: float
    smashed: bool


@dataclass(frozen=True)
class _Motion:
    points: list[_Point]
    first_hit: int  # index of the first contact after a fall, or -1
    toppled: bool


class _Room:
    """Floor, walls, ceiling, the surface and the support, as static shapes."""

    def __init__(self, scene: Scene) -> None:
        import pymunk

        self.space = pymunk.Space()
        self.space.gravity = (0.0, -GRAVITY)
        self.surfaces: dict[pymunk.Shape, Surface] = {}
        self.surface, self.left = SURFACES[scene.surface], scene.surface_column
        floor, high = SURFACES["floor"], self.surface.height
        right = self.left + self.surface.columns
        self._box(floor, -2, -2, GRID + 2, 0)
        self._box(floor, -2, CEILING, GRID + 2, CEILING + 2)
        self._box(floor, -2, -2, 0, CEILING + 2)
        self._box(floor, GRID, -2, GRID + 2, CEILING + 2)
        if self.surface.liquid:  # a tub: two thin sides, the floor is its bottom
            self._box(self.surface, self.left, 0, self.left + 0.2, high / 2)
            self._box(self.surface, right - 0.2, 0, right, high / 2)
        elif high:
            self._box(self.surface, self.left, 0, right, high)
        if scene.support:
            self._support(THINGS[scene.support], scene.column + 1.0, high)

    def _add(self, shape: pymunk.Shape, ground: Surface) -> None:
        shape.elasticity, shape.friction, shape.collision_type = ground.bounce, ground.friction, _GROUND
        self.space.add(shape)
        self.surfaces[shape] = ground

    def _box(self, ground: Surface, left: float, low: float, right: float, high: float) -> None:
        import pymunk

        corners = [(left, low), (right, low), (right, high), (left, high)]
        self._add(pymunk.Poly(self.space.static_body, corners), ground)

    def _support(self, thing: Thing, x: float, low: float) -> None:
        import pymunk

        ground = replace(SURFACES["floor"], name=thing.name, bounce=thing.elasticity)
        if thing.round:  # a round top hardly holds on to anything
            round_top = replace(ground, friction=0.2)
            self._add(pymunk.Circle(self.space.static_body, 1.0, (x, low + 1.0)), round_top)
        else:
            self._box(ground, x - 1.0, low, x + 1.0, low + 2.0)

    def in_water(self, x: float, bottom: float) -> bool:
        return self.surface.liquid and bottom < WATER_LEVEL and self.left < x < self.left + self.surface.columns

    def bodies(self, thing: Thing, x: float, bottom: float, tilt: float) -> list[tuple[pymunk.Body, pymunk.Shape]]:
        return [
            self._body(thing, x + (at - (thing.pieces - 1) / 2) * PIECE_GAP, bottom, tilt) for at in range(thing.pieces)
        ]

    def _body(self, thing: Thing, x: float, bottom: float, tilt: float) -> tuple[pymunk.Body, pymunk.Shape]:
        import pymunk

        wide, tall = thing.size
        mass = thing.mass / thing.pieces
        if thing.round:
            body = pymunk.Body(mass, pymunk.moment_for_circle(mass, 0, tall / 2))
            shape: pymunk.Shape = pymunk.Circle(body, tall / 2)
            body.position = (x, bottom + tall / 2)
        else:
            body = pymunk.Body(mass, pymunk.moment_for_box(mass, thing.size))
            shape = pymunk.Poly.create_box(body, thing.size)
            body.angle = tilt if thing.stands else 0.0
            body.position = (x, bottom + (tall * cos(body.angle) + wide * abs(sin(body.angle))) / 2)
        shape.elasticity, shape.friction, shape.collision_type = thing.elasticity, thing.friction, _THING
        self.space.add(body, shape)
        return body, shape


class _Mover:
    """Moves one thing through a room until it rests."""

    def __init__(self, scene: Scene, thing: Thing, limp: bool, x: float, bottom: float, tilt: float) -> None:
        self.thing, self.room, self.limp = thing, _Room(scene), limp
        self.bodies = self.room.bodies(thing, x, bottom, tilt)
        self.contacts: list[Surface] = []  # of the present step
        self.shock = 0.0
        self.speed = 0.0  # of the fastest body before the step, cells/s
        self.room.space.on_collision(_THING, _GROUND, post_solve=self._touch)
        net = 1.0 if limp else 1.0 - AIR_DENSITY / thing.density
        self.lift = GRAVITY * (1.0 - net)
        if limp:
            self._go_limp()

    def _touch(self, arbiter: pymunk.Arbiter, space: pymunk.Space, data: Any) -> None:
        ground = self.room.surfaces[arbiter.shapes[1]]
        self.contacts.append(ground)
        body = self.bodies[0][0]
        wet = self.room.in_water(body.position.x, body.position.y - self.thing.size[1] / 2)
        share = 0.0 if self.limp else min(ground.hardness, self.room.surface.hardness if wet else 1.0)
        most = (1 + self.thing.elasticity) * self.speed + GRAVITY * STEP_S  # a solver's corner cases can give more
        self.shock = max(self.shock, share * min(arbiter.total_impulse.length / body.mass, most))

    def _go_limp(self) -> None:
        """Shards, puddles and ash neither bounce nor roll."""
        self.limp = True
        for body, shape in self.bodies:
            body.velocity, body.angular_velocity, body.moment = body.velocity * 0.1, 0.0, inf
            shape.elasticity, shape.friction = 0.0, 1.0

    def run(self, start: Callable[[list[Any]], None]) -> _Motion:
        start([body for body, _ in self.bodies])
        points, first_hit, still, flew = [self._point()], -1, 0, False
        while len(points) < LONGEST_S / STEP_S and still < 20:
            self.contacts, self.shock = [], 0.0
            self.speed = max(body.velocity.length for body, _ in self.bodies)
            self._forces()
            self.room.space.step(STEP_S)
            if self.shock > self.thing.toughness and not self.limp:
                self._go_limp()
            if not self.contacts:
                flew = flew or len(points) > 3
            else:
                if flew and first_hit < 0 and not self.room.in_water(points[-1].x, points[-1].bottom):
                    first_hit = len(points)
                self._rub(self.contacts[-1])
            points.append(self._point())
            still = still + 1 if self._slow() else 0
        return _Motion(points, first_hit, self._toppled())

    def _forces(self) -> None:
        thing = self.thing
        for body, _ in self.bodies:
            x, low = body.position.x, body.position.y - thing.size[1] / 2
            drag = thing.drag if not self.limp else 0.5
            push_x, push_y = -drag * body.velocity.x, self.lift - drag * body.velocity.y
            if self.room.in_water(x, low):
                self.shock = max(self.shock, self.room.surface.hardness * body.velocity.length)
                wet = min(1.0, (WATER_LEVEL - low) / thing.size[1])
                middle = self.room.left + self.room.surface.columns / 2
                push_x += wet * (8.0 * (middle - x) - 6.0 * body.velocity.x)
                push_y += wet * (min(GRAVITY / thing.density, 120.0) - 6.0 * body.velocity.y)
            body.apply_force_at_world_point((push_x * body.mass, push_y * body.mass), body.position)

    def _rub(self, ground: Surface) -> None:
        if self.thing.round:
            kept = exp(-(self.thing.rolling + ground.rolling) * STEP_S)
            body = self.bodies[0][0]
            body.velocity = (body.velocity.x * kept, body.velocity.y)
            body.angular_velocity *= kept

    def _slow(self) -> bool:
        return all(
            body.velocity.length < REST_SPEED + GRAVITY * STEP_S * bool(self.contacts) * 0.1
            and (abs(body.angular_velocity) < 0.1 or self.thing.round)
            for body, _ in self.bodies
        )

    def _point(self) -> _Point:
        x = sum(body.position.x for body, _ in self.bodies) / len(self.bodies)
        return _Point(x, min(shape.cache_bb().bottom for _, shape in self.bodies), self.limp)

    def _toppled(self) -> bool:
        fallen = sum(abs((body.angle + pi / 2) % pi - pi / 2) > TOPPLED_FROM for body, _ in self.bodies)
        return self.thing.stands and 2 * fallen > len(self.bodies)


def opening(scene: Scene) -> Moment:
    """The scene before anything is done."""
    return Moment(
        scene.column + 1.0, float(scene.bottom), held=scene.held, place="hand" if scene.held else scene.surface
    )


def unfold(scene: Scene, action: str) -> tuple[Moment, ...]:
    """The one or two moments that follow on ``action``; the last one is at rest."""
    start, thing = opening(scene), THINGS[scene.thing]
    if action in ("heat", "cool"):
        return _expose(scene, start, *(("flame", matter.FLAME) if action == "heat" else ("ice", matter.FREEZER)))
    if action == "light":
        return _touch_with_match(scene, start, matter.touched_by_match(thing))
    if action == "cut":
        return (_changed(scene, replace(start, tool="knife"), matter.cut(thing), "cut"),)
    if action == "wait":
        return (_changed(scene, start, matter.warmed(thing, *matter.ROOM), "waits"),)
    if action == "pour":
        return (_poured(scene, start, thing),)
    return _moved(scene, start, thing, action)


def _expose(scene: Scene, start: Moment, tool: str, around: tuple[float, float]) -> tuple[Moment, ...]:
    """First the tool beside the thing, then what heat or cold has made of it."""
    thing, (degrees, seconds) = THINGS[scene.thing], around
    event = "heats" if tool == "flame" else "cools"
    early = matter.warmed(thing, degrees, seconds * 0.3)
    early = early if early in ("burning", "popped") else "whole"
    first = _changed(scene, replace(start, tool=tool), early, event)
    if early == "popped":
        return (first,)
    end = matter.burnt_out(matter.warmed(thing, degrees, seconds))
    return first, _changed(scene, start, end, event)


def _touch_with_match(scene: Scene, start: Moment, condition: str) -> tuple[Moment, ...]:
    first = _changed(scene, replace(start, tool="match"), condition, "lights")
    burnt = matter.burnt_out(condition)
    return (first,) if burnt == condition else (first, _changed(scene, start, burnt, "lights"))


def _changed(scene: Scene, start: Moment, condition: str, event: str) -> Moment:
    """``start`` in a new condition; what no hand can hold any more falls down."""
    after = replace(start, condition=condition, event=event)
    if not (start.held and condition in SHED):
        return after
    motion = _Mover(scene, THINGS[scene.thing], True, start.x, start.bottom, 0.0).run(lambda bodies: None)
    return _settle(scene, replace(after, held=False), motion.points[-1])


def _poured(scene: Scene, start: Moment, thing: Thing) -> Moment:
    if not thing.contents:
        return replace(start, event="pours")
    return replace(start, condition="empty", event="pours", puddle=_spill(scene, start.x + 0.5, start.bottom + 1.0))


def _spill(scene: Scene, x: float, bottom: float) -> tuple[float, float] | None:
    """Where drops of liquid that start at (x, bottom) come to lie; None in water, where they mix."""
    drop = Thing("drop", "drop", ("a drop",), 1.0, 1.0, size=(0.2, 0.2), elasticity=0.0, friction=1.0)
    lows: list[_Point] = []
    for offset in (-0.3, 0.0, 0.3):
        motion = _Mover(scene, drop, True, min(max(x + offset, 0.2), GRID - 0.2), bottom, 0.0).run(lambda bodies: None)
        lows.append(motion.points[-1])
    middle = sorted(lows, key=lambda point: point.bottom)[1]
    return None if _in_tub(scene, middle.x, middle.bottom) else (sum(p.x for p in lows) / 3, middle.bottom)


def _in_tub(scene: Scene, x: float, bottom: float) -> bool:
    surface, left = SURFACES[scene.surface], scene.surface_column
    return surface.liquid and bottom < WATER_LEVEL and left < x < left + surface.columns


def _start_of(scene: Scene, thing: Thing, action: str) -> tuple[float, float, Callable[[list[Any]], None]]:
    """Offset to the side (cells), tilt (rad) and the launch of an action that moves the thing."""
    push = min(PUSH_SPEED, PUSH_MOMENTUM / thing.mass)

    def nothing(bodies: list[Any]) -> None:
        return None

    def throw(bodies: list[Any]) -> None:
        for body in bodies:
            body.velocity = THROW

    def shove(bodies: list[Any]) -> None:
        bodies[0].velocity = (push, 0.0)

    def tip(bodies: list[Any]) -> None:
        speed, (wide, tall) = min(TIP_SPEED, PUSH_MOMENTUM / thing.mass), thing.size
        if thing.round:
            bodies[0].velocity = (speed, 0.0)
        elif thing.pieces > 1:
            bodies[0].apply_impulse_at_local_point((2 * speed * bodies[0].mass, 0.0), (-wide / 2, tall / 2))

    side = 1.0 if scene.column <= 3 else -1.0

    def steady(bodies: list[Any]) -> None:
        for body in bodies:
            body.velocity = (side * HAND_DRIFT, 0.0)

    if action == "throw":
        return 0.0, -HAND_TILT, throw
    if action == "push":
        return 0.0, 0.0, shove
    if action == "tip":
        return (0.0, 0.0, tip) if thing.pieces > 1 else (0.0, -TIP_TILT, tip)
    if action == "stack" and scene.support:
        return side * HAND_OFFSET, 0.0, steady
    return 0.0, -HAND_TILT if scene.held else 0.0, nothing


def _moved(scene: Scene, start: Moment, thing: Thing, action: str) -> tuple[Moment, ...]:
    offset, tilt, launch = _start_of(scene, thing, action)
    mover = _Mover(scene, thing, False, start.x + offset, start.bottom, tilt)
    motion = mover.run(launch)
    end = motion.points[-1]
    last = _settle(scene, replace(start, held=False), end)
    last = _end_of(scene, thing, motion, last)
    if last.condition == "spilled":
        last = replace(last, puddle=_spill(scene, end.x + 2.0, end.bottom + 0.3))
    return (*_middle(scene, thing, motion, start, last), last)


def _settle(scene: Scene, moment: Moment, end: _Point) -> Moment:
    """``moment`` moved to where a motion ended, with the name of that place."""
    room_top = end.bottom > CEILING - 2.5 and THINGS[scene.thing].rises and moment.condition == "whole"
    base = SURFACES[scene.surface].height
    if room_top:
        place = "ceiling"
    elif _in_tub(scene, end.x, end.bottom):
        place = "water"
    elif scene.support and end.bottom > base + 1.6:
        place = scene.support
    else:
        place = scene.surface if end.bottom > base - 0.5 else "floor"
    return replace(moment, x=end.x, bottom=end.bottom, place=place)


def _end_of(scene: Scene, thing: Thing, motion: _Motion, last: Moment) -> Moment:
    """``last`` with the condition and the event of a thing that came to rest after a motion."""
    start, end = motion.points[0], motion.points[-1]
    off = ""
    if start.bottom - end.bottom > FALL_FROM:
        off = scene.support or ("" if scene.held else scene.surface)
    if end.smashed:
        return replace(last, condition=matter.smashed(thing), event="smashes", off=off)
    if last.place == "water":
        return replace(last, event="floats" if end.bottom > SUNK_TO else "sinks")
    if motion.toppled:
        return replace(last, condition="spilled" if thing.contents else "toppled", event="topples", off=off)
    return replace(last, event=_way_of(scene, thing, motion, last), off=off)


def _way_of(scene: Scene, thing: Thing, motion: _Motion, last: Moment) -> str:
    """How a thing that stayed whole went."""
    start, end = motion.points[0], motion.points[-1]
    if last.place == "ceiling":
        return "rises"
    if last.place == scene.support:
        return "stays"
    if start.bottom - end.bottom > FALL_FROM:
        if _apex(motion) is not None:
            return "bounces"
        return "drifts" if thing.drag >= DRIFTS_FROM else "lands"
    if abs(end.x - start.x) >= MOVED_FROM:
        return "rolls" if thing.round else "slides"
    return "stays" if scene.support else "rests"


def _apex(motion: _Motion) -> int | None:
    """Index of the top of the first visible bounce after the first contact."""
    if motion.first_hit < 0:
        return None
    points = motion.points
    low = points[motion.first_hit].bottom
    for at in range(motion.first_hit + 1, len(points) - 1):
        here = points[at].bottom
        if here >= points[at + 1].bottom and here - low > BOUNCE_FROM:
            return at
        low = min(low, here)
    return None


def _middle(scene: Scene, thing: Thing, motion: _Motion, start: Moment, last: Moment) -> tuple[Moment, ...]:
    """The moment between: the top of the first bounce, or half of the way."""
    points = motion.points
    apex = _apex(motion)
    if apex is not None:
        at, event = apex, "bounces"
    else:
        first, end = points[0], points[-1]
        fall, run = abs(end.bottom - first.bottom), abs(end.x - first.x)
        if fall < 1.0 and run < 1.5:
            return ()
        if fall >= run:
            gone = [abs(point.bottom - first.bottom) for point in points]
        else:
            gone = [abs(point.x - first.x) for point in points]
        half = max(fall, run) / 2
        at = next(index for index, way in enumerate(gone) if way >= half)
        event = "rises" if end.bottom > first.bottom + 1 else "falls" if fall >= run else "moves"
    point = points[at]
    condition = matter.smashed(thing) if point.smashed else "whole"
    return (replace(start, x=point.x, bottom=point.bottom, condition=condition, held=False, event=event, place="air"),)
