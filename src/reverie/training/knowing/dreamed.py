"""Questions about what will happen, for dreams in words: everyday scenes whose outcome the simulator knows, and other
everyday actions. What is said is right where it names what comes of it in any of the usual words, and nothing else."""

from __future__ import annotations

import numpy as np

from reverie.training.knowing.questions import KeyedQuestion
from reverie.worlds import make_world
from reverie.worlds.everyday import is_held_out, is_test_scene, questions
from reverie.worlds.everyday.things import Scene

__all__ = ["ahead_questions", "whether_questions"]

_ENDS = {  # outcome → beginnings of words that say so
    "breaks": "break|broke|shatter|smash|crack|piece|burst|fall apart|destroy",
    "pops": "pop|burst|explode",
    "melts": "melt|liquid",
    "burns": "burn|fire|flame|ash|light|lit",
    "is lit": "burn|fire|flame|light|lit|melt",
    "freezes": "freez|froze|ice|solid",
    "gets cold": "cold|cool|chill",
    "gets hot": "hot|heat|warm|boil",
    "bounces": "bounc",
    "floats": "float",
    "sinks": "sink|sank|bottom",
    "rises": "rise|rising|float|fly|flies|up",
    "falls over": "fall|fell|tip|topple|over",
    "spills": "spill|fall|tip|over|pour",
    "is cut": "cut|slic|piece|half|halv",
    "cooks": "cook|toast|bak|fry|fried",
    "rolls": "roll",
    "slides": "slid|move",
    "drifts": "drift|float|fall|sink",
    "lands": "fall|fell|land|drop|ground|floor|rest",
    "stays on top": "stay|remain|top|balanc|stack|rest",
    "pours out": "pour|spill|empt|flow|run",
    "nothing": "nothing|same|stay|remain|not change|still",
}
_TURNS = (
    "break|broke|shatter|smash",
    "melt",
    "burn|fire",
    "freez|froze",
    "explode|pop",
)  # what it must not say besides
_OTHERS = """
leave milk in the sun for a day : sour|spoil|curdle|bad|warm|rot
forget to water a plant for a month : die|dead|wilt|dry|wither
put a wet towel in the sun : dry|dries|evaporat|warm
touch a hot stove : burn|hot|hurt
throw a stone into a pond : splash|sink|ripple|wave|bottom
step on a banana peel : slip|fall|slid
leave ice cream on the table : melt|liquid|soft
put sugar into hot tea : dissolv|sweet|melt
eat too much : sick|full|fat|weight|stomach|ill
stay up all night : tired|sleep|exhaust
mix red and yellow paint : orange
mix blue and yellow paint : green
leave a bicycle in the rain for years : rust|rot|corrod
blow out a candle : dark|out|smoke|go out|goes out|extinguish
drop a magnet near iron nails : stick|attract|pull|attach
plant a seed and water it : grow|sprout|plant|germinat
let the air out of a tyre : flat|deflat|empty|down
pour water on a fire : out|extinguish|stop|steam|smoke|die
pour oil into water : float|top|separat|not mix
turn off the light at night : dark
leave bread on the table for two weeks : mold|mould|stale|rot|hard|bad|spoil
boil an egg for ten minutes : hard|cook|boil|solid
spill coffee on a white shirt : stain|dirty|brown|ruin|mark
walk in the rain without a coat : wet|soak|cold
lose the key of your house : lock|get in|enter|inside|find
heat water to a hundred degrees : boil|steam|vapor|evaporat
forget to set the alarm clock : late|oversleep|miss|wake
drive with an empty tank : stop|run out|stall|fuel|gas|stuck
put a metal spoon into hot soup : hot|warm|heat
look into the sun : blind|eye|damage|hurt
shake a bottle of cola and open it : spray|foam|fizz|spill|explode|burst|out
tell a friend a sad story : sad|cry|cries|upset|tear
forget a cake in the oven : burn|black|char|fire|overcook
hit your thumb with a hammer : hurt|pain|bruis|break|broke|swell|injur|blood|bleed
leave a car window open in a storm : wet|rain|water|damage
wash a wool sweater in hot water : shrink|smaller|shrunk
ride a bicycle over glass : flat|punctur|tire|tyre|pop
keep a fish out of water : die|dead|breath|suffocat
put salt on ice : melt
peel an onion : cry|tear|eye
tickle a baby : laugh|giggl|smil
plug too many heaters into one socket : fire|overheat|blow|trip|burn|fuse|electric|hot
hold your breath for a long time : faint|pass out|breath|dizz|oxygen|air
sharpen a pencil every day : short|small|sharp
cut the string of a kite : fly|fall|away|flies|lost|drift
put a warm drink into the fridge : cold|cool|chill
step on thin ice : break|fall|crack|broke
rub your hands together : warm|hot|heat
drink salt water : thirst|sick|dehydrat|ill
leave the tap open all day : flood|water|overflow|waste|bill
read in the dark : eye|see|strain|hard|tired
feed the ducks every morning : come|back|eat|fat|happy|wait
throw a ball at a window : break|broke|shatter|crack|bounc|smash
cross the street without looking : hit|car|accident|run over|hurt
leave a puddle in the sun : dry|dries|evaporat|disappear
jump into a pool : wet|splash|swim
put a plant into a dark cupboard : die|dead|wilt|yellow|pale|not grow
add yeast to dough : rise|rising|grow|bread|bigger|expand
charge a phone over night : full|charg|battery
burn wood in a stove : warm|heat|ash|smoke|fire|hot|burn
"""
_FRAMES = ("What happens if you {}?", "What happens when you {}?", "What will happen if I {}?")
_QUIET = 0.12  # share of scenes in which nothing happens that are asked about: most are such


