"""The question grammar: natural questions about an episode or a property, with true answers from the simulator.

A question names all that decides its answer. Unsaid are the bare floor, the high hand, and the column: so it is only
asked where the scene in the middle of the room has the same outcome. Questions of the form ``picture`` are about the
scene itself and need its picture.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.worlds.contract import Episode, Question
from reverie.worlds.everyday.course import chain
from reverie.worlds.everyday.picture import main_thing
from reverie.worlds.everyday.properties import Property, properties_of
from reverie.worlds.everyday.things import DEFAULT_HEIGHT, HELD_ACTIONS, SURFACES, THINGS, Scene, Thing
from reverie.worlds.everyday.wording import CONDITION_WORDS, Outcome, cooked_words, liquid_of, outcome, place_words

# action → "base | gerund | passive"; {x} is the thing, {y} the support; the surface and the height follow
VERBS: dict[str, tuple[str, ...]] = {
    "drop": (
        "drop {x} | dropping {x} | {x} is dropped",
        "let {x} fall | letting {x} fall | {x} falls",
    ),
    "let go": (
        "let go of {x} | letting go of {x} | {x} is let go",
        "release {x} | releasing {x} | {x} is released",
    ),
    "throw": (
        "throw {x} | throwing {x} | {x} is thrown",
        "toss {x} | tossing {x} | {x} is tossed",
    ),
    "pour": (
        "pour {x} out | pouring {x} out | {x} is poured out",
        "turn {x} upside down | turning {x} upside down | {x} is turned upside down",
    ),
    "push": (
        "push {x} | pushing {x} | {x} is pushed",
        "give {x} a push | giving {x} a push | {x} gets a push",
        "shove {x} | shoving {x} | {x} is shoved",
    ),
    "tip": (
        "tip {x} over | tipping {x} over | {x} is tipped over",
        "tilt {x} | tilting {x} | {x} is tilted",
    ),
    "heat": (
        "heat {x} | heating {x} | {x} is heated",
        "heat {x} with a flame | heating {x} with a flame | {x} is heated with a flame",
        "warm {x} over a flame | warming {x} over a flame | {x} gets very hot",
    ),
    "cool": (
        "cool {x} | cooling {x} | {x} is cooled",
        "cool {x} with ice | cooling {x} with ice | {x} gets very cold",
        "chill {x} | chilling {x} | {x} is chilled",
        "freeze {x} | freezing {x} | {x} is put on ice",
    ),
    "cut": (
        "cut {x} | cutting {x} | {x} is cut with a knife",
        "cut {x} with a knife | cutting {x} with a knife | a knife is pressed into {x}",
        "try to cut {x} | trying to cut {x} | someone takes a knife to {x}",
    ),
    "light": (
        "light {x} | lighting {x} | {x} is lit with a match",
        "hold a match to {x} | holding a match to {x} | a match is held to {x}",
        "light {x} with a match | lighting {x} with a match | a burning match touches {x}",
    ),
    "stack": (
        "stack {x} on {y} | stacking {x} on {y} | {x} is stacked on {y}",
        "put {x} on top of {y} | putting {x} on top of {y} | {x} is put on top of {y}",
        "place {x} on {y} | placing {x} on {y} | {x} is placed on {y}",
    ),
    "wait": (
        "leave {x} alone | leaving {x} alone | {x} is left alone",
        "do nothing with {x} | doing nothing with {x} | nobody touches {x}",
        "leave {x} for a while | leaving {x} for a while | {x} is left for a while",
    ),
}
_ONTO = {"drop", "throw"}  # actions that lead to the surface; the others happen over it or on it
_OVER = {"let go", "pour"}
_MOTIONS = ("drop", "let go", "throw", "push", "tip", "stack")
_SUBJECTS = ("you", "you", "you", "I", "we", "someone")
# {s}: subject, {b} {g} {p}: base, gerund, passive about {x}; {b_it} {g_it} {p_it}: the same about "it"
HAPPENS = (
    "What happens when {s} {b}?",
    "What happens if {s} {b}?",
    "What will happen if {s} {b}?",
    "What will happen when {s} {b}?",
    "If {s} {b}, what happens?",
    "When {s} {b}, what happens?",
    "If {s} {b}, what will happen?",
    "What happens after {g}?",
    "What is the result of {g}?",
    "What happens when {p}?",
    "What happens if {p}?",
    "Tell me what happens when {s} {b}.",
    "Suppose {s} {b}. What happens?",
    "What happens to {x} if {s} {b_it}?",
    "What happens to {x} when {p_it}?",
    "What is going to happen if {s} {b}?",
)
WILL = (
    "Will {x} {v} if {s} {b_it}?",
    "Will {x} {v} when {s} {b_it}?",
    "Does {x} {v} when {s} {b_it}?",
    "Does {x} {v} if {s} {b_it}?",
    "If {s} {b}, will it {v}?",
    "If {s} {b}, does it {v}?",
    "When {s} {b}, will it {v}?",
    "Will {x} {v} if {p_it}?",
    "Does {x} {v} when {p_it}?",
    "Is {x} going to {v} if {s} {b_it}?",
    "Do you think {x} will {v} when {s} {b_it}?",
    "Would {x} {v} after {g_it}?",
)
STILL_WHOLE = (
    "Is {x} still whole after {g_it}?",
    "Is {x} still whole when {s} {b_it}?",
    "If {s} {b}, is it still whole?",
    "Does {x} survive if {s} {b_it}?",
    "Will {x} stay whole if {s} {b_it}?",
    "Will {x} be whole after {g_it}?",
    "Does {x} stay in one piece when {p_it}?",
)
WHERE = (
    "Where does {x} end up when {s} {b_it}?",
    "Where does {x} end up if {s} {b_it}?",
    "Where will {x} be after {g_it}?",
    "Where is {x} after {g_it}?",
    "If {s} {b}, where does it end up?",
    "If {s} {b}, where will it be?",
    "When {s} {b}, where does it go?",
    "Where does {x} come to rest when {p_it}?",
    "Where do you find {x} after {g_it}?",
    "Where does {x} go when {s} {b_it}?",
)
AFTER = (
    "What does {x} look like after {g_it}?",
    "What does {x} look like when {s} {b_it}?",
    "How does {x} look after {g_it}?",
    "What state is {x} in after {g_it}?",
    "In what condition is {x} after {g_it}?",
    "If {s} {b}, what does it look like afterwards?",
    "If {s} {b}, how does it look then?",
    "What is {x} like after {g_it}?",
    "What does {x} look like once {p_it}?",
)


@dataclass(frozen=True)
class Case:
    """One situation to ask about, and what it comes to."""

    scene: Scene
    outcome: Outcome
    state: dict[str, Any]  # the last one

    @property
    def thing(self) -> Thing:
        return THINGS[self.scene.thing]

    @property
    def meta(self) -> dict[str, Any]:
        scene = self.scene
        return {
            "thing": scene.thing, "action": scene.action, "surface": scene.surface, "height": scene.height,
            "support": scene.support,
        }  # fmt: skip


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def play(scene: Scene) -> Case:
    """What a scene comes to."""
    state = json.loads(chain(scene, scene.action)[-1])
    return Case(scene, outcome(THINGS[scene.thing], scene.action, state), state)


def _middle(scene: Scene) -> Scene:
    """The same situation in the middle of the room."""
    return Scene(scene.thing, scene.action, scene.surface, height=scene.height, support=scene.support)


def decided(scene: Scene) -> Case | None:
    """The case, where its words decide it whatever the column; None where this column is an exception."""
    here, usual = play(scene), play(_middle(scene))
    same = (here.outcome.clause, here.state["place"]) == (usual.outcome.clause, usual.state["place"])
    return usual if same else None


class Filler:
    """Fills question frames with random wordings."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case, self.rng = case, rng

    def _one(self, wordings: Any) -> Any:
        return wordings[int(self.rng.integers(len(wordings)))]

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _at(self) -> str:
        """Surface and height, where they are not the default or by chance."""
        scene = self.case.scene
        surface, action = SURFACES[scene.surface], scene.action
        words = ""
        if scene.surface != "floor" or self._chance(0.25):
            name = f"the {surface.name}" if self._chance(0.3) else surface.on.split(" ", 1)[1]
            by = [surface.on.split(" ", 1)[0]]
            if action in _ONTO:
                by.append("into" if surface.liquid else "onto")
            elif action in _OVER:
                by = ["over", "above"]
            elif action == "push" and self.case.state["off"]:
                by.append("off")
            words = f" {self._one(by)} {name}"
        if action in HELD_ACTIONS and scene.height != DEFAULT_HEIGHT:
            low = ("from low down", "from a low height", "from just above")
            middle = ("from half way up", "from a medium height", "from half height")
            words += f" {self._one(low[:2] if scene.height == 'low' else middle)}"
        elif action in HELD_ACTIONS and self._chance(0.15):
            words += f" {self._one(('from high up', 'from a great height'))}"
        return words

    def fill(self, frame: str, verb: str = "") -> str:
        scene, at = self.case.scene, self._at()
        wordings = [words for words in VERBS[scene.action] if not verb or verb not in words]
        base, gerund, passive = (f"{words}{at}" for words in self._one(wordings).split(" | "))
        x = self.case.thing.the if self._chance(0.3) else self._one(self.case.thing.indefinite)
        y = THINGS[scene.support].a if scene.support else ""
        subject = self._one(_SUBJECTS)
        said = {"b": base, "g": gerund, "p": passive}
        words = {key: text.format(x=x, y=y) for key, text in said.items()}
        words |= {f"{key}_it": text.format(x="it", y=y) for key, text in said.items()}
        if subject == "someone":
            words |= {key: _third_person(words[key]) for key in ("b", "b_it")}
        text = frame.format(s=subject, x=x, v=verb, **words)
        text = text[0].upper() + text[1:]
        if self._chance(0.08):
            text = text.rstrip("?.").lower()
        return text


