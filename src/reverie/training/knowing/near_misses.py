"""Questions about the packaged worlds, taught ones and near misses of them: what sounds taught, and must not be known.

A near miss is a taught question of which one thing is wrong: it takes for granted what the simulator denies, names a
thing, a place or a number that the world does not have, uses its words in another sense, asks about a scene that is not
there, or what two things share that share nothing. Where an answer may say so, it is right to.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from reverie.training.knowing.questions import NEVER, KeyedQuestion
from reverie.worlds import make_world, record_episode
from reverie.worlds.everyday import is_held_out, is_test_scene, questions, why
from reverie.worlds.everyday.compare import COMMON, SAID
from reverie.worlds.everyday.properties import PROPERTIES
from reverie.worlds.everyday.things import THINGS, Scene

__all__ = ["TAUGHT", "near_misses", "taught_questions"]

TAUGHT = "taught"
_PREMISES = frozenset(("break", "bounce", "pop", "melt", "catch fire", "freeze", "float", "sink", "rise"))
_DENIES = r"^(it (does|is)|that is not so|no\b)"
_OTHER_THINGS = (
    "a cat|a phone|a hammer|a diamond|a tomato|a laptop|a baby|a car|a plastic glass|a shadow|a dream|a violin|a "
    "snowflake|a dinosaur egg|an egg timer|a chocolate factory|a stone bridge|a bookshelf|a glass eye|a butterfly|a "
    "ballpoint pen|a paper plane|a spoonful of sugar|a candlestick|an iceberg|a feather duster|a balloonist|a "
    "doorbell|a wooden spoon"
).split("|")
_OTHER_PLACES = (
    "in space|on the moon|into the sea|in a black hole|into a volcano|on the stairs|from an aeroplane|in a dream|in "
    "a sandstorm|in the snow|on a trampoline|in zero gravity|behind the sofa|at the North Pole|in a lift that falls"
).split("|")
_OTHER_SENSES = (
    "drop the subject|drop a hint|drop out of school|drop the charges|drop a course|push someone too far|push your "
    "luck|push for reform|cut taxes|cut corners|cut a long story short|cut class|throw a party|throw a tantrum|throw "
    "in the towel|let go of your anger|let go of the past|let go of a chance|heat up the debate|light up a room with "
    "a smile|break the news|break a promise|break the ice at a party|melt someone's heart|pour out your heart|tip a "
    "waiter|stack the odds against someone|freeze your bank account|wait for love|float an idea|burn a bridge with a "
    "friend"
).split("|")
_OTHER_ASKS = (
    "What colour is {x}?|How much does {x} cost?|Who invented {x}?|Where can I buy {x}?|How old is {x}?|How do you "
    "make {x}?|Does {x} belong to you?|Who dropped {x}?|Is {x} beautiful?|How many people own {x}?|Why do children "
    "like {x}?|What is the French word for {x}?|Is {x} in love with {y}?|When was {x} first sold?|Can {x} think?|What"
    " does {x} smell like?|How long does it take to draw {x}?|Which shop sells the best one, {x} or {y}?"
).split("|")
_COUNTS = ("three", "a hundred", "no", "half of", "two thirds of", "seventeen", "a second")
_LAKE = (
    "What happens if you go {moves}?|Where does the elf end up after {moves}?|Is it safe to go {moves}?|What comes of"
    " going {moves}?|In which row is the elf after {moves}?|Does going {moves} lead into a hole?"
).split("|")


def taught_questions(count: int, seed: int) -> list[KeyedQuestion]:
    """``count`` different questions about everyday scenes that no training saw, with what is right."""
    world, rng = make_world("Everyday"), np.random.default_rng([seed, 21])
    found: dict[str, KeyedQuestion] = {}
    while len(found) < count:
        options = world.sample_options(rng)
        if is_held_out(options) or not is_test_scene(options):
            continue
        asked = [one for one in world.narrator.questions(record_episode(world, options), rng) if one.form != "picture"]
        one = asked[int(rng.integers(len(asked)))]
        answers = "|".join(re.escape(text.rstrip(".")) for text in (one.answer, *one.accepts))
        found[one.text] = KeyedQuestion(one.text, kind=TAUGHT, pattern=rf"^\W*(?:{answers})\b")
    return list(found.values())


def near_misses(count: int, seed: int) -> list[KeyedQuestion]:
    """``count`` different near misses, as many of each kind."""
    rng = np.random.default_rng([seed, 22])
    found: dict[str, KeyedQuestion] = {}
    while len(found) < count:
        kind = tuple(_KINDS)[len(found) % len(_KINDS)]
        made = _KINDS[kind](rng)
        if made is not None and made[0] not in found:
            found[made[0]] = KeyedQuestion(made[0], kind=kind, pattern=made[1] or NEVER)
    return list(found.values())


Made = tuple[str, str] | None  # a question, and what an answer that is right to it matches, "" for none


def _false_premise(rng: np.random.Generator) -> Made:
    case = questions.decided(_scene(rng))
    verbs = sorted(_PREMISES.intersection(questions.verbs(case))) if case else []
    if case is None or not verbs:
        return None
    verb = str(rng.choice(verbs))
    frames = why.DID_NOT if questions.holds(case, verb) else why.HAPPENED
    return questions.Filler(case, rng).fill(str(rng.choice(frames)), verb), _DENIES


def _swapped_thing(rng: np.random.Generator) -> Made:
    asked, thing = _about_scene(rng)
    return _replaced(asked, thing, str(rng.choice(_OTHER_THINGS))), ""


def _swapped_place(rng: np.random.Generator) -> Made:
    asked, _ = _about_scene(rng)
    return f"{asked.rstrip('?.')} {rng.choice(_OTHER_PLACES)}?", ""


def _wrong_count(rng: np.random.Generator) -> Made:
    asked, thing = _about_scene(rng)
    short, number = THINGS[thing].short, str(rng.choice(_COUNTS))
    many = f"{number} {short if number == 'a second' else short + 's'}"
    return _replaced(asked, thing, many), ""


def _made_up_thing(rng: np.random.Generator) -> Made:
    asked, thing = _about_scene(rng)
    word = "".join(rng.choice(["blor", "zin", "quag", "fip", "tren", "mol", "kash", "dru", "wep"], 2))
    return _replaced(asked, thing, f"a {word}"), ""


def _other_sense(rng: np.random.Generator) -> Made:
    frame = str(rng.choice(["What happens when you {}?", "What happens if I {}?", "If you {}, what happens?"]))
    return frame.format(rng.choice(_OTHER_SENSES)), ""


def _other_question(rng: np.random.Generator) -> Made:
    x, y = (str(rng.choice(THINGS[str(name)].indefinite)) for name in rng.permutation(sorted(THINGS))[:2])
    return str(rng.choice(_OTHER_ASKS)).format(x=x, y=y), ""


def _no_scene(rng: np.random.Generator) -> Made:
    moves = ", ".join(rng.choice(["left", "right", "up", "down"], int(rng.integers(1, 5))))
    return str(rng.choice(_LAKE)).format(moves=moves), ""


def _nothing_in_common(rng: np.random.Generator) -> Made:
    x, y = (THINGS[str(name)] for name in rng.permutation(sorted(THINGS))[:2])
    if any(one.holds(x) and one.holds(y) for one in PROPERTIES if one.name in SAID):
        return None
    return str(rng.choice(COMMON)).format(x=rng.choice(x.indefinite), y=rng.choice(y.indefinite)), r"^nothing\b"


_KINDS: dict[str, Callable[[np.random.Generator], Made]] = {
    "false premise": _false_premise,
    "swapped thing": _swapped_thing,
    "swapped place": _swapped_place,
    "wrong count": _wrong_count,
    "made-up thing": _made_up_thing,
    "other sense": _other_sense,
    "other question": _other_question,
    "no scene": _no_scene,
    "nothing in common": _nothing_in_common,
}


def _scene(rng: np.random.Generator) -> Scene:
    return Scene.of(make_world("Everyday").sample_options(rng))


def _about_scene(rng: np.random.Generator) -> tuple[str, str]:
    """A taught question about what is done to a thing, and that thing."""
    while True:
        case = questions.decided(_scene(rng))
        if case is not None:
            return questions.Filler(case, rng).fill(str(rng.choice(questions.HAPPENS))), case.thing.name


def _replaced(asked: str, thing: str, by: str) -> str:
    """``asked`` of something else; the first place that names the thing says so, later ones say "it"."""
    names = sorted((*THINGS[thing].indefinite, THINGS[thing].the), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, names)), by, asked, count=1)
