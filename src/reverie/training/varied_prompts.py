"""Prompts to ask a teacher when nobody brings any: real questions on many subjects, then combinations of their like."""

from __future__ import annotations

from importlib import resources
from itertools import zip_longest

import numpy as np

from reverie.errors import UsageError

__all__ = ["MOST_PROMPTS", "varied_prompts"]

_TOPICS = """a volcano; the heart; a bridge; honey; glass; the moon; a library; copper; a glacier; the eye; paper; salt;
a satellite; wool; a rainbow; the stomach; a windmill; cheese; rubber; a coral reef; an earthquake; the ear; a clock;
sugar; steel; a swamp; migration of birds; a vaccine; a battery; coffee; cotton; a comet; gravity; a market; the lungs;
a dam; chocolate; plastic; a rainforest; an eclipse; the skin; a lighthouse; olive oil; concrete; a cave; democracy; a
mirror; the brain; a canal; vinegar; silk; a hurricane; electricity; a museum; the kidneys; a tunnel; tea; leather; the
ozone layer; a census; a telescope; muscles; a harbour; pepper; gold; a river delta; a strike; a thermometer; teeth; an
elevator; rice; clay; fog; friendship; a compass; blood; a railway; garlic; wood; a tsunami; a court; a camera; the
spine; a greenhouse; pasta; aluminium; the tundra; an election; a microscope; hair; a printing press; butter; wax; a
waterfall; trade; a radio; the nose; a sewer; potatoes; silver; an oasis; a constitution"""
_FORMS = (
    "Explain {} to a child of eight.",
    "What are three surprising things about {}?",
    "Why does {} matter to people?",
    "How would life be different without {}?",
    "Write four sentences about {} for a school book.",
    "What do people often get wrong about {}?",
    "Tell a very short story in which {} plays a part.",
    "What should I know about {} before I talk about it with an expert?",
    "Compare {} with {}.",
    "What is the first thing that comes to mind about {}, and is it true?",
    "How did people think of {} a thousand years ago?",
    "List five words that have to do with {}, each with its meaning.",
    "Where would I look if I wanted to learn about {}?",
    "Give one question about {} that a quiz could ask, with its answer.",
    "What could go wrong with {}?",
    "Describe {} without naming it.",
)
MOST_PROMPTS = 1500


def varied_prompts(count: int, seed: int = 0) -> list[str]:
    """``count`` different prompts; those of one seed begin alike, and few are of all subjects. Raises UsageError for
    none, and for more than ``MOST_PROMPTS``."""
    if not 1 <= count <= MOST_PROMPTS:
        raise UsageError(f"from 1 to {MOST_PROMPTS} prompts can be made, got {count}: write others into a file")
    rng = np.random.default_rng([seed, 11])
    written = _written(rng)
    return [*written, *_combined(rng, count - len(written))][:count]


def _written(rng: np.random.Generator) -> list[str]:
    """Those of the list: one of each subject, then another of each."""
    subjects = list[list[str]]()
    text = resources.files("reverie.training").joinpath("varied_prompts.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        if line.startswith("#"):
            subjects.append([])
        else:
            subjects[-1].append(line)
    mixed = [[one[place] for place in rng.permutation(len(one))] for one in subjects]
    turns = zip_longest(*(mixed[place] for place in rng.permutation(len(mixed))))
    return [prompt for turn in turns for prompt in turn if prompt]


def _combined(rng: np.random.Generator, count: int) -> list[str]:
    topics = [" ".join(topic.split()) for topic in _TOPICS.split(";")]
    made = dict[str, None]()
    while len(made) < count:
        form, (one, other) = _FORMS[len(made) % len(_FORMS)], rng.choice(len(topics), 2, replace=False)
        made[form.format(topics[one], topics[other])] = None
    return list(made)
