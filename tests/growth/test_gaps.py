"""What is not known, told apart: dense places, names, what is grave, and what belongs to nobody."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.errors import ConfigError, UsageError
from reverie.growth.gap_map import draw_gaps
from reverie.growth.gaps import GapConfig, Gaps, find_gaps, gap_named
from reverie.memory.attempts import Attempt
from reverie.training.varied_prompts import varied_prompts

NOW, DAY = 2e9, 86_400.0
FORMS = ("Who keeps the {} of {}?", "What color is the {} in {}?", "In {1}, when was the {0} built?")
PLACES = ("harbour", "mill", "tower", "school")


def asked(count: int, form: str, start: int = 1, age: float = 1.0, **fields: object) -> list[Attempt]:
    made = (form.format(PLACES[at % 4], at) for at in range(count))
    return [Attempt(text, "?", "smol", time=NOW - age * DAY, id=start + at, **fields) for at, text in enumerate(made)]  # type: ignore[arg-type]


def blobs(*sizes: int, far: float = 12.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), 24)) * far
    return np.concatenate([rng.normal(size=(size, 24)) + centre for size, centre in zip(sizes, centres)])


BACKGROUND = dict(zip(varied_prompts(60), np.random.default_rng(9).normal(size=(60, 24)) * 8, strict=True))


def found(attempts: list[Attempt], features: np.ndarray, owners: list[str] | None = None) -> Gaps:
    return find_gaps(attempts, features, BACKGROUND, owners or [""] * len(attempts), now=NOW)


def test_two_subjects_are_two_gaps_named_by_their_words() -> None:
    attempts = [*asked(12, "Which fish swims in {} {}?"), *asked(8, "Which wine grows near {} {}?", 20)]
    told = found(attempts, blobs(12, 8))
    assert [len(gap.attempts) for gap in told.gaps] == [12, 8]
    assert "fish" in told.gaps[0].name
    assert "wine" in told.gaps[1].name
    assert [gap.id for gap in told.gaps] == ["g1", "g20"]
    assert told.alone == ()
    assert draw_gaps(told, "smol").startswith(b"\x89PNG")


def test_one_subject_alone_is_a_gap_and_noise_is_none() -> None:
    assert [len(gap.attempts) for gap in found(asked(9, "Which fish swims in {} {}?"), blobs(9)).gaps] == [9]
    noise = np.random.default_rng(3).normal(size=(12, 24)) * 8
    told = found([Attempt(text, "?", "smol", id=at) for at, text in enumerate(varied_prompts(90)[78:])], noise)
    assert (told.gaps, len(told.alone)) == ((), 12)
    few = found(asked(1, "Who is {} {}?"), blobs(1))
    assert (few.gaps, len(few.alone)) == ((), 1)
    assert found([], np.zeros((0, 24))).gaps == ()


def test_what_is_asked_about_one_named_thing_is_one_gap() -> None:
    asks = [form.format(place, "Arden") for form in FORMS for place in (*PLACES, "bank", "well")]
    attempts = [Attempt(text, "?", "smol", time=NOW, id=at) for at, text in enumerate(asks, 1)]
    (gap,) = found(attempts, blobs(6, 6, 6)).gaps
    assert len(gap.attempts) == 18
    assert "arden" in gap.name


def test_a_subject_with_a_strange_word_is_a_gap_however_it_is_asked() -> None:
    asks = ["What do vornaks eat?", "How tall is a vornak?", "Where does the vornak sleep?", "Who first saw a vornak?",
            "Can vornaks swim in winter?", "Is the vornak shy?"]  # fmt: skip
    attempts = [
        Attempt(text, "?", "smol", time=NOW, id=at) for at, text in enumerate((*asks, *varied_prompts(96)[90:]), 1)
    ]
    (gap,) = found(attempts, np.random.default_rng(3).normal(size=(12, 24)) * 8).gaps
    assert gap.questions == asks
    assert "vornak" in gap.name


def test_what_lies_in_the_domain_of_an_expert_is_told_so() -> None:
    told = found(asked(12, "Which fish swims in {} {}?"), blobs(12), ["tides"] * 6 + [""] * 6)
    assert sorted(gap.expert for gap in told.gaps) == ["", "tides"]


def test_the_gravest_come_first_and_trends_are_told() -> None:
    sure = asked(8, "Which fish swims in {} {}?", confidence=0.4)
    wrong = asked(8, "Which wine grows near {} {}?", 30, age=10, why="wrong")
    first, second = found([*sure, *wrong], blobs(8, 8)).gaps
    assert (first.id, first.trend, second.trend) == ("g30", -1.0, 1.0)
    assert first.severity == pytest.approx(8 * 0.5 ** (10 / 30))


def test_a_gap_is_named_or_it_is_said_which_there_are() -> None:
    gaps = found(
        [*asked(12, "Which fish swims in {} {}?"), *asked(8, "Which wine grows near {} {}?", 20)], blobs(12, 8)
    ).gaps
    assert gap_named(gaps, "g20") is gap_named(gaps, gaps[1].name)
    for said in ("g9", "", "g"):
        with pytest.raises(UsageError, match=r"there is no gap .* There are: g1"):
            gap_named(gaps, said)
    with pytest.raises(ConfigError, match="at least 2"):
        GapConfig(least=1)
