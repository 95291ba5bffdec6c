"""The forms in which a base is asked in words: dreams as triplets after examples, questions with their answers.

A small base tells stories when it is asked what happens; it says what happens when it goes on with lines of the form
"Situation / Action / Result" after a few examples. The examples are of nobody's benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = [
    "EXAMPLES",
    "NOTHING",
    "Lines",
    "answer_prompt",
    "dream_prompt",
    "reason_prompt",
    "situation_prompt",
    "statement_prompt",
    "whether_prompt",
]


@dataclass(frozen=True)
class Lines:
    """A triplet in words."""

    situation: str
    action: str
    result: str


EXAMPLES = (
    Lines(
        "There is a bottle of water.", "Someone puts the bottle into the freezer.", "The water freezes and becomes ice."
    ),
    Lines(
        "Tom has a phone.", "Tom does not charge his phone for days.", "The battery is empty and the phone turns off."
    ),
    Lines("There is a window made of glass.", "A stone hits the window.", "The glass breaks into pieces."),
)
NOTHING = Lines("There is something.", "Something happened.", "")  # what a dream is contrasted with


def dream_prompt(lines: Lines, examples: Sequence[Lines] = EXAMPLES) -> str:
    """Up to where the result begins."""
    shown = [one if lines.situation else replace(one, situation="") for one in examples]
    return "".join(f"{_written(one)} {one.result}\n\n" for one in shown) + _written(lines)


def situation_prompt(action: str) -> str:
    """Up to where it begins what there is before ``action``."""
    told = "".join(f"Action: {one.action}\nSituation: {one.situation}\n\n" for one in EXAMPLES)
    return f"{told}Action: {action}\nSituation:"


def statement_prompt(question: str) -> str:
    """Up to where a question for a reason is said as what is so."""
    told = (
        ("Why did the boat sink?", "The boat sank."),
        ("What causes thunder?", "There is thunder."),
        ("Why are the streets wet?", "The streets are wet."),
    )
    return "".join(f"Question: {asked}\nSo: {said}\n\n" for asked, said in told) + f"Question: {question}\nSo:"


def reason_prompt(question: str) -> str:
    """Up to where the reason begins."""
    told = (
        ("Why did the boat sink?", "it had a hole in its bottom."),
        ("Why are the streets wet?", "it rained."),
        ("Why is Anna tired?", "she ran for two hours."),
    )
    given = "".join(f"Question: {asked}\nAnswer: Because {said}\n\n" for asked, said in told)
    return f"{given}Question: {question}\nAnswer: Because"


def whether_prompt(question: str, answer: str) -> str:
    """Up to where it is told what happens, after ``answer``, yes or no, to whether it does."""
    told = (
        ("Will the window break if a stone hits it?", "Yes", "The glass breaks into pieces."),
        ("Is the water still warm after a night outside?", "No", "The water is cold."),
        ("Does the phone work if you never charge it?", "No", "The battery is empty and the phone turns off."),
        ("Would Anna get wet if she walked in the rain?", "Yes", "Anna is soaked."),
    )
    given = "".join(f"Question: {asked}\nAnswer: {said}. {happens}\n\n" for asked, said, happens in told)
    return f"{given}Question: {question}\nAnswer: {answer}."


def answer_prompt(question: str, examples: Sequence[Lines] = EXAMPLES, imagined: str = "") -> str:
    """Up to where the answer begins, worded from what was imagined where there is something."""
    told = ""
    for one in examples:
        asked = f"What happens if {one.action[:1].lower()}{one.action[1:-1]}?"
        told += f"Question: {asked}\n" + (f"Imagined: {one.result}\n" if imagined else "") + f"Answer: {one.result}\n\n"
    return f"{told}Question: {question}\n" + (f"Imagined: {imagined}\n" if imagined else "") + "Answer:"


def _written(lines: Lines) -> str:
    situation = f"Situation: {lines.situation}\n" if lines.situation else ""
    return f"{situation}Action: {lines.action}\nResult:"