def _third_person(base: str) -> str:
    verb, rest = base.split(" ", 1)
    ending = "es" if verb.endswith(("s", "sh", "ch", "ss", "do", "go")) else "ies" if verb == "try" else "s"
    return f"{'tr' if verb == 'try' else verb}{ending} {rest}"


# what one can ask of an action: verb → whether an outcome is that
_TESTS: dict[str, Callable[[Outcome, dict[str, Any]], bool]] = {
    "break": lambda outcome, state: outcome.kind == "breaks",
    "pop": lambda outcome, state: outcome.kind == "pops",
    "melt": lambda outcome, state: outcome.kind == "melts",
    "catch fire": lambda outcome, state: outcome.kind in ("burns", "is lit"),
    "freeze": lambda outcome, state: outcome.kind == "freezes",
    "get hot": lambda outcome, state: outcome.kind == "gets hot",
    "bounce": lambda outcome, state: outcome.kind == "bounces",
    "float": lambda outcome, state: outcome.kind == "floats",
    "sink": lambda outcome, state: outcome.kind == "sinks",
    "rise": lambda outcome, state: outcome.kind == "rises",
    "fall over": lambda outcome, state: outcome.kind in ("falls over", "spills"),
    "stay on top": lambda outcome, state: outcome.kind == "stays on top",
    "fall off": lambda outcome, state: bool(state["off"]),
    "change": lambda outcome, state: outcome.kind != "nothing",
}
ASKED: dict[str, tuple[str, ...]] = {
    "drop": ("break", "bounce", "rise", "pop"),
    "let go": ("break", "bounce", "rise", "pop"),
    "throw": ("break", "bounce", "rise", "pop"),
    "push": ("break", "fall over", "rise", "fall off"),
    "tip": ("break", "fall over", "rise"),
    "stack": ("break", "stay on top", "fall off", "rise"),
    "heat": ("melt", "catch fire", "pop", "get hot"),
    "cool": ("freeze", "melt", "pop"),
    "light": ("catch fire", "melt", "pop"),
    "cut": ("break", "pop"),
    "pour": (),
    "wait": ("melt", "change"),
}
_SAID = {  # verb → the third person that a yes says
    "break": "breaks", "pop": "pops", "melt": "melts", "catch fire": "catches fire", "freeze": "freezes",
    "get hot": "gets hot", "bounce": "bounces", "float": "floats", "sink": "sinks", "rise": "rises",
    "fall over": "falls over", "stay on top": "stays on top", "fall off": "falls off", "change": "changes",
}  # fmt: skip
_OF_CONTENTS = ("freeze", "get hot")  # what the liquid does and not the vessel


