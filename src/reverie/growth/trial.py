"""The trial of a new expert: what it must gain, what nobody may lose, and whether its lessons can be believed.

Lessons may be false, and the exam is made of the same lessons. So three things are asked of it. *Gain*: are unseen
lessons answered rightly that were not before? *Matter*: is an answer likelier after its own question than after
another's? Shuffled or constant answers are learned, too, but not that. *Agreement*: of the unseen lessons on which
the expert has a sure opinion, how many say otherwise? One that learned what most lessons say strays from the false
ones; where it strays often, two more experts, taught a half of the lessons each, tell what is hard (they differ) from
what is false (they are of one mind against the lesson). A falsehood that all lessons share is not found by any of this.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import torch

from reverie.experts.contract import Adapter, Choice
from reverie.experts.files import describe_adapter
from reverie.experts.prototypes import PROTOTYPE_FILE, Prototype, save_prototype
from reverie.files import atomic_write_json, sha256_of
from reverie.growth.bounds import least_gain, least_share, most_lost, most_share
from reverie.growth.certificate import ROWS_FILE, Certificate, Test, read_rows, rows_json
from reverie.growth.creation import Grown
from reverie.growth.examining import Examiner, Seen
from reverie.growth.gate import gate_of
from reverie.growth.learned_words import save_words
from reverie.growth.limits import TrialConfig
from reverie.learning.guard import Probe, packaged_probes
from reverie.training.varied_prompts import varied_prompts

__all__ = ["Candidate", "Halves", "certify", "known_domains", "trial"]

Halves = Callable[[], tuple[Adapter, Adapter]]  # two experts, taught a half of the lessons each
GAP, SWAPPED, DOMAIN, PROBE, OUTSIDERS = "gap", "swapped", "domain:", "probe:", "outsiders"  # sets of rows


@dataclass(frozen=True)
class Candidate:
    """What is tried, beside what is there without it."""

    name: str
    adapter: Adapter
    gate: Prototype
    examiner: Examiner
    config: TrialConfig
    without: str = ""  # the expert of the library that it is already

    def before(self, probes: Sequence[Probe]) -> list[Choice]:
        return self._route(probes, {})

    def after(self, probes: Sequence[Probe]) -> list[Choice]:
        return self._route(probes, {self.name: self.gate})

    def _route(self, probes: Sequence[Probe], more: Mapping[str, Prototype]) -> list[Choice]:
        router = self.examiner.router(more, without=self.without)
        return router.route(self.examiner.features([one.question for one in probes]))

    def reaches(self, choice: Choice) -> bool:
        return any(name == self.name for name, _ in choice)


_Bounded = Callable[[float], Test]  # a test at a level alpha


def certify(
    name: str,
    grown: Grown,
    examiner: Examiner,
    domains: Mapping[str, Sequence[Probe]] | None = None,
    probes: Mapping[str, Sequence[Probe]] | None = None,
    halves: Halves | None = None,
    config: TrialConfig | None = None,
    gap: str = "",
) -> Certificate:
    """Try a candidate, and leave its gate and the rows of its trial in its folder's ``export``.

    Args:
        name: that it is to have
        domains: rows of each expert that is there; without, those that their certificates bring
        probes: the user's own sets, beside the packaged one
        halves: makes two more experts where they are needed; without, what is hard cannot be told from what is false
    """
    config, export = config or TrialConfig(), grown.folder / "run" / "export"
    known = known_domains(examiner) if domains is None else dict(domains)
    kept = {place: [one for at, one in enumerate(rows) if at % 2 == 0] for place, rows in known.items()}
    for_gate = [one.question for rows in known.values() for one in rows[1::2]]
    others = varied_prompts(config.drawn_in + config.outsiders)
    gate = gate_of(
        examiner.guard,
        [question for question, _ in grown.parts.taught],
        [question for question, _ in grown.parts.held],
        examiner.features([*others[: config.drawn_in], *for_gate]),
    )
    save_prototype(gate, export, examiner.library.base)
    rows = {
        GAP: [Probe(*row) for row in grown.parts.exam],
        SWAPPED: _swapped(grown.parts.exam),
        **{f"{DOMAIN}{place}": some for place, some in kept.items() if some},
        f"{PROBE}packaged": packaged_probes(examiner.adapted),
        **{f"{PROBE}{place}": [*some] for place, some in (probes or {}).items() if some},
        OUTSIDERS: [Probe(one, "-") for one in others[config.drawn_in :]],
    }
    atomic_write_json(export / ROWS_FILE, rows_json(rows))
    parts = grown.parts
    save_words([one for one, _ in (*parts.taught, *parts.held)], [one for one, _ in parts.exam], export)
    tests = trial(Candidate(name, grown.adapter, gate, examiner, config), rows, halves)
    tests += _in_budget(grown, examiner, config)
    return Certificate(
        name,
        examiner.library.base,
        tuple(tests),
        config=asdict(config),
        gap=gap,
        lessons={part: len(getattr(grown.parts, part)) for part in ("taught", "held", "exam")}
        | {**grown.parts.left_out},
        reasons=grown.design.reasons,
        hashes={file: sha256_of(export / file) for file in ("adapter_model.safetensors", PROTOTYPE_FILE, ROWS_FILE)}
        | {"lessons": grown.parts.digest},
        library={one: _weights(examiner, one) for one in examiner.library.names() if one != name},
        untested=tuple(one for one in examiner.library.names() if one not in known and one != name),
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    ).signed()


def known_domains(examiner: Examiner) -> dict[str, list[Probe]]:
    """Rows of the experts that came with a certificate: what each was judged by."""
    found = {}
    for name in examiner.library.names():
        folder = examiner.library.folder_of(name)
        if (folder / ROWS_FILE).exists():
            found[name] = read_rows(folder).get(GAP, [])
    return found


def trial(candidate: Candidate, rows: Mapping[str, Sequence[Probe]], halves: Halves | None = None) -> list[Test]:
    """All tests of a candidate on these rows: the certain ones, and the others with Holm's levels."""
    config, examiner = candidate.config, candidate.examiner
    gap, swapped = rows[GAP], rows[SWAPPED]
    after = examiner.under(candidate.adapter, gap)
    bounded = [
        _gain(candidate, gap, _as_routed(candidate, gap, after)),
        _matter(candidate, swapped, gap, after),
        _routed(candidate, gap),
    ]
    bounded.append(_outsiders(candidate, rows[OUTSIDERS]))
    certain = list[Test]()
    for name, some in rows.items():
        if name.startswith((DOMAIN, PROBE)):
            bounded.append(_losses(candidate, name, some))
        if name.startswith(DOMAIN):
            certain.append(_moved(candidate, name, some))
    certain.append(_untouched(candidate, [*rows[OUTSIDERS], *_probe_rows(rows)], gap))
    return holm(bounded, config.alpha, certain, _agreement(candidate, gap, after, halves))


