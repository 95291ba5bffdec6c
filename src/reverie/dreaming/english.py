"""English words as people write them: short forms, inflections, misspellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from threading import Lock

import snowballstemmer

__all__ = ["less_often", "mended", "stem", "words_of"]

_STEMMER, _ONE_AT_A_TIME = snowballstemmer.stemmer("english"), Lock()  # it keeps the word that it works on
# base = its forms that no stemmer finds
_FORMS = """
be = am are is was were been being s; do = does did done; have = has had; will = would shall should wo ll
can = could might may ca; fall = fell fallen; throw = threw thrown; fling = flung; break = broke broken
freeze = froze frozen; light = lit; leave = left; hold = held; give = gave given; go = went gone goes
get = got gotten; take = took taken; sink = sank sunk; rise = rose risen; fly = flew flown; become = became
come = came; make = made; stand = stood; see = saw seen; sit = sat; lie = lay laid lain lying; keep = kept
catch = caught; stick = stuck; find = found; slide = slid; spill = spilt; burn = burnt; know = knew known
think = thought; not = nt; begin = began begun; blow = blew blown; shake = shook shaken; melt = molten
say = said; tell = told; hit = hitting; half = halves; a = an; strike = struck; set = setting
forget = forgot forgotten; bring = brought; feel = felt; run = ran; sweep = swept
buy = bought; hang = hung; shoot = shot; spin = spun; swing = swung; tear = tore torn; grow = grew grown; hear = heard
send = sent; bend = bent; spend = spent; meet = met; lose = lost; eat = ate eaten; show = shown; put = putting
swim = swam swum; spring = sprang sprung; split = splitting; burst = bursting; shut = shutting
write = wrote written; swear = swore sworn; forsake = forsook forsaken; weep = wept; leap = leapt
"""
_BASES = {
    form: base.strip()
    for base, _, forms in (one.partition("=") for one in _FORMS.replace("\n", ";").split(";"))
    for form in forms.split()
}
# what people write in one word, or shortly
_WRITTEN = (
    (r"[-=]+>|→", " "),
    (r"\bwon['’]?t\b", "will not"),
    (r"\bcan['’]?t\b|\bcannot\b", "can not"),
    (r"\bain['’]t\b", "is not"),
    (r"\b(do|does|did|is|are|was|were|would|could|should|has|have|had|must|need|might)n['’]?t\b", r"\1 not"),
    (r"['’]re\b", " are"),
    (r"['’]ve\b", " have"),
    (r"['’]ll\b", " will"),
    (r"['’]d\b", " would"),
    (r"['’]m\b", " am"),
    (r"\b(it|that|what|where|who|there|he|she|here|how|when|why|which)['’]s\b", r"\1 is"),
    (r"\b(what|where)s\b", r"\1 is"),
    (r"\blet['’]s\b", "let us"),
    (r"\bu\b", "you"),
    (r"\bgonna\b", "going to"),
    (r"\bwanna\b", "want to"),
    (r"\b(pls|plz)\b", "please"),
    (r"\b(wot|wat|wut)\b", "what"),
    (r"\bwen\b", "when"),
    (r"\bwich\b", "which"),
    (r"\b(wil|wll)\b", "will"),
    (r"\b(wud|wuld|woud)\b", "would"),
    (r"\b(teh|hte|da)\b", "the"),
    (r"\bbrak(e|es|ed|ing)\b", "break"),
    (r"\b(lite|lites)\b", "light"),
    (r"\b(cuz|coz)\b", "because"),
    (r"\bgotta\b", "have to"),
    (r"\blemme\b", "let me"),
    (r"\bgimme\b", "give me"),
    (r"\bdunno\b", "do not know"),
    (r"\b(happens?|do|does) 2\b", r"\1 to"),
    (r"\b(my|your|his|her|their|our|reading|sun) glasses\b", r"\1 eyeglasses"),
    (r"\bicecubes?\b", "ice cube"),
    (r"\bteddybear\b", "teddy bear"),
    (r"\b(in|on)to\b", r"\1 to"),
    (r"\bon earth\b", ""),
    (r"\bupside[- ]?down\b", "upside down"),
)


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A word in lower case without its inflection."""
    with _ONE_AT_A_TIME:
        return str(_STEMMER.stemWord(_BASES.get(word, word)))


