"""What kind of question it is: one whose answer lies ahead and is dreamed, one that asks back for a cause, or one that
needs no dream. Read from the words alone, so that it is decided before any model is asked, and alike for all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from reverie.tokens.questions import MAX_CHARS

__all__ = ["Asked", "read_question"]

_SHORT = (  # spelled out before anything is read
    (re.compile("[’‘`´]"), "'"),
    (re.compile(r"\b(what|how|it|that|where|why)'s\b", re.I), r"\1 is"),
    (re.compile(r"\b(what|how|it|that|where)'ll\b", re.I), r"\1 will"),
    (re.compile(r"\b(what|how|where|why)'d\b", re.I), r"\1 did"),
    (re.compile(r"\bgonna\b", re.I), "going to"),
)
_ENDS = re.compile(
    r"(?<=[.!?…])(?<!\b[A-Z]\.)(?<!\b[MD]r\.)(?<!\b[JS]r\.)(?<!\bSt\.)(?<!Mrs\.)(?<!e\.g\.)(?<!i\.e\.) +"
)
_COURTESY = re.compile(
    r"(?:please|thanks|thank you|thx|hi|hello|hey|ok|okay|yes or no|be brief|(?:please )?"
    r"(?:answer|reply|respond|explain)|tell me|i wonder|just curious|think step by step)\b.{0,40}",
    re.I,
)
# what only leads up to a question; the second kind is left out where the question follows in full
_LEADS = (
    re.compile(
        r"(?:and|so|but|now|then|well|ok|okay|hey|hi|hello|please|oh|um|hm+|just|alright|right|anyway|also|by the way|"
        r"(?:quick |one )?question|exactly|tell me|in your opinion|(?:just )?(?:out of curiosity|curious))[,:!]? ",
        re.I,
    ),
    re.compile(
        r"(?:(?:(?:can|could|would|will) you )?(?:please )?(?:tell|show|remind) me|"
        r"(?:(?:can|could|would|will) you )?(?:please )?(?:say|guess|predict|describe|explain)(?: to me)?|"
        r"do you (?:happen to )?know|do you have (?:any|an) idea|any idea|"
        r"i (?:wonder|am wondering|was wondering|want to know|would like to know)|i'd like to know)(?: about)?,? "
        r"(?:exactly )?(?=(?:what|why|how|where|if|whether)\b)",
        re.I,
    ),
)
_TRAILS = re.compile(
    r",? (?:please|thanks|thank you|do you (?:think|know|suppose)|would you say|in your opinion|and why|you think)$",
    re.I,
)
_HAPPEN = (
    r"(?:(?:do|did|would) (?:you|we) (?:think|expect|believe|suppose|say) |you think )?"
    r"(?:(?:usually|normally|typically|often|actually|really|exactly|probably) )?"
    r"(?:(?:will|would|might|could|may|can|should|did|does|is going to|"
    r"is likely to) (?:(?:probably|likely|usually|then|actually) )?)?"
    r"(?:happens?|happened|occurs?|(?:becomes?|became|comes?|came) of|follows|results?)"
)
_SEE = r"(?:do|will|would|might|could|can) (?:you|we|i|one) (?:see|notice|get|have|observe|expect)"
_IF = r"(?:(?:only |even )?if|when(?:ever)?|after|once|as soon as|in case|while|every time)"
_DO = r"(?:does|do|did|will|would|might|could|is|are) (?!(?:you|we|i|one)\b)"
_ABOUT = r"(?: (?:to |with |of |for )?(?P<about>[^,?]{1,80}?))?"
_WITH = rf"(?: (?:to |with )?(?P<about>(?!{_IF}\b)[^,?]{{1,80}}))?"
_GUESS = r"(?:suppose|supposing|imagine|imagining|assume|assuming|say|let us say|let's say|given|picture this|pretend)"
_OUTCOME = (
    r"(?:what (?:is|are|was|were|would be|will be|might be|could be) (?:the |an? )?(?:(?:likely|probable|most likely|"
    r"possible|main|usual|direct|immediate|final) )?(?:results?|effects?|consequences?|outcomes?|impacts?))"
)
_AHEAD = (
    # what happens to X if …
    re.compile(rf"what {_HAPPEN}{_ABOUT},? (?:{_IF}|should) (?P<action>.+)", re.I),
    re.compile(rf"what {_SEE},? {_IF} (?P<action>.+)", re.I),
    # what does X do if …; how will X react if …; where does X go if …
    re.compile(
        rf"(?:what {_DO}(?P<doer>[^,?]{{1,80}}?) (?:do|become)|"
        rf"how {_DO}(?P<reacts>[^,?]{{1,80}}?) (?:react|respond|change|behave|feel|end|turn out)|"
        rf"where {_DO}(?P<goes>[^,?]{{1,80}}?) (?:go|end up|land|roll|fly|fall|move))"
        rf"(?: to)?(?: next)?,? {_IF} (?P<action>.+)",
        re.I,
    ),
    # if …, what happens; suppose …: what will happen?
    re.compile(
        rf"(?:{_IF}|should|{_GUESS})(?: that)? (?P<action>.+?)[,:;.]? (?:and |then |so )?"
        rf"(?:what {_HAPPEN}{_WITH}|what {_SEE}|{_OUTCOME})",
        re.I,
    ),
    # …: what happens?
    re.compile(
        rf"(?P<action>.{{8,}}?)[,:;-] ?(?:and |then |so )?"
        rf"(?:what {_HAPPEN}{_WITH}|what (?:then|next))",
        re.I,
    ),
    re.compile(rf"(?:what|how about|what about)(?: would (?:happen|be))? {_IF} (?P<action>.+)", re.I),
    re.compile(rf"{_OUTCOME},? {_IF} (?P<action>.+)", re.I),
    re.compile(rf"(?!what w(?:as|ere)\b){_OUTCOME} (?:of|from) (?P<of>.+)", re.I),
    # what happens to X that …; what happens to X in …
    re.compile(rf"what {_HAPPEN} (?:to |with )(?P<does>.+?) (?:that|which|who) (?P<so>.+)", re.I),
    re.compile(
        r"what (?:happens|(?:will|would) happen) (?:to|with) (?P<there>.+? (?:in|on|at|under|without|near|inside|over|"
        r"above|during|beside|between) (?!the (?:end|book|film|movie|story|play)\b).+)",
        re.I,
    ),
    re.compile(r"what (?:becomes|comes|will become|would become|will come) of (?P<of>.+)", re.I),
)
# where what was done stands in the sentence before
_THEN = re.compile(
    rf"(?:what {_HAPPEN}{_WITH}|what {_SEE}(?: (?:then|now|next))?|then|what(?: (?:comes |is )?(?:then|next))?|"
    rf"what (?:will|would|does|do) (?!(?:you|we|i)\b)[^,]{{1,40}} do(?: (?:then|now|next))?|"
    rf"{_OUTCOME}(?: of (?:this|that|it))?|"
    r"how (?:does|will|would) (?:it|that|this) (?:end|go on|turn out)|what is going to be)",
    re.I,
)
_AUX = r"(?:will|would|does|do|did|can|could|might|may|is|are|should|won't|wouldn't|doesn't|don't|isn't|aren't|can't)"
_WHETHER = (
    re.compile(
        rf"(?P<wanted>(?:{_AUX}|if|whether) [^,?]+?),? (?:{_IF}|because|unless) (?P<action>(?!{_AUX}\b).+)", re.I
    ),
    re.compile(
        rf"(?:{_IF}|{_GUESS})(?: that)? (?P<action>(?!{_AUX}\b).+?), (?:then )?(?P<wanted>(?!do(?:n't)? (?:as|not|no))"
        rf"{_AUX} .+)",
        re.I,
    ),
    re.compile(
        rf"(?:{_IF}) (?P<action>(?!{_AUX}\b)[^,]+?) (?:then )?"
        r"(?P<wanted>(?:will|would|does|might|could|won't|wouldn't) "
        r"(?:it|they|he|she|this|that|the|an?|my|his|her|their|our) [^,]+)",
        re.I,
    ),
)
_STILL = re.compile(r"(?P<wanted>(?:will|would|might|could|does|won't|wouldn't) (?!(?:you|we|i)\b).+)", re.I)
# what is asked of who answers: their opinion, their help, their leave
_ADDRESSED = re.compile(
    r"(?:(?:would|are|could|should) you|should (?:i|we)|"
    r"(?:can|could|may|might|will|do) (?:i|we|you) (?:\w+ ){0,3}?(?:me|us|mind)|"
    r"is it (?:ok|okay|all right|alright|fine|possible))\b",
    re.I,
)
_SUBJECT = re.compile(
    rf"(?:do you (?:think|believe|expect) (?:that )?|{_AUX} |if |whether )"
    r"(?P<subject>(?:the|an?|my|your|his|her|their|our|this|that|some) [a-z-]+|(?!(?:you|we|i|it|they|he|she|this|that|"
    r"there|someone|the|an?|my|your|his|her|their|our|some|people)\b)[a-z]+(?= \w+$))\b",
    re.I,
)
_BACK = re.compile(
    r"(?:why (?!not\b)(?!(?:don't|are|do|did|can|can't|were|would|should|shouldn't|won't) (?:you|we|i)\b).+|"
    r"how come .+|what (?:(?:could|might|may|can|would|will) (?:have )?)?(?:caused?|causes|made|makes?|led to|leads to)"
    r"(?! (?:up|of|you)\b) .+|"
    r"(?:what (?:is|was|are|were)|explain) the (?:\w+ )?(?:reasons?|causes?) .+|"
    r"for what reason .+)",
    re.I,
)
_SUM = re.compile(
    r"\d ?[-+*/x×÷^] ?\d|\b(?:multipl|divid|subtract)\w*\b|\b(?:plus|minus|times) (?:\d|one|two|three)", re.I
)
_WEATHER = re.compile(r"it (?:is |was |gets |got |becomes |turns |rains|snows|starts (?:rain|snow))", re.I)
_NO_GERUNDS = (
    "anything|beijing|building|ceiling|darling|during|evening|everything|king|lightning|morning|nothing|pudding|ring|"
    "sibling|something|spring|string|swing|thing|wedding|wing"
)
_GERUND = re.compile(rf"(?!(?:{_NO_GERUNDS})\b)(?:not |never )?[a-z]+ing(?= |$)", re.I)
_NOUN = re.compile(
    r"(?:of )?(?:(?:the|an?|my|your|his|her|their|our|this|that) )?(?!(?:it|you|i|we|they)\b)\w+(?<!\w[^s]s)(?<!ing)",
    re.I,
)  # what happens after dinner, in case of fire
_PARTICIPLE = re.compile(
    r"(?:not )?\w+(?:ed|en|left)"
    r"(?: (?:from|in|on|by|to|with|at|into|onto|under|for|too|over|off|out|alone|outside)\b.*)?",
    re.I,
)
_PRONOUN = r"(?:it|that|this|them|they|you|me|us|him|her|one|then|next|now|later|afterwards|first|after that)"


@dataclass(frozen=True)
class Asked:
    """A question as it was understood.

    ``ahead``: what comes of ``actions``, and ``wanted`` asks it in full where they do not name all that is asked about;
    ``whether``: that, and whether ``wanted`` (as it was asked) comes true; ``back``: why something is so; ``plain``:
    anything else. ``setting``: what was told before.
    """

    kind: Literal["ahead", "whether", "back", "plain"]
    actions: tuple[str, ...] = ()  # sentences
    setting: str = ""
    wanted: str = ""


def read_question(text: str) -> Asked:
    """Which kind of question ``text`` is. One of more than ``MAX_CHARS`` characters is ``plain``, unread."""
    if len(text) > MAX_CHARS:
        return Asked("plain")
    told, asked = _parted(text)
    if not asked or _SUM.search(asked):
        return Asked("plain")
    return _with_action(asked, told) or _with_told(asked, told) or _back(asked, told) or Asked("plain")


def _parted(text: str) -> tuple[list[str], str]:
    """The sentences that tell something, and the question, without what only leads up to it or is said for courtesy."""
    text = " ".join((text.lower() if text.isupper() else text).split())
    for short, full in _SHORT:
        text = short.sub(full, text)
    sentences = [one for one in _ENDS.split(text) if one.strip(" .!?…")]
    if not sentences:
        return [], ""
    asking = [place for place, one in enumerate(sentences) if one.endswith("?")]
    place = asking[-1] if asking else len(sentences) - 1
    told = [one for one in sentences[:place] + sentences[place + 1 :] if not one.endswith("?")]
    asked = sentences[place].lstrip("\"'“(")
    asked = asked.rstrip(" ?!.…" + ("" if asked == sentences[place] else "\"'”)"))
    while found := next((found for lead in _LEADS if (found := lead.match(asked))), None):
        asked = asked[found.end() :]
    while found := _TRAILS.search(asked):
        asked = asked[: found.start()]
    return [one for one in told if not _COURTESY.fullmatch(one)], asked.strip(" ,;:")


def _with_action(asked: str, told: list[str]) -> Asked | None:
    """Where the question itself says what is done."""
    setting = " ".join(told)
    for pattern in _AHEAD:
        if found := pattern.fullmatch(asked):
            action, whole = _action(found.groupdict())
            return Asked("ahead", (action,), setting, "" if whole else _question(asked))
    for pattern in _WHETHER:
        if found := pattern.fullmatch(asked):
            wanted, action = found["wanted"], found["action"]
            own = re.match(r"(?:you|someone|one|somebody)\b", action, re.I)
            if _ADDRESSED.match(wanted) or (re.match(rf"{_AUX} you\b(?! think)", wanted, re.I) and not own):
                return None
            thing = _SUBJECT.match(wanted)
            named = _named(action, thing["subject"] if thing else "")
            return Asked("whether", (_sentence(named),), setting, _question(wanted))
    return None


def _with_told(asked: str, told: list[str]) -> Asked | None:
    """Where what is done stands in the sentence before."""
    if not told:
        return None
    *setting, last = told
    action = _sentence(re.sub(rf"^{_GUESS},?(?: that)? ", "", last, flags=re.I))
    if _THEN.fullmatch(asked):
        return Asked("ahead", (action,), " ".join(setting))
    if found := _STILL.fullmatch(asked):
        return Asked("whether", (action,), " ".join(setting), _question(found["wanted"]))
    return None


def _back(asked: str, told: list[str]) -> Asked | None:
    return Asked("back", (), " ".join(told), _question(asked)) if _BACK.fullmatch(asked) else None


def _action(found: dict[str, str | None]) -> tuple[str, bool]:
    """What is done, as a sentence, from the parts of a question; and whether it names all that is asked about."""
    if found.get("does"):
        return _sentence(f"{found['does']} {found['so']}"), True
    if there := found.get("there") or found.get("of"):
        return _sentence(there if _GERUND.match(there) else f"there is {there}"), True
    thing = next((found[name] for name in ("about", "doer", "reacts", "goes") if found.get(name)), None) or ""
    action = found["action"] or ""
    if _NOUN.fullmatch(action):
        action = f"there is {action.removeprefix('of ')}"
    named = _named(action, thing)
    return _sentence(named), _told_apart(thing) or thing.lower() in named.lower()


def _told_apart(thing: str) -> bool:
    """Whether that is nothing that is asked about."""
    return not thing or bool(re.fullmatch(rf"{_PRONOUN}|(?:in|at|on|next|then|there)\b.*", thing, re.I))


def _named(clause: str, thing: str) -> str:
    """``clause`` with ``thing`` in the place of the pronoun that stands for it. That "it" rains is nothing's doing."""
    clause = re.sub(r",? or (?:not|will|would|does|is)\b.*", "", clause)
    if _PARTICIPLE.fullmatch(clause):  # when heated
        clause = f"it is {clause}"
    elif _WEATHER.match(clause) and not re.match(r"it (?:is|was|gets) \w+(?:ed|en|t)\b", clause, re.I):
        return clause
    if _told_apart(thing):
        return clause
    pronoun = r"\b(?:they|them)\b" if re.search(r"[^s]s$", thing) else r"\bit\b"
    return re.sub(pronoun, lambda _: thing, clause, count=1, flags=re.I)


def _sentence(clause: str) -> str:
    """A clause as a sentence of its own: "leaving ice in the sun" is done by somebody."""
    clause = clause.strip(" ,;:.?!")
    if _GERUND.match(clause):
        clause = f"someone is {clause[:1].lower()}{clause[1:]}"
    return f"{clause[:1].upper()}{clause[1:]}."


def _question(clause: str) -> str:
    clause = clause.strip(" ,;:.")
    return f"{clause[:1].upper()}{clause[1:]}?"