def holm(
    bounded: Sequence[_Bounded], alpha: float, certain: list[Test], last: Callable[[bool], _Bounded]
) -> list[Test]:
    """Tests with Holm's levels: each at ``alpha`` over the number of those that have not passed yet. ``last`` is made
    when the others are known, since it may be costly and is not needed where they fail."""
    first = _holm(bounded, alpha, len(bounded) + 1)
    passed = all(test.passed for test in (*first, *certain))
    return [*_holm([*bounded, last(passed)], alpha, len(bounded) + 1), *certain]


def _holm(bounded: Sequence[_Bounded], alpha: float, count: int) -> list[Test]:
    tests = [one(alpha / count) for one in bounded]
    while any(test.passed for test in tests):
        left = count - sum(test.passed for test in tests)
        again = [test if test.passed else one(alpha / max(left, 1)) for test, one in zip(tests, bounded, strict=True)]
        if [test.passed for test in again] == [test.passed for test in tests]:
            return again
        tests = again
    return tests


# the tests ------------------------------------------------------------------------------------------------------


def _gain(candidate: Candidate, gap: Sequence[Probe], after: Sequence[Seen]) -> _Bounded:
    seen = candidate.examiner.seen(gap, candidate.before(gap))
    gained = sum(new.right and not old.right for old, new in zip(seen, after, strict=True))
    lost = sum(old.right and not new.right for old, new in zip(seen, after, strict=True))
    right = sum(one.right for one in seen), sum(one.right for one in after)
    about = f"{right[0]} of {len(gap)} unseen lessons right before, {right[1]} with the expert"
    return lambda level: Test("gain", len(gap), *right, least_gain(gained, lost, len(gap), level), 0.0, "above", about)


