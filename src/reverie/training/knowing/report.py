"""What a calibration is worth, for people and for programs: report.json, report.md, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reverie.files import atomic_write_json, atomic_write_text
from reverie.jsonio import jsonable
from reverie.training.knowing.calibration import Calibrated, features_alone
from reverie.training.knowing.figures import quality, rival_scores

__all__ = ["promise", "report_on", "write_report"]

_COLUMNS = {
    "auroc": "AUROC",
    "aurc": "AURC",
    "ece": "ECE",
    "coverage_at_5": "coverage at 5 % risk",
    "coverage_at_10": "coverage at 10 % risk",
}


def report_on(found: Calibrated) -> dict[str, Any]:
    """The figures of the test part, of every feature and rival alone, by kind, and what was promised."""
    test, model = found.parts.test, found.model
    known, right = found.known, found.right
    promised = model.guarantee
    return {
        "questions": {name: len(some) for name, some in vars(found.parts).items()},
        "right_share": float(right.mean()),
        "threshold": model.threshold,
        "guarantee": None if promised is None else vars(promised),
        "known_share": float(known.mean()),
        "wrong_share_of_known": float((~right[known]).mean()) if known.any() else 0.0,
        "confidence": quality(found.sure, right),
        "alone": {name: quality(scores, right, False) for name, scores in rival_scores(test).items()}
        | {name: quality(scores, right, False) for name, scores in features_alone(found).items()},
        "weights": dict(zip(model.names, model.weights, strict=True)),
        "kinds": {kind: _of_kind(found, kind) for kind in sorted({one.kind for one in test})},
    }


def _of_kind(found: Calibrated, kind: str) -> dict[str, float]:
    here = np.array([one.kind == kind for one in found.parts.test])
    known, right = found.known[here], found.right[here]
    return {"n": int(here.sum()), "right_share": float(right.mean()), "known_share": float(known.mean())}


def write_report(found: Calibrated, folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write report.json, report.md and the pictures into ``folder``; the report. Raises MissingExtraError."""
    from reverie.training.knowing.plots import draw_calibration

    report = dict(about) | report_on(found)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw_calibration(found, folder)
    atomic_write_json(folder / "report.json", jsonable(report))
    atomic_write_text(folder / "report.md", _written(report, [file.name for file in pictures]))
    return report


def promise(report: Mapping[str, Any]) -> str:
    """One sentence: what the threshold promises."""
    told = report["guarantee"]
    if report["threshold"] is None:
        return (
            f"No threshold can promise that at most {told['risk']:.0%} of what is called known is wrong: "
            "nothing is called known. More questions, or a higher risk, may help."
        )
    return (
        f"From a confidence of {report['threshold']:.2f} on an answer is called known: of such answers at most "
        f"{told['risk']:.0%} are wrong, with a certainty of {1 - told['delta']:.0%}, for questions like these."
    )


def _written(report: Mapping[str, Any], pictures: Sequence[str]) -> str:
    parts = report["questions"]
    lines = [
        f"# Confidence of {report.get('model', 'the model')}",
        "",
        promise(report),
        "",
        f"Of {sum(parts.values())} questions {parts['fit']} fitted the probe, {parts['calibrate']} set the threshold, "
        f"and {parts['test']} were only looked at: {report['right_share']:.0%} of those were answered rightly, "
        f"{report['known_share']:.0%} were called known, and {report['wrong_share_of_known']:.1%} of what was called "
        "known was wrong.",
        "",
        "| on the test part | " + " | ".join(_COLUMNS.values()) + " |",
        "|---|" + "---|" * len(_COLUMNS),
        _row("**confidence**", report["confidence"]),
        *(_row(name, figures) for name, figures in report["alone"].items()),
        "",
        "AUROC: the chance that a right answer is surer than a wrong one. AURC: mean risk over all coverages, less is "
        "better. ECE: how far confidences are from shares. Coverage at a risk: what could be answered, had one known "
        "where to stop.",
        "",
        "| kind | questions | right | known |",
        "|---|---|---|---|",
        *(
            f"| {kind} | {of['n']} | {of['right_share']:.0%} | {of['known_share']:.0%} |"
            for kind, of in report["kinds"].items()
        ),
        "",
        *(f"![{Path(name).stem}]({name})" for name in pictures),
        "",
    ]
    return "\n".join(lines)


def _row(name: str, figures: Mapping[str, float]) -> str:
    cells = [f"{figures[column]:.3f}" if column in figures else "" for column in _COLUMNS]
    return f"| {name} | " + " | ".join(cells) + " |"
