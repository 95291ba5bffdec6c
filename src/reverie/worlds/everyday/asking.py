"""From what a free question names to the taught questions that answer it, and to one answer of theirs.

What a question takes for granted is asked too: why something happens only says so where it does happen, and what two
things have in common is asked of each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reverie.worlds.everyday.asking_things import (
    CONTRARY,
    ask_both,
    ask_common,
    ask_heavier,
    ask_many,
    ask_most,
    ask_property,
    ask_which,
    lower_first,
)
from reverie.worlds.everyday.events import APART, Event, holds, meant, yes_or_no
from reverie.worlds.everyday.questions import ASKED
from reverie.worlds.everyday.things import THINGS
from reverie.worlds.phrasebook import Asking, Bindings, Refusal, ToAsk

__all__ = ["able", "ask", "property_of"]

Answers = Sequence[str | None]
_ABOUT_THINGS: Mapping[str, Callable[[Bindings], ToAsk]] = {
    "property": ask_property,
    "heavier": ask_heavier,
    "common": ask_common,
    "most": ask_most,
    "which": ask_which,
    "many": ask_many,
    "both": ask_both,
}
_OF_EVENTS = ("action", "verb", "surface", "height", "said", "can", "support", "not", "liquid", "story")
_OTHER_WAY = {"float": "sink", "sink": "float"}
_NEVER = {"tip": ("slides",)}  # action → what no thing does for it
_LEFT = ("falls off", "drifts to", "rises", "pops", "bursts")  # it is off the table
_CAN = {"stack": "stay on top", "cut": "be cut", "light": "catch fire"}  # what "can you" asks of an action
_BECAUSE = {  # outcome → what its cause in the thing speaks of
    "break": "fragile", "bounce": "springy", "pop": "thin skin", "melt": "melt", "catch fire": "burn",
    "freeze": "freeze", "float": "water", "sink": "water", "rise": "lighter than air",
}  # fmt: skip
_USUALLY = {  # outcome → what is done to things of which it is asked, or said, without more
    "break": "drop", "bounce": "drop", "drift": "drop", "float": "drop", "sink": "drop", "rise": "let go",
    "pop": "drop", "melt": "heat", "cook": "heat", "catch fire": "light", "freeze": "cool",
}  # fmt: skip
# form → how an answer to it begins; another is one to something else
_BEGINS = {"will": ("Yes", "No"), "whole": ("Yes", "No"), "where": ("It ends up",), "after": ("It ",)}
_ONLY = {"cook": ("heat",)}  # outcome → the actions of which it is asked
_OF_THING = {  # outcome asked of a thing of which nothing is said to happen → its property
    "break": "fragile", "catch fire": "burns", "melt": "melts", "be cut": "cut", "float": "floats", "sink": "-floats",
    "roll": "rolls",
}  # fmt: skip


def ask(named: Bindings) -> ToAsk:
    """What to ask for what is named; a text says why nothing can be asked."""
    named = _spelled_out(named)
    form = named.get("form", "")
    if problem := _done_before(named):
        return problem
    if form == "opinion":
        return Refusal("it asks whether that is wise, not what happens", veto=True)
    if form in _ABOUT_THINGS:
        extra = {*_OF_EVENTS} & set(named)
        return APART if extra else _ABOUT_THINGS[form](named)
    if not form or ("open" in named) != ("closed" in named):
        return "it does not say what is asked"
    if "thing" not in named:
        return "it names no thing that was taught"
    if {"other", "third", "fourth", "most", "property"} & set(named):
        return APART
    if named.get("liquid", named["thing"]) != named["thing"]:
        return APART  # as milk in a cup of water
    if "action" in named:
        return _of_event(named)
    if "story" in named:
        return "it does not say what is done"
    about = _of_thing(named)
    return _unsaid(named) if isinstance(about, str) else about


def _done_before(named: Bindings) -> str:
    """What is wrong with a thing that something was done to, as a frozen egg: it is not what it was, and what else is
    done to it was not taught. "" where nothing is."""
    if "did" not in named or named["did"] in ("drop", "let go", "throw", "push", "tip"):
        return "" if named.get("did", named.get("action")) == named.get("action") else APART
    asked = named.get("verb", "")
    same = named["did"] == named["action"] and named.get("form") not in _ABOUT_THINGS
    return "" if same and (not asked or asked in ASKED[named["did"]]) else APART


def _unsaid(named: Bindings) -> ToAsk:
    """Where nothing is said to be done, what usually makes a thing do that; answered only where it does."""
    verb = named.get("verb", "")
    action = _USUALLY.get(verb)
    if action is None or named["form"] not in ("will", "why") or {"or", "said"} & set(named):
        return "it does not say what is done"
    if "not" in named and verb not in ("float", "sink"):
        return "it does not say what is done"
    if named["form"] == "why" and ((verb == "break" and "surface" not in named) or THINGS[named["thing"]].wick):
        return "it does not say what is done"
    wet = {"surface": "water"} if verb in ("float", "sink") and not THINGS[named["thing"]].rises else {}
    if wet and named.get("surface", "water") != "water":
        return "it does not say what is done"
    asking = _of_event({**named, "action": "let go" if verb == "float" and not wet else action, **wet})
    if not isinstance(asking, Asking):
        return asking

    def word(said: Answers) -> str | None:
        if asking.denial(said):
            return None
        text = asking.worded(said)
        return text if "surface" in named or named["form"] == "why" or (text or "").startswith("Yes") else None

    return Asking(asking.questions, word)


def _spelled_out(named: Bindings) -> dict[str, str]:
    """What is named together with what it leaves unsaid."""
    full = dict(named)
    if "did" in full:
        full.setdefault("action", full["did"])
    if full.get("form") == "property" and "action" in full and full["property"] in ("floats", "-floats"):
        contrary = full.pop("property").startswith(CONTRARY)  # something is done, and then it floats or sinks
        full |= {"form": "happens"} if "or" in full else {"form": "will", "verb": "sink" if contrary else "float"}
    if "form" not in full and "can" in full and full.get("action") in _CAN:
        full |= {"form": "will", "verb": _CAN[full["action"]]}
    if full.pop("tag", ""):
        full.pop("said", "")
    if "liquid" in full and (full.get("action") in ("heat", "cool", "pour") or full.get("verb") == "freeze"):
        full.setdefault("thing", full["liquid"])  # what is done to it is done to what it is in
    if "action" not in full and full.get("surface") == "water" and full.get("form") not in ("will", *_ABOUT_THINGS):
        full["action"] = "drop"  # a thing in water came there
    return full


def _of_thing(named: Bindings) -> ToAsk:
    """A yes/no question about a thing with nothing done to it."""
    name = _OF_THING.get(named.get("verb", ""))
    if named["form"] != "will" or not name or set(named) - {"form", "verb", "thing", "surface", "can"}:
        return "it does not say what is done"
    if named.get("surface", "water") != "water" or ("surface" in named and name not in ("floats", "-floats")):
        return "it does not say what is done"
    return ask_property({"thing": named["thing"], "property": name})


# something done -------------------------------------------------------------------------------------------------------


def _of_event(named: Bindings) -> ToAsk:
    event = Event(named)
    if event.problem:
        return event.problem
    form, verb = named["form"], named.get("verb", "")
    goes_on = form != "whole" and {"said", "or"} & set(named)
    if (verb and form not in ("will", "why") and not goes_on) or (form == "will" and "said" in named):
        return "it asks two things at once"
    if form in ("will", "why") and not verb:
        return f"it does not say what is {'asked' if form == 'will' else 'to be explained'}"
    if "or" in named:
        verb = ""
    asking = _fallen(event, form, verb, named) if event.off else _asking(event, form, verb, "not" in named)
    never = _NEVER.get(event.action, ())
    return _without(asking, never) if never and isinstance(asking, Asking) else asking


def _without(asking: Asking, never: Sequence[str]) -> Asking:
    """``asking``, where answers that speak of what is ``never`` so do not count."""

    def known(said: Answers) -> Answers:
        return [None if one and any(words in one for words in never) else one for one in said]

    denied = (lambda said: asking.denial(known(said))) if asking.denied else None
    return Asking(asking.questions, lambda said: asking.worded(known(said)), denied)


def _asking(event: Event, form: str, verb: str, negated: bool) -> ToAsk:
    if verb and form in ("happens", "where", "after"):
        return _as_said(event, form, verb, negated)
    if form == "happens":
        return Asking((event.happens(),))
    if form == "where" and event.action in ("heat", "cool", "cut", "light", "pour", "wait"):
        return "where a thing is that nobody moved was not taught"
    if form in ("where", "after"):
        asked = event.where() if form == "where" else event.after()
        return Asking((asked, event.happens()), lambda said: _fitting(form, said[0]) or said[1])
    if form == "whole":
        return Asking(
            (event.whole(), event.happens()), lambda said: _checked(_fitting(form, said[0]), _yes_no("whole", said[1]))
        )
    if form == "why":
        return _why(event, meant(event, verb), negated)
    return _will(event, meant(event, verb))


def _as_said(event: Event, form: str, verb: str, negated: bool) -> ToAsk:
    """The question goes on from an outcome: it is answered where that is the one that is dreamed."""
    asking = _asking(event, form, "", False)
    if not isinstance(asking, Asking):
        return asking

    denied, waits = _denied(meant(event, verb), negated), event.action == "wait"

    def word(said: Answers) -> str | None:
        if waits and denied(said):
            return None  # "a candle that burns all night": it was so before, not for being left alone
        return asking.worded(said[:-1])

    return Asking((*asking.questions, event.happens()), word, None if waits else denied)


def _fallen(event: Event, form: str, verb: str, named: Bindings) -> ToAsk:
    """Something fell off the table. What no push moved that far was dropped from there."""
    pushed, dropped = _asking(event, form, verb, "not" in named), _asking(event.dropped(), form, verb, "not" in named)
    if not isinstance(pushed, Asking) or not isinstance(dropped, Asking):
        return dropped if isinstance(pushed, Asking) else pushed
    half = len(pushed.questions)

    def chosen(said: Answers) -> tuple[Asking, Answers]:
        left = said[-1] is not None and any(words in said[-1] for words in _LEFT)
        return (pushed, said[:half]) if left else (dropped, said[half:-1])

    def word(said: Answers) -> str | None:
        asking, answers = chosen(said)
        return asking.worded(answers)

    def denied(said: Answers) -> str | None:
        asking, answers = chosen(said)
        return asking.denial(answers)

    return Asking((*pushed.questions, *dropped.questions, event.happens()), word, denied if pushed.denied else None)


def _will(event: Event, verb: str) -> ToAsk:
    if verb == "freeze" and event.action in ("wait", "heat"):
        verb = "stay solid"  # of ice: is it still frozen?
    taught = ASKED[event.action] + (("float", "sink") if event.surface == "water" else ())
    if event.action not in _ONLY.get(verb, (event.action,)):
        return APART
    if verb not in taught:
        return Asking((event.happens(),), lambda said: _yes_no(verb, said[0]))
    asked = (event.will(verb), event.happens())
    return Asking(asked, lambda said: _checked(_coherent(verb, said[0]), _yes_no(verb, said[1])))


def _fitting(form: str, said: str | None) -> str | None:
    """An answer, where it is one to a question of that form."""
    return said if said and said.startswith(_BEGINS[form]) else None


def _coherent(verb: str, said: str | None) -> str | None:
    """A yes or no, where what stands behind it does not speak for the contrary."""
    yes, _, why = (_fitting("will", said) or "").partition(", ")
    return said if yes and (not why or holds(verb, why) == (yes == "Yes")) else None


def _checked(said: str | None, happens: str | None) -> str | None:
    """A yes or no, unless what happens says the contrary: of that the dreams are surer."""
    if said is None or happens is None:
        return said or happens
    return said if said.split(",")[0] == happens.split(",")[0] else happens


def _yes_no(verb: str, happens: str | None) -> str | None:
    if happens is None:
        return None
    return yes_or_no(holds(verb, happens), happens)


def _why(event: Event, verb: str, negated: bool) -> ToAsk:
    if verb not in _BECAUSE:
        return f"why a thing does or does not {verb} was not taught"

    asked = [*event.why(verb, not negated)]
    if verb in _OTHER_WAY:  # why it sinks is why it does not float
        asked += event.why(_OTHER_WAY[verb], negated)

    def word(said: Answers) -> str | None:
        *whys, happens = said
        if happens is None:
            return None
        return next((why for why in whys if why and _explains(why, verb, event.action, not negated)), None)

    return Asking((*((why,) for why in asked), event.happens()), word, _denied(verb, negated))


def _explains(why: str, verb: str, action: str, happened: bool) -> bool:
    """Whether a cause is one of that outcome, and speaks for it and not against it."""
    if verb == "break" and action == "cut":
        return ("hard" in why) != happened
    if verb in ("break", "bounce") and ("from high up" in why or "from low down" in why):
        return True
    if verb in ("break", "bounce") and "soft" in why:
        return ("not soft" in why) == happened
    if verb in ("break", "bounce") and "is hard" in why:
        return happened
    words = {
        "float": ("lighter than water", "heavier than water"),
        "sink": ("heavier than water", "lighter than water"),
    }
    yes, no = words.get(verb, (_BECAUSE[verb], ""))
    if no:
        return (yes if happened else no) in why
    return yes in why and any(word in why for word in ("not", "cannot")) != happened


def _denied(verb: str, negated: bool) -> Callable[[Answers], str | None]:
    """What is wrong with a question that takes for granted what happens last in the answers denies."""

    def denied(said: Answers) -> str | None:
        happens = said[-1]
        if happens is None or holds(verb, happens) != negated:
            return None
        return f"{'That is not so, it does' if negated else 'It does not'} {verb}: {lower_first(happens)}"

    return denied


# outcomes, for who asks about them otherwise -------------------------------------------------------------------------


def able(action: str) -> str:
    """The outcome that "can you" asks of an action; "" where it asks none."""
    return _CAN.get(action, "")


def property_of(verb: str) -> str:
    """The property that an outcome asks for, of a thing to which nothing is done; "" where it is none."""
    return _OF_THING.get(verb, "")