def words_of(text: str) -> list[str]:
    """The words of a question in lower case; other signs that mean something are words of their own."""
    text = unicodedata.normalize("NFKC", text).lower()
    for written, meant in _WRITTEN:
        text = re.sub(written, meant, text)
    return re.findall(r"\w+|[+*/=<>%&$#@^]", text)


def less_often(word: str) -> tuple[str, ...]:
    """``word`` without letters that were typed too often: whaaat, eggg, popp."""
    if len(word) < 4 or not word.isalpha() or word in REAL_WORDS:
        return ()
    ways = (re.sub(r"(.)\1{2,}", r"\1\1", word), re.sub(r"(.)\1{2,}", r"\1", word), re.sub(r"(.)\1$", r"\1", word))
    return tuple(one for one in dict.fromkeys(ways) if one != word)


def mended(word: str, known: Collection[str]) -> str:
    """The stem of a misspelt word: of the one known word that was meant, where that is plain; else its own.

    What was meant begins alike and is one slip away, two in a long word.
    """
    if len(word) < 4 or not word.isalpha() or word in REAL_WORDS:
        return stem(word)
    near: dict[int, set[str]] = {1: set(), 2: set()}
    for other in known:
        if other[0] == word[0] and (slips := _slips(word, other)) < 3:
            near[slips].add(stem(other))
    closest = near[1] or near[2]
    return closest.pop() if len(closest) == 1 else stem(word)


def _slips(word: str, other: str) -> int:
    """How many letters are wrong, missing, too many or swapped; 3 for more than one makes in words of that length."""
    from rapidfuzz.distance import OSA

    most = 1 if min(len(word), len(other)) < 8 else 2
    distance = int(OSA.distance(word, other, score_cutoff=most))
    return max(distance, 1) if distance <= most else 3


# a slip away from words of the worlds, and no slip: "plane" is not a misspelt plate
REAL_WORDS = frozenset(
    """
    aloe ample bail bald batch bate bats batter battle bead beak beam bean beard beat beer bell better bill
    bitter black bleak bloc boar bool boom boon boot bouncer brad bred butt bee boss knee free wall sell breed broad bull bumble burble burying
    butler buttery charge chia chili chilly chin chine clod coal coaling coil cola colt cooing cooler coop
    cooping cord cubs cure cute dawn deck dies dock docs domes dons dopes dose doses dosing dots downt downy
    draining drilling drip dripping droop duce duct dusk dyes dying faire fame feathery fibre fier file firm
    flake flare flats fleecing fleeting flesh flood flour fluor fore frame gels gems giver gloss grass guts
    hampered hardened hated heal healed healing hear hearing heart heater heave heaved heed hell helm herd hoed
    hole holy hood intro lease leasing leaven lent lest lift lightening lightning limiting malt march math meal
    meat medal meld mental mild mile mill mink noting oven overt pace pacer pacing pager palace palate pauper
    payer peace petting piper pitting plaice plane plat platen plater played playing poor posh pout raise
    relating relaxing relegated repealed repeated repeating revealed revealing reversed reversing rice ride
    rinse rite robber rubbed sack sandy sane sang scatter send shack shave shaved shaving sheep sheer shocking
    shoe shone shore shovel shutter silks sings sins sinus slack slick slime smack smatter snack snacking snap
    snuffed soak sole sore soup sparking spice spoof spook spool stab stacker staffed staffing stag staining
    staked stalk star stark starring starving stiffed stock stocked stocking stoke stole stony stray swap sway
    sweet swoon tablet taker tale tales tapes tapped tapping taxes three thriving throb tick till tilling tint
    titled toes tons torn trick trip tripped tripping trips trowing truing tuned tuning turd turf tying vary verb wafer wager wall ward ware
    warn warning warp warping wars wart wary watery waver whale wham wheat whet whey whine whit white whose
    width wild wile wilt wish witch wits wond woody wool woolen word world worm wound wren
    """.split()
)
