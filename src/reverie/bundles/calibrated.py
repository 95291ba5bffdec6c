"""A bundle learns when its answers may be called known: it is asked, and what comes of that is written into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from reverie.bundles.bundle import MANIFEST, find_bundle, packaged_bundles, read_manifest, verify_bundle
from reverie.bundles.loading import Bundle, load_bundle
from reverie.dreaming.confidence import FORMS, ConfidenceModel
from reverie.dreaming.grounding import Evidence, GroundingConfig
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.question import DreamSettings, Manner, Question, Speaking
from reverie.dreaming.words import WordMind
from reverie.errors import UsageError
from reverie.files import atomic_folder, atomic_write_json, sha256_of
from reverie.jsonio import jsonable
from reverie.nouns import Answer, Dream
from reverie.progress import Progress, no_progress
from reverie.training.knowing.asking import ask_all
from reverie.training.knowing.calibration import Calibrated, calibrate, graded
from reverie.training.knowing.fitting import FitConfig
from reverie.training.knowing.questions import KeyedQuestion
from reverie.training.knowing.report import report_on, write_report
from reverie.training.knowing.told import Told, told_questions

__all__ = ["Asking", "calibrate_bundle", "check_place", "with_confidence"]

CONFIDENCE = "confidence.json"
FORMS_REPORT = "forms.json"
_MAX_IDS = 40  # of an answer: it is judged by its first sentence


def calibrate_bundle(
    name: str | Path,
    asked: Sequence[KeyedQuestion],
    run_dir: Path,
    config: FitConfig | None = None,
    out: Path | None = None,
    about: str = "",
    forms: bool = True,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Ask the bundle ``name``, fit its confidence, write it into the bundle, or into a copy ``out``; the report.

    ``run_dir`` keeps the answers as they come, the same call goes on there, and gets the report; ``about`` says what
    was asked; ``forms``: a base's dreams in words and readings are calibrated, too. Raises UsageError for a packaged
    bundle without ``out``, an ``out`` that exists, and too few questions.
    """
    folder = check_place(name, out)
    config = config or FitConfig()
    bundle = load_bundle(folder, weights="auto")
    manifest = verify_bundle(folder)
    with closing(Asking(bundle, config.seed)) as ask:
        depends = {"bundle": bundle.name, "backbone": _hashes(manifest, "backbone/"), "seed": config.seed}
        heard = ask_all(ask, asked, run_dir, depends, progress)
        progress("fitting", 0, 0)
        found = calibrate(graded(asked, heard), config, about)  # too few are refused before more is asked
        beside = _of_forms(ask, config, run_dir, depends, progress) if forms and bundle.words is not None else {}
    told = write_report(found, run_dir, {"model": bundle.name, "about": about})
    told["forms"] = {form: report_on(one) for form, one in beside.items()}
    atomic_write_json(run_dir / FORMS_REPORT, jsonable(told["forms"]))
    model = replace(found.model, forms={form: one.model for form, one in beside.items()})
    with_confidence(folder, model, out)
    return told | {"bundle": out or folder, "run_dir": run_dir}


def _of_forms(
    ask: Asking, config: FitConfig, run_dir: Path, depends: Mapping[str, Any], progress: Progress
) -> dict[str, Calibrated]:
    """The confidence of answers of other forms, each by questions of the house's own; of one that gave too few right or
    wrong answers to fit anything on, nothing."""
    found = {}
    for form, told in told_questions(config.seed).items():
        asked = [one.asked for one in told]
        read = partial(_beside, ask, {one.asked.question: one for one in told})
        heard = ask_all(read, asked, run_dir / form, depends, progress)
        met = [one for one in graded(asked, heard) if one.signals.form == form]
        with suppress(UsageError):
            found[form] = calibrate(met, config, f"{FORMS[form]}: questions of the house's own")
    return found


def check_place(name: str | Path, out: Path | None) -> Path:
    """The bundle's folder. Raises UsageError where its confidence cannot be written there, or to ``out``."""
    folder = find_bundle(name).resolve()
    packaged = folder in [one.resolve() for one in packaged_bundles().values()]
    if out is None and packaged:
        raise UsageError(f"the model '{name}' belongs to the package: name a folder for the calibrated one with --out")
    if out is not None and out.exists():
        raise UsageError(f"{out} exists already; name a new folder for the bundle")
    return folder


def _beside(ask: Asking, told: Mapping[str, Told], some: Sequence[str]) -> list[Answer]:
    return ask.beside([told[question] for question in some])


class Asking:
    """Asks a bundle's mind without any memory, as ``Ask``; ``close`` lets go of it."""

    def __init__(self, bundle: Bundle, seed: int = 0):
        runtime = RuntimeConfig(enable_gpt51_codex_preview=False)
        self.session, self._seed = bundle.session(runtime, memory=False), seed

    def __call__(self, questions: Sequence[str]) -> list[Answer]:
        mind = self.session.mind
        if not isinstance(mind, WordMind):
            return self.session.ask_many(questions, seed=self._seed)
        manner = Manner(DreamSettings(seed=self._seed), Speaking(max_ids=_MAX_IDS))
        told = mind.at_once([Question(text) for text in questions], manner)
        return [replace(one, guess=one.text, known=False) for one, _ in told]

    def beside(self, told: Sequence[Told]) -> list[Answer]:
        """What a mind in words reads of what is told, or dreams; what it would answer at once has no signals."""
        mind = self.session.mind
        assert isinstance(mind, WordMind)
        manner = Manner(DreamSettings(seed=self._seed), Speaking(max_ids=_MAX_IDS))
        asked = [(Question(one.asked.question), one.facts) for one in told]
        found = [mind.read_or_dreamt(_Nothing(), each, manner, facts, measured=True) for each, facts in asked]
        return [one or Answer("", False, 0.0, "local") for one in found]

    def close(self) -> None:
        self.session.close()


class _Nothing:
    """What dreams are held against: nothing that is remembered."""

    def evidence(self, dreams: Sequence[Dream]) -> Evidence:
        return Evidence({}, GroundingConfig())


def with_confidence(folder: Path, model: ConfidenceModel, out: Path | None = None) -> Path:
    """The bundle ``folder`` with another confidence, in its place or as ``out``; whole or not at all."""
    manifest = read_manifest(folder)
    place = out or folder
    with atomic_folder(place) as building:
        shutil.copytree(folder, building, copy_function=_linked, dirs_exist_ok=True)
        model.save(building / CONFIDENCE)  # a new file: what is linked is not written to
        file = building / CONFIDENCE
        sealed = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        atomic_write_json(building / MANIFEST, manifest | {"files": manifest["files"] | {CONFIDENCE: sealed}})
        verify_bundle(building)
    return place


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _hashes(manifest: Mapping[str, Any], below: str) -> dict[str, str]:
    return {name: said["sha256"] for name, said in manifest["files"].items() if name.startswith(below)}