def _as_routed(candidate: Candidate, gap: Sequence[Probe], alone: Sequence[Seen]) -> list[Seen]:
    """How the rows are answered with the expert in the library; ``alone``: how it answers all of them."""
    found, choices = [*alone], candidate.after(gap)
    others = [at for at, choice in enumerate(choices) if choice != ((candidate.name, 1.0),)]
    told = candidate.examiner.seen(
        [gap[at] for at in others], [choices[at] for at in others], {candidate.name: candidate.adapter}
    )
    for at, seen in zip(others, told, strict=True):
        found[at] = seen
    return found


def _matter(candidate: Candidate, swapped: Sequence[Probe], gap: Sequence[Probe], after: Sequence[Seen]) -> _Bounded:
    own = {one.question: seen.nats for one, seen in zip(gap, after, strict=True)}
    others = candidate.examiner.under(candidate.adapter, swapped)
    nearer = sum(own[one.question] < seen.nats for one, seen in zip(swapped, others, strict=True))
    count = len(swapped)
    about = f"{nearer} of {count} answers likelier than another lesson's answer"
    return lambda level: Test(
        "question matters", count, count - nearer, nearer, least_share(nearer, count, level), 0.5, "above", about
    )


def _agreement(
    candidate: Candidate, gap: Sequence[Probe], after: Sequence[Seen], halves: Halves | None
) -> Callable[[bool], _Bounded]:
    def bounded(against: int, count: int, who: str) -> _Bounded:
        about = f"{against} of {count} unseen lessons say otherwise than {who}"
        most = candidate.config.most_wrong
        return lambda level: Test(
            "lessons agree", count, 0, against, most_share(against, count, level), most, "at most", about
        )

    def made(others_passed: bool) -> _Bounded:
        alone = bounded(sum(not one.right for one in after), len(after), "the expert")
        if alone(candidate.config.alpha).passed or halves is None or not others_passed:
            return alone
        first, other = (candidate.examiner.under(one, gap) for one in halves())
        minds = [a for a, b, c in zip(first, other, after, strict=True) if a.strayed == b.strayed == c.strayed]
        return bounded(sum(not one.right for one in minds), len(minds), "all three experts, which are of one mind")

    return made


def _routed(candidate: Candidate, gap: Sequence[Probe]) -> _Bounded:
    reached, least = sum(map(candidate.reaches, candidate.after(gap))), candidate.config.least_routed
    about = f"{reached} of {len(gap)} questions of the gap reach the expert"
    return lambda level: Test(
        "routing of the gap", len(gap), 0, reached, least_share(reached, len(gap), level), least, "above", about
    )


def _outsiders(candidate: Candidate, rows: Sequence[Probe]) -> _Bounded:
    reached, most = sum(map(candidate.reaches, candidate.after(rows))), candidate.config.most_outsiders
    about = f"{reached} of {len(rows)} questions on other subjects reach the expert"
    return lambda level: Test(
        "outsiders", len(rows), 0, reached, most_share(reached, len(rows), level), most, "at most", about
    )