def ahead_questions(count: int, seed: int) -> list[KeyedQuestion]:
    """At most ``count`` different questions about what happens, those of the simulator more than the others."""
    rng = np.random.default_rng([seed, 51])
    rows = [line.split(" : ") for line in _OTHERS.strip().splitlines()]
    found = {
        asked: KeyedQuestion(asked, kind="dream: others", pattern=_says(ends))
        for place, (action, ends) in enumerate(rows)
        for asked in [_FRAMES[place % len(_FRAMES)].format(action)]
    }
    while len(found) < count:
        if (case := _case(rng)) and (case.outcome.kind != "nothing" or rng.random() < _QUIET):
            text = questions.Filler(case, rng).fill(str(rng.choice(questions.HAPPENS)))
            found[text] = KeyedQuestion(
                text, kind=f"dream: {case.outcome.kind}", pattern=_says(_ENDS[case.outcome.kind])
            )
    return [list(found.values())[place] for place in rng.permutation(len(found))[:count]]


def whether_questions(count: int, seed: int) -> list[KeyedQuestion]:
    """``count`` different questions that are answered by yes or no, as many of each."""
    rng = np.random.default_rng([seed, 52])
    found: dict[str, KeyedQuestion] = {}
    while len(found) < count:
        case = _case(rng)
        verbs = [] if case is None else [verb for verb in questions.verbs(case) if verb != "change"]
        if case is None or not verbs:
            continue
        verb, wanted = str(rng.choice(verbs)), len(found) % 2 == 0
        if questions.holds(case, verb) == wanted:
            text = questions.Filler(case, rng).fill(str(rng.choice(questions.WILL)), verb)
            yes = "yes" if wanted else "no"
            found[text] = KeyedQuestion(text, kind=f"whether: {yes}", pattern=rf"^{yes}\b")
    return list(found.values())


def _case(rng: np.random.Generator) -> questions.Case | None:
    """A scene that no benchmark asks about, and what it comes to."""
    options = make_world("Everyday").sample_options(rng)
    if is_held_out(options) or is_test_scene(options):
        return None
    return questions.decided(Scene.of(options))


def _says(ends: str) -> str:
    """What matches a sentence that says one of ``ends``, denies nothing, and tells no other turn of things."""
    others = "|".join(turn for turn in _TURNS if not set(turn.split("|")) & set(ends.split("|")))
    denies = "" if "nothing" in ends or "not " in ends else r"\bnot\b|n't|"
    return rf"^(?!.*(?:{denies}\b(?:{others}))).*\b(?:{ends})"
