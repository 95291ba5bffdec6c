"""English words as people write them: short forms, inflections, misspellings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from threading import Lock

import snowballstemmer

__all__ = ["by_form", "less_often", "mended", "stem", "words_of"]

_STEMMER, _ONE_AT_A_TIME = snowballstemmer.stemmer("english"), Lock()  # it keeps the word that it works on
# base = its forms that no stemmer finds
_FORMS = """
child = children; man = men; woman = women; foot = feet; knife = knives
be = am are is was were been being s; do = does did done; have = has had; will = would shall should wo ll
can = could might may ca; fall = fell fallen; throw = threw thrown; fling = flung; break = broke broken
freeze = froze frozen; light = lit; leave = left; hold = held; give = gave given; go = went gone goes
get = got gotten; take = took taken; sink = sank sunk; rise = rose risen; fly = flew flown; become = became
come = came; make = made; stand = stood; see = saw seen; sit = sat; lie = lay laid lain lying; keep = kept
catch = caught; stick = stuck; find = found; slide = slid; spill = spilt; burn = burnt; know = knew known
think = thought; not = nt; begin = began begun; blow = blew blown; shake = shook shaken; melt = molten
say = said; tell = told; hit = hitting; half = halves; a = an; strike = struck; set = setting
forget = forgot forgotten; bring = brought; feel = felt; run = ran; sweep = swept; buy = bought; hang = hung
shoot = shot; spin = spun; swing = swung; tear = tore torn; grow = grew grown; hear = heard; send = sent
bend = bent; spend = spent; meet = met; lose = lost; eat = ate eaten; show = shown; put = putting
write = wrote written; swear = swore sworn; forsake = forsook forsaken; weep = wept; leap = leapt
swim = swam swum; spring = sprang sprung; split = splitting; burst = bursting; shut = shutting
"""


def by_form(text: str) -> dict[str, str]:
    """Form → what it is of, of rows "what = its forms"."""
    rows = (one.partition("=") for one in text.replace("\n", ";").split(";"))
    return {form: of.strip() for of, _, forms in rows for form in forms.split()}


_BASES = by_form(_FORMS)
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
    (r"\bdose (?=(a|an|the|my|your|it|this|that|they|he|she)\b)", "does "),
    (r"\b(flote|flot)(s|ed|ing)?\b", r"float\2"),
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
    if len(word) < 3 or not word.isalpha() or word in REAL_WORDS:
        return ()
    ways = (re.sub(r"(.)\1{2,}", r"\1\1", word), re.sub(r"(.)\1{2,}", r"\1", word), re.sub(r"(.)\1$", r"\1", word))
    return tuple(one for one in dict.fromkeys(ways) if one != word)


def mended(word: str, known: Collection[str]) -> str:
    """The stem of a misspelt word: of the one known word that was meant, where that is plain; else its own.

    What was meant begins alike and is one slip away, two in a long word; in a word of three letters one is missing.
    A letter that is missing, too many or swapped is likelier than a wrong one.
    """
    if len(word) < 3 or not word.isalpha() or word in REAL_WORDS:
        return stem(word)
    near: dict[int, set[str]] = {1: set(), 2: set(), 3: set()}
    for other in known:
        if other[0] == word[0] and (slips := _slips(word, other)) < _MANY and not _derived(word, other):
            near[slips].add(stem(other))
    closest = near[1] or near[2] or near[3]
    return closest.pop() if len(closest) == 1 else stem(word)


_MANY = 4
_SUFFIXES = "ist|ists|ish|like|less|ful|ery|ism|ette|ware|craft|ster|man|hood|ship"


def _derived(word: str, other: str) -> bool:
    """Whether ``word`` is made of ``other``, as balloonist is of balloon, and so means something else."""
    return re.fullmatch(f"{re.escape(stem(other))}e?({_SUFFIXES})", word) is not None


def _slips(word: str, other: str) -> int:
    """How far a word is from another: 1 for a letter that is missing, too many or swapped, 2 for a wrong one, 3 for two
    slips in a long word; ``_MANY`` for more."""
    from rapidfuzz.distance import OSA, Indel

    if len(word) < 4:
        return 1 if len(other) == len(word) + 1 and Indel.distance(word, other) == 1 else _MANY
    most = 1 if min(len(word), len(other)) < 8 else 2
    distance = int(OSA.distance(word, other, score_cutoff=most))
    if distance > most:
        return _MANY
    if distance > 1:
        return 3
    return 1 if len(word) != len(other) or sorted(word) == sorted(other) else 2


# a slip away from words of the worlds, and no slip: "plane" is not a misspelt plate
REAL_WORDS = frozenset(
    """
    aloe ample arm ash axe bag bail bald bar bat batch bate bats batter battle bay bead beak beam bean beard beat
    bed bee beer bell bet better bib bill bin bit bitter black bleak bloc boar boo bool boom boon boot boss bouncer
    bow box brad bred breed broad bug bull bumble bun burble burying bus butler butt buttery cab cap car charge chia
    chili chilly chin chine clod coal coaling coil cola colt cooing cooler coop cooping cord cow cry cub cubs cue
    cure cute dad dam dawn day deck den dew dies dock docs domes dons dopes dose doses dosing dot dots downt downy
    draining drilling drip dripping droop duce duct dusk dye dyes dying ear elf eye faire fame fan far feathery fee
    fibre fier file fin fir firm flake flare flats fleecing fleeting flesh flood flour flu fluor fly fog fore fox
    frame free fur gap gas gels gem gems giver gloss god grass gum gun gut guts ham hampered hardened hat hated hay
    heal healed healing hear hearing heart heater heave heaved heed hell helm hen her herd him hip his hoed hole
    holy hood how hug hut ice ink intro jam jar jaw key knee lap law lease leasing leaven leg lent lest lid lift
    lightening lightning limiting lip log malt map march math meal meat medal meld mental mild mile mill mink mud
    net noting nut oak oil oven overt owl pace pacer pacing pad pager palace palate pan pat pauper paw pay payer pea
    peace peg pen pet petting pie pig pin piper pit pitting plaice plane platen plater played playing poor posh pout
    rag raise rat relating relaxing relegated repealed repeated repeating revealed revealing reversed reversing rib
    rice ride rinse rite robber rubbed rug rum sack sad sandy sane sang scatter sea sell send shack shave shaved
    shaving she sheep sheer shocking shoe shone shore shovel shutter silks sin sings sins sinus ski sky slack slick
    slime smack smatter snack snacking snap snuffed soak sole son sore soup sparking spice spoof spook spool spy
    stab stacker staffed staffing stag staining staked stalk star stark starring starving stiffed stock stocked
    stocking stoke stole stony stray sun swap sway sweet swoon tab tablet taker tale tales tapes tapped tapping tar
    taxes tea ten three thriving throb tick tie till tilling tin tint titled toe toes ton tons torn toy trick trip
    tripped tripping trips trowing truing tub tuned tuning turd turf tying van vary verb vet wafer wager wall war
    ward ware warn warning warp warping wars wart wary watery waver wax way web whale wham wheat whet whey whine
    whit white whose width wig wild wile wilt win wish wit witch wits wond woody wool woolen word world worm wound
    wren
    """.split()
)
