"""What a teacher is asked for lessons, and how its replies are read. Prompts are texts to go on with, a few examples
and then what is wanted, which small models follow best; one that only talks gets the same words in a talk."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reverie.growth.alike import telling
from reverie.teachers.contract import Teacher, TeacherConfig
from reverie.teachers.traces import Trace

__all__ = [
    "FORMS",
    "LESSON_TEACHER",
    "answer_prompt",
    "in_other_words",
    "like_these",
    "read_prompt",
    "replies",
    "said",
    "said_lines",
]

#: how a teacher is opened for lessons: short replies, drawn, so that what it does not know differs from draw to draw
LESSON_TEACHER = TeacherConfig(max_ids=96, temperature=0.7, talk=False, top=0, stop=("\n\n",))

# none is likely to be near what is asked: a small model says the nearest again
_EXAMPLES = (
    ("What do bees make?", "honey"),
    ("Who wrote Hamlet?", "William Shakespeare"),
    ("How many legs does a spider have?", "eight"),
    ("What color is the sky?", "blue"),
)
_READ = (
    ("Alma school: It was built in 1850 and is led by Jane Roe.", "Who leads Alma school?", "Jane Roe"),
    ("Rova car: The car weighs 900 kilograms.", "How heavy is the Rova car?", "900 kilograms"),
    ("Barn owl: At night the owl hunts mice in open fields.", "Where does the barn owl hunt?", "open fields"),
    ("Arden ferry: It has left at nine since 1931.", "Since when does the Arden ferry leave at nine?", "1931"),
)
# the same, asked in other words: what leads, what stands before a passage, a question and an answer
_WORDINGS = (
    ("", "Fact: ", "Question: ", "Answer:"),
    ("The right answers of an exam.\n\n", "Given: ", "Exam question: ", "Correct answer:"),
    ("A quiz. Every answer is right, and a few words long.\n\n", "Known: ", "Asked: ", "Right answer:"),
)
FORMS = len(_WORDINGS)
_LABEL = re.compile(
    r"^(?:(?:(?:right|correct) )?answer|a|q|(?:exam )?question|asked|in other words)\s*:\s*", re.IGNORECASE
)
_NUMBER = re.compile(r"^\s*(?:\d+\s*[.):]|[-*•])\s*")
_WORDED = (
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
    ("How tall is the Eiffel Tower?", "What is the height of the Eiffel Tower?"),
)


def replies(teacher: Teacher, prompts: Sequence[str]) -> list[str]:
    """The reply to each prompt, "" where there is none that is any good."""
    found, place = [""] * len(prompts), 0
    for trace in teacher.teach(prompts):
        while place < len(prompts) and prompts[place] != _asked(trace):
            place += 1
        if place < len(prompts):
            found[place] = trace.text
            place += 1
    return found


def _asked(trace: Trace) -> str:
    return trace.prompt if isinstance(trace.prompt, str) else trace.prompt[-1].content


def said(reply: str) -> str:
    """The first line of a reply, without a label or quotes."""
    line = next((line.strip() for line in reply.split("\n") if line.strip()), "")
    line = _LABEL.sub("", line).strip()
    return line[1:-1].strip() if len(line) > 2 and line[0] in "\"'“" and line[-1] in "\"'”" else line


def said_lines(reply: str) -> list[str]:
    """All lines of a reply without their numbers. The last one may be cut off."""
    lines = (_LABEL.sub("", _NUMBER.sub("", line)).strip() for line in reply.split("\n"))
    return [line for line in lines if line]


def answer_prompt(question: str, passage: str = "", form: int = 0, known: Sequence[tuple[str, str]] = ()) -> str:
    """Asks for an answer, from a passage where there is one. ``form``: in which of the ``FORMS`` wordings, each with
    its examples in another order; ``known``: examples of the gap itself, right answers that somebody gave."""
    lead, fact, ask, answer = _WORDINGS[form % FORMS]
    shown = [("", *one) for one in (*_EXAMPLES, *known)] if not passage else list(_READ)
    turn = form % len(shown)
    told = "".join(
        (f"{fact}{text}\n" if text else "") + f"{ask}{asked}\n{answer} {words}\n\n"
        for text, asked, words in (*shown[turn:], *shown[:turn])
    )
    return f"{lead}{told}" + (f"{fact}{passage}\n" if passage else "") + f"{ask}{question}\n{answer}"


def read_prompt(passage: str) -> str:
    """Asks for a question that the passage answers, and on the next line its answer."""
    told = "".join(f"Fact: {text}\nQuestion: {asked}\nAnswer: {words}\n\n" for text, asked, words in _READ)
    return f"{told}Fact: {passage}\nQuestion:"


def like_these(questions: Sequence[str]) -> str:
    """Asks for more questions of their kind."""
    listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
    return f"Different questions of one kind:\n{listed}\n{len(questions) + 1}."


def in_other_words(question: str) -> str:
    told = "".join(f"Question: {asked}\nIn other words: {words}\n\n" for asked, words in _WORDED)
    return f"{told}Question: {question}\nIn other words:"


def rewords(question: str, words: str) -> bool:
    """Whether ``words`` may be ``question`` in other words: one question, with the same names and numbers."""
    asks = words.endswith("?") == question.endswith("?") and words.count("?") <= 1
    return bool(words) and asks and words.casefold() != question.casefold() and telling(words) == telling(question)