def verbs(case: Case) -> tuple[str, ...]:
    """The verbs to ask about a case, without those that would be misleading."""
    asked = list(ASKED[case.scene.action])
    if case.scene.surface == "water":
        asked += ["float", "sink"]
    if case.scene.action == "push" and case.scene.surface == "floor":
        asked.remove("fall off")
    if case.outcome.kind in ("breaks", "pops", "rises"):
        asked = [verb for verb in asked if verb not in ("fall over", "fall off", "float", "sink")]
    if case.thing.rises:
        asked = [verb for verb in asked if verb not in ("float", "sink", "bounce")]
    return tuple(asked)


def holds(case: Case, verb: str) -> bool:
    """Whether the outcome is that the thing does ``verb``."""
    return _TESTS[verb](case.outcome, case.state)


def _happens(case: Case, frame: str, rng: np.random.Generator) -> Question:
    result = case.outcome
    accepts = tuple(dict.fromkeys(_sentence(words) for words in result.others if words != result.clause))
    text = Filler(case, rng).fill(frame)
    return Question(text, _sentence(result.clause), "happens", result.kind, accepts, case.meta)


def _will(case: Case, verb: str, frame: str, rng: np.random.Generator) -> Question:
    the, true = case.thing.the, holds(case, verb)
    text = Filler(case, rng).fill(frame, verb)
    if true:
        subject = liquid_of(case.thing) if verb in _OF_CONTENTS else the
        answer = f"Yes, {subject} {_SAID[verb]}."
        accepts: tuple[str, ...] = ("Yes.", f"Yes, {case.outcome.clause}.")
    else:
        whole = verb == "break" and _is_whole(case)
        answer = f"No, {the} stays whole." if whole else f"No, {case.outcome.clause}."
        accepts = ("No.", f"No, {case.outcome.clause}.")
    accepts = tuple(other for other in accepts if other != answer)
    return Question(text, answer, "will", "yes" if true else "no", accepts, case.meta | {"verb": verb})