def _losses(candidate: Candidate, name: str, rows: Sequence[Probe]) -> _Bounded:
    """Rows whose choice is as it was are answered as they were, to the bit: the others alone are answered anew."""
    old, new = candidate.before(rows), candidate.after(rows)
    moved = [at for at, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    some = [rows[at] for at in moved]
    was = candidate.examiner.seen(some, [old[at] for at in moved])
    now = candidate.examiner.seen(some, [new[at] for at in moved], {candidate.name: candidate.adapter})
    known = sum(one.right for one in was)  # what was wrong cannot be lost
    lost = sum(one.right and not other.right for one, other in zip(was, now, strict=True))
    gained = sum(other.right and not one.right for one, other in zip(was, now, strict=True))
    about = f"{len(moved)} of {len(rows)} rows reach it, {known} of them right before; {lost} lost, {gained} gained"
    most = candidate.config.most_lost
    return lambda level: Test(
        f"loss of {name}", len(rows), known, lost, most_lost(lost, known, len(rows), level), most, "at most", about
    )


def _moved(candidate: Candidate, name: str, rows: Sequence[Probe]) -> Test:
    old, new = candidate.before(rows), candidate.after(rows)
    moved = sum(bool(one) and one[0][0] != other[0][0] for one, other in zip(old, new, strict=True))
    about = f"{len(rows) - moved} of {len(rows)} rows keep who answers them first"
    return Test(
        f"routing of {name}", len(rows), len(rows), len(rows) - moved, moved / len(rows), candidate.config.most_moved,
        "at most", about,
    )  # fmt: skip


def _untouched(candidate: Candidate, others: Sequence[Probe], gap: Sequence[Probe]) -> Test:
    """Whether rows that do not reach the expert are, beside rows that do, what they are without it: bit for bit."""
    from reverie.growth.unrouted import untouched

    new = candidate.after(others)
    some = [one for one, choice in zip(others, new, strict=True) if not choice][:24]
    same = untouched(candidate.examiner, candidate.adapter, some, gap[:8])
    about = f"{same} of {len(some)} rows that do not reach it are the same to the bit beside rows that do"
    return Test("unrouted rows", len(some), len(some), same, float(len(some) - same), 0.0, "at most", about)


def _in_budget(grown: Grown, examiner: Examiner, config: TrialConfig) -> list[Test]:
    folder = grown.folder / "run" / "export"
    size = sum(file.stat().st_size for file in folder.iterdir())
    sizes = describe_adapter(folder)
    work = sizes["num_parameters"] / (examiner.library.base_weights or sizes["num_parameters"])
    return [
        Test("size", 1, 0, size, float(size), config.most_bytes, "at most", f"{size:,} bytes on disk"),
        Test("work", 1, 0, 1, work, config.most_work, "at most", f"{work:.1%} more multiplications an id"),
    ]


# helpers --------------------------------------------------------------------------------------------------------


def _swapped(rows: Sequence[tuple[str, str]]) -> list[Probe]:
    """Each question with the answer of another, where there is one that answers otherwise; drawn by the rows alone."""
    rng, found = np.random.default_rng([len(rows), 17]), list[Probe]()
    for question, answer in rows:
        if others := [other for _, other in rows if other != answer]:
            found.append(Probe(question, others[int(rng.integers(len(others)))]))
    return found


def _probe_rows(rows: Mapping[str, Sequence[Probe]]) -> list[Probe]:
    return [one for name, some in rows.items() if name.startswith(PROBE) for one in some]


def _weights(examiner: Examiner, name: str) -> str:
    return sha256_of(examiner.library.folder_of(name) / "adapter_model.safetensors")


def _versions() -> dict[str, str]:
    import reverie

    return {
        "reverie": reverie.__version__, "torch": torch.__version__, "transformers": version("transformers"),
        "python": platform.python_version(), "machine": platform.machine(),
    }  # fmt: skip
