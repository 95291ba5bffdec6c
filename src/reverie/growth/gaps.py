"""Gaps: questions that were not known, told apart by subject, named by their words, the gravest first.

Questions are seen by their words and as the router sees them (``experts.features``), in the directions in which they
and a background of questions on many subjects differ most. A gap is a dense place there (HDBSCAN, Campello et al.
2013); the background lies beside it, so that one subject alone is a dense place, too. What lies in the domain of an
expert, by its gate, is kept apart: there an expert answers and does not know.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reverie.errors import ConfigError, UsageError, nearest
from reverie.memory.attempts import Attempt
from reverie.training.varied_prompts import MOST_PROMPTS, varied_prompts

__all__ = ["Gap", "GapConfig", "Gaps", "find_gaps", "gap_named", "gap_to_json", "told_apart"]

_DAY = 86_400.0
_SHOWN = 3  # questions of a gap in a list
_SETTLES = 3  # neighbours by which a place is dense
_NEAR = 8  # and a part of one
_SENTENCE = re.compile(r"(?<=[.!?]) ")
_MARKED = 0.8  # of a place's questions that hold one strange name
_WORDS = re.compile(r"[^\W\d_]{3,}")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?=[?.,;:!']| [a-z(]|$)")  # amid a sentence, and no title


@dataclass(frozen=True)
class GapConfig:
    """How questions become gaps."""

    least: int = 5  # questions of a gap
    directions: int = 5  # in which questions differ most, that are looked at, by words and by features
    words: float = 0.5  # how much of the distance is by words
    near_directions: int = 3  # by words, by those of the last sentence and by features, within a place
    stray: float = 0.3  # of the questions of a place, that may lie in none of its parts
    named_by: int = 3  # words
    week_days: float = 7.0  # that the trend compares with those before
    halved_days: float = 30.0  # after which a question weighs half

    def __post_init__(self) -> None:
        if self.least < 2 or self.directions < 2 or self.named_by < 1 or min(self.week_days, self.halved_days) <= 0:
            raise ConfigError("gaps need at least 2 questions and directions, 1 word, and days above 0")
        if not (0 <= self.words <= 1 and 0 <= self.stray <= 1):
            raise ConfigError(f"gaps: words and stray lie between 0 and 1, got {self.words} and {self.stray}")


@dataclass(frozen=True)
class Gap:
    """Questions of one kind that are not known.

    ``id``: stays while its first question does; ``expert``: in whose domain they lie, "" for nobody's; ``severity``:
    how many, the surely unknown and the new ones weighing most; ``trend`` in [-1, 1]: whether there are more this week
    than the week before; ``place``: (x, y) of each question on a map of all.
    """

    id: str
    name: str
    attempts: tuple[Attempt, ...]
    expert: str
    severity: float
    trend: float
    place: np.ndarray

    @property
    def questions(self) -> list[str]:
        return list(dict.fromkeys(one.question for one in self.attempts))


@dataclass(frozen=True)
class Gaps:
    """The gaps, the gravest first, and the attempts that belong to none, with their places (n, 2)."""

    gaps: tuple[Gap, ...]
    alone: tuple[Attempt, ...]
    alone_place: np.ndarray


def gap_to_json(gap: Gap, every: bool = False) -> dict[str, Any]:
    """What is told of a gap: a few of its questions, or with ``every`` all of them and what was attempted."""
    told = {"id": gap.id, "name": gap.name, "expert": gap.expert, "count": len(gap.attempts)}
    told |= {"severity": round(gap.severity, 2), "trend": round(gap.trend, 2)}
    told["questions"] = gap.questions if every else gap.questions[:_SHOWN]
    return told | ({"attempts": [{**vars(one), "signals": dict(one.signals)} for one in gap.attempts]} if every else {})


def find_gaps(
    attempts: Sequence[Attempt],
    features: np.ndarray,
    background: Mapping[str, np.ndarray],
    owners: Sequence[str],
    config: GapConfig | None = None,
    now: float | None = None,
) -> Gaps:
    """Tell the attempts apart.

    Args:
        features: float (n, D), of each attempt's question
        background: the same, (D,), of questions on many subjects
        owners: the expert whose gate lets each question in, "" for nobody
        now: seconds since 1970
    """
    config, now = config or GapConfig(), time.time() if now is None else now
    if not attempts:
        return Gaps((), (), np.zeros((0, 2)))
    questions = [one.question for one in attempts]
    both = np.concatenate([features, *(one[None] for one in background.values())])
    seen = _view(both, [*questions, *background], config)
    places = np.zeros((len(attempts), 2))
    places[:, : min(2, seen.shape[1])] = seen[: len(attempts), :2]
    labels = told_apart(seen[: len(attempts)], seen[len(attempts) :], config.least)
    labels = _parted(features, questions, labels, config)
    labels = _of_one_name(questions, labels, config.least)
    groups = defaultdict[tuple[str, int], list[int]](list)
    for at, (label, owner) in enumerate(zip(labels, owners, strict=True)):
        groups[owner, -1 if owner else label].append(at)
    enough = {key: ats for key, ats in groups.items() if len(ats) >= config.least and key != ("", -1)}
    names = _names({key: [attempts[at].question for at in ats] for key, ats in enough.items()}, config.named_by)
    gaps = [
        _gap([attempts[at] for at in ats], places[ats], key[0], names[key], now, config) for key, ats in enough.items()
    ]
    within = {at for ats in enough.values() for at in ats}
    left = [at for at in range(len(attempts)) if at not in within]
    gaps.sort(key=lambda gap: (-gap.severity, gap.id))
    return Gaps(tuple(gaps), tuple(attempts[at] for at in left), places[left])


def told_apart(seen: np.ndarray, background: np.ndarray, least: int) -> list[int]:
    """The dense place in which each of ``seen`` (n, d) lies, from 0; -1 for none. Places where the ``background``
    (m, d) is at home are none."""
    from sklearn.cluster import HDBSCAN

    if len(seen) < least:
        return [-1] * len(seen)
    both = np.concatenate([seen, background])
    settled = min(_SETTLES, len(both) - 1)
    labels = HDBSCAN(min_cluster_size=least, min_samples=settled, copy=True).fit_predict(both)
    ours, others = Counter(labels[: len(seen)].tolist()), Counter(labels[len(seen) :].tolist())
    dense = [label for label in sorted(ours) if label >= 0 and ours[label] > others[label]]
    number = {label: place for place, label in enumerate(dense)}
    return [number.get(int(label), -1) for label in labels[: len(seen)]]


def _of_one_name(questions: Sequence[str], labels: Sequence[int], least: int) -> list[int]:
    """Whatever is asked about one thing with a name of its own, or a word that common questions do not have, is one
    gap: places most of whose questions hold it are joined, with the questions beside them that do."""
    usual = {word.removesuffix("s") for one in varied_prompts(MOST_PROMPTS) for word in _words(one)}
    held = [{*_NAME.findall(one), *({word.removesuffix("s") for word in _words(one)} - usual)} for one in questions]
    joined = list(labels)
    for name, _ in Counter(one for names in held for one in names).most_common():
        own = [at for at, names in enumerate(held) if name in names]
        marked = [
            label for label in sorted({joined[at] for at in own} - {-1})
            if sum(joined[at] == label for at in own) >= _MARKED * joined.count(label)
        ]  # fmt: skip
        lone = [at for at in own if joined[at] == -1]
        if len(lone) < least and not marked:
            continue
        marked = marked or [max([*joined, -1]) + 1]
        for at in own:
            if joined[at] == -1 or joined[at] in marked:
                joined[at] = marked[0]
        joined = [marked[0] if label in marked else label for label in joined]
    return joined


def gap_named(gaps: Sequence[Gap], said: str) -> Gap:
    """By its id, the beginning of it, or its name. Raises UsageError."""
    found = [gap for gap in gaps if said in (gap.id, gap.name)] or [gap for gap in gaps if gap.id.startswith(said)]
    if len(found) == 1 and said:
        return found[0]
    known = ", ".join(f"{gap.id} ({gap.name})" for gap in gaps) or "none"
    near = nearest(said, [name for gap in gaps for name in (gap.id, gap.name)])
    hint = f" Did you mean '{near}'?" if near else ""
    raise UsageError(f"there is no gap '{said}'.{hint} There are: {known}")


def _parted(features: np.ndarray, questions: Sequence[str], labels: Sequence[int], config: GapConfig) -> list[int]:
    """Each dense place again, in the directions in which its own questions differ most: what is dense within it is a
    place of its own, and so on. Among questions on many subjects those of a few near kinds lie in one place."""
    found, whole = list(labels), sorted(set(labels) - {-1})
    while whole:
        label = whole.pop()
        at = [place for place, one in enumerate(found) if one == label]
        parts = _parts(features[at], [questions[place] for place in at], config)
        names = [label, *range(max(found) + 1, max(found) + max(parts, default=0) + 1)]
        for place, part in zip(at, parts, strict=False):
            found[place] = names[part]
        whole += names if parts else []
    return found


def _parts(features: np.ndarray, questions: Sequence[str], config: GapConfig) -> list[int]:
    """Which dense place within one each question is nearest to, from 0; none where it is of one piece."""
    from sklearn.cluster import HDBSCAN

    if len(features) < 4 * config.least:
        return []
    seen = _near_view(features, questions, config.near_directions)
    labels = HDBSCAN(min_cluster_size=2 * config.least, min_samples=_NEAR, copy=True).fit_predict(seen)
    if labels.max() < 1 or np.mean(labels < 0) > config.stray:
        return []
    centres = np.stack([seen[labels == label].mean(0) for label in range(labels.max() + 1)])
    nearest = ((seen[:, None] - centres[None]) ** 2).sum(2).argmin(1)
    return [int(one) for one in np.where(labels < 0, nearest, labels)]


def _near_view(features: np.ndarray, questions: Sequence[str], count: int) -> np.ndarray:
    """(n, d) of questions of near kinds: the words of each, those of its last sentence, which often is what is asked
    after a story, and its features, as much each."""
    from sklearn.preprocessing import StandardScaler

    last = [_SENTENCE.split(one.strip())[-1] for one in questions]
    parts = _words_of(questions, False), _words_of(last, False), StandardScaler().fit_transform(features.astype(float))
    return np.concatenate([_directions(part, count) for part in parts], 1)


def _view(features: np.ndarray, questions: Sequence[str], config: GapConfig) -> np.ndarray:
    """(n, d): where questions lie in the directions in which they differ most, by words (TF-IDF) and by features."""
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    parts = (_words_of(questions, True), config.words), (scaled, 1 - config.words)
    return np.concatenate([np.sqrt(share) * _directions(part, config.directions) for part, share in parts], 1)


def _words_of(texts: Sequence[str], rare: bool) -> np.ndarray:
    """(n, words) of those that stand in two of them at least; ``rare``: the rare ones and the repeated ones more."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, use_idf=rare, binary=not rare, min_df=2, token_pattern=r"(?u)\b\w+\b")
    try:
        return np.asarray(words.fit_transform(texts).toarray())
    except ValueError:  # no word stands in two of them
        return np.zeros((len(texts), 1))