def _is_whole(case: Case) -> bool:
    """In one piece and its own shape, hot or cold, standing or lying."""
    condition = main_thing_of(case)["condition"]
    return condition not in ("broken", "popped", "melted", "burning", "burnt", "cut")


def main_thing_of(case: Case) -> dict[str, Any]:
    return main_thing(case.state)


def _whole(case: Case, frame: str, rng: np.random.Generator) -> Question:
    the, true = case.thing.the, _is_whole(case)
    text = Filler(case, rng).fill(frame)
    answer = f"Yes, {the} stays whole." if true else f"No, {case.outcome.clause}."
    return Question(
        text, answer, "will", "yes" if true else "no", ("Yes." if true else "No.",), case.meta | {"verb": "stay whole"}
    )


def _where(case: Case, frame: str, rng: np.random.Generator) -> Question:
    place, event = case.state["place"], case.state["event"]
    at = {"floats": "floating on the water", "sinks": "at the bottom of the water"}.get(event, place_words(place))
    text = Filler(case, rng).fill(frame)
    accepts = (_sentence(at), _sentence(f"{case.thing.the} ends up {at}"), _sentence(f"it is {at}"))
    return Question(text, f"It ends up {at}.", "where", at, accepts, case.meta)


def _after(case: Case, frame: str, rng: np.random.Generator) -> Question:
    condition = main_thing_of(case)["condition"]
    said = CONDITION_WORDS[condition][1]
    if condition == "cooked":  # bread is toasted
        said = cooked_words(case.thing)[-1].removeprefix(f"{case.thing.the} ")
    text = Filler(case, rng).fill(frame)
    accepts = (_sentence(f"{case.thing.the} {said}"), _sentence(said.removeprefix("is ")))
    return Question(text, f"It {said}.", "after", condition, accepts, case.meta)


