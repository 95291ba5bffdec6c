"""Questions about what does not exist: names and words that nobody ever used, in the forms of ordinary questions."""

from __future__ import annotations

import numpy as np

from reverie.training.knowing.questions import KeyedQuestion

__all__ = ["MADE_UP", "made_up_questions"]

MADE_UP = "made-up"  # their kind
_SOUNDS = (
    "bla zor quel mip tre vond rish glo pwa nu fre dak tol yev urb ist plo gran shi wex kor vel dun phi bru zent mar "
    "oth lin cas ul for ed ryn hol sark ven tam il pres gar mo lis dre con tin bel a rond fa ler sti vo"
).split()
_ENDS = ("", "n", "x", "ia", "ers", "ing", "tang", "p", "or", "elle", "ack", "um")
# {w}, {v}: words; {W}, {V}: names. The second half is kept for measuring.
_FORMS = (
    "What is the {w}ness of a {v}?",
    "Who was the first king of {W}?",
    "What is the capital of {W}?",
    "Which film did {W} {V} direct in 1987?",
    "When was the Treaty of {W} signed?",
    "What do {v}s eat?",
    "Who invented the {w}?",
    "What colour is a {w}?",
    "In which country is the town of {W}?",
    "What language do people speak in {W}?",
    "What is the chemical symbol of {w}ium?",
    "What is the opposite of {w}?",
    "Who wrote The {W} of {V}?",
    "On which continent is {W}?",
    "What does the {W} river flow into?",
    "How many {w}s are there in a {v}?",
    "Who painted The {W} at {V}?",
    "What is {w} used for?",
    "For which club did {W} {V} play?",
    "What is the currency of {W}?",
    "Who discovered the element {w}ium?",
    "In which year did the {W} War begin?",
    "How long does a {w} live?",
    "What is the main ingredient of {w}?",
    "Who was president of {W} in 1950?",
    "Which instrument does {W} {V} play?",
    "What is a young {w} called?",
    "How high is Mount {W}?",
)


def made_up_questions(count: int, rng: np.random.Generator, unseen: bool = False) -> list[KeyedQuestion]:
    """``count`` different questions without an answer; ``unseen``: in the forms that are kept for measuring."""
    half = len(_FORMS) // 2
    forms = _FORMS[half:] if unseen else _FORMS[:half]
    made: dict[str, None] = {}
    while len(made) < count:
        words = [_word(rng) for _ in range(4)]
        names = {"W": words[2].capitalize(), "V": words[3].capitalize()}
        made[forms[len(made) % len(forms)].format(w=words[0], v=words[1], **names)] = None
    return [KeyedQuestion(question, kind=MADE_UP) for question in made]


def _word(rng: np.random.Generator) -> str:
    count = int(rng.choice([2, 2, 3]))
    return "".join(str(part) for part in rng.choice(_SOUNDS, count)) + str(rng.choice(_ENDS))