def _directions(rows: np.ndarray, count: int) -> np.ndarray:
    """(n, d): ``rows`` in the ``count`` directions in which they differ most, at a mean square of 1."""
    from sklearn.decomposition import PCA

    seen = PCA(min(count, *rows.shape), svd_solver="full").fit_transform(rows)
    return np.asarray(seen / max(np.sqrt((seen**2).sum(1).mean()), 1e-12))


def _words(question: str) -> set[str]:
    """Those of a question that are more than grammar."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return {folded for word in _WORDS.findall(question) if (folded := word.casefold()) not in ENGLISH_STOP_WORDS}


def _gap(
    attempts: list[Attempt], place: np.ndarray, owner: str, name: str, now: float, config: GapConfig
) -> Gap:  # fmt: skip
    unsure = [1.0 if one.why == "wrong" else 1.0 - one.confidence for one in attempts]
    ages = [max(now - one.time, 0.0) / _DAY for one in attempts]
    severity = sum(weight * 0.5 ** (age / config.halved_days) for weight, age in zip(unsure, ages, strict=True))
    week = sum(age <= config.week_days for age in ages)
    before = sum(config.week_days < age <= 2 * config.week_days for age in ages)
    trend = (week - before) / (week + before) if week + before else 0.0
    return Gap(f"g{min(one.id for one in attempts)}", name, tuple(attempts), owner, severity, trend, place)


def _names(groups: dict[tuple[str, int], list[str]], count: int) -> dict[tuple[str, int], str]:
    """The words that a group has and others, and questions on many subjects, have not (c-TF-IDF)."""
    counts = {key: Counter(word for one in questions for word in _words(one)) for key, questions in groups.items()}
    usual = Counter(word for one in varied_prompts(400) for word in _words(one))
    named = dict[tuple[str, int], str]()
    for key, own in counts.items():
        share = {other: sum(one[other] > 0.2 * own[other] for one in counts.values()) for other in own}
        weight = {word: number / (1 + usual[word]) / share[word] for word, number in own.items()}
        best = sorted(weight, key=lambda word: (-weight[word], word))[:count]
        named[key] = " ".join(best) or "questions"
    taken = Counter(named.values())
    return {key: f"{name} {key[1] + 1}" if taken[name] > 1 else name for key, name in named.items()}