HEAVIER = (
    "Is {x} heavier than {y}?", "Does {x} weigh more than {y}?", "Is {y} lighter than {x}?",
    "Does {y} weigh less than {x}?",
    "Would {x} be heavier than {y}?", "Is {x} the heavier one, compared with {y}?",
)  # fmt: skip


def _property(thing: Thing, of: Property, frame: str) -> Question:
    true = of.holds(thing)
    said = (of.yes if true else of.no).format(x=thing.a)
    meta = {"thing": thing.name, "property": of.name}
    kind, answer = ("yes", f"Yes, {said}.") if true else ("no", f"No, {said}.")
    return Question(frame.format(x=thing.a), answer, "property", kind, ("Yes." if true else "No.",), meta)


def _heavier(thing: Thing, other: Thing, frame: str) -> Question:
    true = thing.mass > other.mass
    said = f"{thing.a} is {'heavier' if true else 'lighter'} than {other.a}"
    text = frame.format(x=thing.a, y=other.a)
    kind, answer = ("yes", f"Yes, {said}.") if true else ("no", f"No, {said}.")
    meta = {"thing": thing.name, "property": "heavier", "other": other.name}
    return Question(text, answer, "property", kind, ("Yes." if true else "No.",), meta)


def property_questions(rng: np.random.Generator, thing: Thing | None = None) -> list[Question]:
    """One question about a property of ``thing`` (or any thing), and one that compares two weights."""
    thing = thing or THINGS[str(rng.choice(list(THINGS)))]
    asked = properties_of(thing)
    of = asked[int(rng.integers(len(asked)))]
    others = [other for other in THINGS.values() if max(other.mass, thing.mass) > 1.5 * min(other.mass, thing.mass)]
    other = others[int(rng.integers(len(others)))]
    return [_property(thing, of, str(rng.choice(of.frames))), _heavier(thing, other, str(rng.choice(HEAVIER)))]


def _pick_verb(case: Case, rng: np.random.Generator) -> str | None:
    """A verb whose answer is yes half of the time, where there is such a verb."""
    by_truth: dict[bool, list[str]] = {True: [], False: []}
    for verb in verbs(case):
        by_truth[holds(case, verb)].append(verb)
    fitting = by_truth[bool(rng.random() < 0.5)] or by_truth[True] or by_truth[False]
    return str(rng.choice(fitting)) if fitting else None


def _scene_of(episode: Episode) -> Scene:
    return Scene.of(episode.options)


def ask(episode: Episode, rng: np.random.Generator) -> list[Question]:
    """One random paraphrase of each form that fits the episode; a property question is always among them."""
    scene = _scene_of(episode)
    found = property_questions(rng, THINGS[scene.thing])
    case = decided(scene)
    if case is None:
        return found
    found.insert(0, _happens(case, str(rng.choice(HAPPENS)), rng))
    verb = _pick_verb(case, rng)
    if verb is not None:
        found.append(_will(case, verb, str(rng.choice(WILL)), rng))
    found.append(_whole(case, str(rng.choice(STILL_WHOLE)), rng))
    if _has_place(case):
        found.append(_where(case, str(rng.choice(WHERE)), rng))
    found.append(_after(case, str(rng.choice(AFTER)), rng))
    return found


def _has_place(case: Case) -> bool:
    """Nobody asks where a popped thing is, or one that nobody moved."""
    return case.scene.action in _MOTIONS and case.outcome.kind != "pops"
