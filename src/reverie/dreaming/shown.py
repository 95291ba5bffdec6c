"""What a question shows, and what it says is done there: looked at and read before anything is dreamed.

Every world that was taught looks at a picture; the one that finds itself in it, painted anew as it paints itself, is
the one that is dreamed of. What keeps an answer from being known is a ``Check`` that did not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reverie.dreaming.model import Model
from reverie.dreaming.pictures import fit_picture, open_picture
from reverie.dreaming.question import Question
from reverie.dreaming.rephrase import no_scene
from reverie.dreaming.scenes import open_scene
from reverie.dreaming.simulate import Walk, walk
from reverie.nouns import Check, Dream, Frame, Part
from reverie.worlds import World
from reverie.worlds.contract import Heard, Sighting

__all__ = ["LEG", "Shown", "dreamed_checks", "look", "taught_form"]

LEG = 6  # actions of one dream; what comes before them in a longer walk is dreamed step by step
_REPRODUCED = 8.0  # levels (of 255) that the image tokenizer may always be off by, on average


@dataclass(frozen=True, eq=False)
class Shown:
    """What a question starts from, if anything.

    ``frame``: what is seen; ``world``: which it is known to be of; ``asked``: the question as it was taught;
    ``actions``: what a dream of it must do, () where it may do anything.
    """

    asked: str
    frame: Frame | None = None
    world: World | None = None
    actions: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


def look(model: Model, question: Question, seed: int) -> Shown:
    """What ``question`` shows and says is done. Raises PictureError and WorldError for what cannot be opened."""
    if question.pictures:
        frame, world, checks = _pictured(model, question)
    elif question.shown:
        world, _ = open_scene(question.world or model.usual_world, question.scene, seed)
        frame, checks = model.tokenizer.encode([np.asarray(world.render())], world.cell_px)[0], ()
    else:
        frame, world, checks = None, None, ()
    own = None if world is None else world.hear(question.text)
    if frame is None or own is None or not own.actions or (not question.pictures and question.scene is None):
        checks += _missing(model, question, world if frame is not None else None)
    if frame is None or world is None or own is None:
        return Shown(question.cleaned, frame, world, (), checks)
    checks += (_moves(own),)
    if own.problem:
        return Shown(question.cleaned, frame, world, (), checks)
    frame, actions = _legs(model, world, frame, own.actions)
    return Shown(taught_form(own, actions), frame, world, actions, checks)


def taught_form(heard: Heard, actions: Sequence[str]) -> str:
    """The question about ``actions`` as a taught model reads it."""
    return Question(heard.text(actions)).cleaned


def _pictured(model: Model, question: Question) -> tuple[Frame, World | None, tuple[Check, ...]]:
    """The frame of a picture, the world that finds itself in it, and whether one does."""
    image = open_picture(question.pictures[0])
    named = [question.world] if question.world else [*model.worlds]
    sights = [(world, world.sight(np.asarray(image))) for world in map(model.world, named)]
    seen = [(world, sight) for world, sight in sights if sight.picture is not None]
    if not seen:
        cell_px, side = model.usual_size
        frame = model.tokenizer.encode([fit_picture(image, side)], cell_px)[0]
        return frame, None, (Check("picture", False, _unseen(sights), 0.0),)
    world, sight = max(seen, key=lambda one: one[1].likeness)
    assert sight.picture is not None
    frame = model.tokenizer.encode([sight.picture], world.cell_px)[0]
    off, own = (_reproduced(model, one, world) for one in (sight.picture, world.backdrop()))
    if off > max(_REPRODUCED, 2 * own):
        why = f"the model does not see what is in the picture: its own image of it is {off:.0f} levels off"
        return frame, world, (Check("picture", False, why, 0.0),)
    return frame, world, (Check("picture", True, sight.why, min(1.0, sight.likeness)),)


def _unseen(sights: Iterable[tuple[World, Sighting]]) -> str:
    """What speaks against every world; the most of it about the one that it is most like."""
    return max((sight for _, sight in sights), key=lambda one: one.likeness).why


def _reproduced(model: Model, picture: np.ndarray, world: World) -> float:
    """How far off the tokenizer paints a picture, in levels on average."""
    (frame,) = model.tokenizer.encode([picture], world.cell_px)
    (painted,) = model.tokenizer.decode([frame], world.cell_px)
    return float(np.abs(painted.astype(np.float32) - picture).mean())


def _missing(model: Model, question: Question, shown: World | None) -> tuple[Check, ...]:
    """A question about a scene that is not shown."""
    for name in model.worlds:
        heard = model.world(name).hear(question.text)
        if heard is None or not heard.actions or heard.strange:
            continue
        if shown is None or (name == shown.name and not question.pictures):
            return (no_scene(name),)
        if name != shown.name:
            return (Check("scene", False, f"it asks about the world {name}, and what is shown is {shown.name}", 0.0),)
    return ()


def _moves(heard: Heard) -> Check:
    if heard.problem:
        return Check("moves", False, heard.problem, 0.0)
    said = ", ".join(heard.actions[:LEG]) + (f" … ({len(heard.actions)} in all)" if len(heard.actions) > LEG else "")
    return Check("moves", True, f"what is done was read as: {said}")


def _legs(model: Model, world: World, frame: Frame, actions: tuple[str, ...]) -> tuple[Frame, tuple[str, ...]]:
    """Where the last ``LEG`` actions begin, the others having been dreamed, and what is left to do from there."""
    if len(actions) <= LEG:
        return frame, actions
    before = Walk(Part("", frame), actions[:-LEG], endings=world.endings)
    walk(model.dreamer, [before])
    last = before.triplets[-1]
    ended = last.result.text in world.endings  # its last step is dreamed again, for all to see
    there = last.what.frame if ended else last.result.frame
    assert there is not None
    done = len(before.triplets) - ended
    return there, actions[done:] if not ended else actions[done : done + 1]


# after the dream ----------------------------------------------------------------------------------------------------


def dreamed_checks(dream: Dream, actions: Sequence[str], endings: Iterable[str]) -> tuple[Check, ...]:
    """Whether ``dream`` does all of ``actions``, or as many as something ends in ``endings``."""
    checks: tuple[Check, ...] = ()
    if actions:
        done = [triplet.action.text for triplet in dream.triplets]
        over = bool(dream.triplets) and dream.triplets[-1].result.text in endings
        whole = done == [*actions[: len(done)]] and (over or len(done) == len(actions))
        why = f"{len(done)} of {len(actions)} moves were dreamed" if done == [*actions[: len(done)]] else (
            f"the dream goes another way: {', '.join(done)}"
        )  # fmt: skip
        checks += (Check("walk", whole, why, 1.0 if whole else 0.0),)
    return checks
