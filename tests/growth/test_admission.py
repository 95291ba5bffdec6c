"""From a candidate to the library and out again: what is admitted, what is not, and what a certificate is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.growth.conftest import CONFIG, lessons

from reverie.errors import ExpertError, UsageError
from reverie.experts.contract import Adapter, Factors
from reverie.experts.library import Library
from reverie.growth import admit, certify, grow_expert, remove, verify
from reverie.growth.admission import REJECTED, rejected
from reverie.growth.certificate import CERTIFICATE_FILE, ROWS_FILE, Certificate, read_certificate
from reverie.growth.creation import Grown, grow_halves
from reverie.growth.examining import Examiner
from reverie.training.adapted import Adapted
from toy_experts import snapshot


@pytest.fixture
def certificate(clean: Grown, examiner: Examiner) -> Certificate:
    return certify("ways", clean, examiner, config=CONFIG, gap="g1")


@pytest.fixture
def admitted(library: Library, clean: Grown, certificate: Certificate) -> Certificate:
    assert certificate.why == ""
    assert admit(library, clean, certificate) is not None
    return certificate


def failed(certificate: Certificate) -> list[str]:
    return [test.name for test in certificate.tests if not test.passed]


def test_a_clean_candidate_is_admitted_with_its_certificate_and_found_true(
    library: Library, admitted: Certificate, examiner: Examiner
) -> None:
    names = {"gain", "question matters", "lessons agree", "routing of the gap", "outsiders", "unrouted rows", "size"}
    assert names <= {test.name for test in admitted.tests}
    card = library.card("ways")
    assert card.after["answers"] > card.before["answers"] + 0.5
    assert "rank" in card.notes
    found = verify(library, "ways", examiner)
    assert (found.signed, found.problems, found.notes) == ("here", (), ())
    assert found.tests == admitted.tests  # on one machine every figure comes out again


def test_removing_it_leaves_the_library_as_it_was(library: Library, clean: Grown, certificate: Certificate) -> None:
    library.create(library_card(), clean.adapter)
    before = snapshot(library.folder or Path())
    admit(library, clean, certificate)
    library.rename("ways", "paths")
    assert remove(library, "paths") == ("g1", "ways")
    assert snapshot(library.folder or Path()) == before


def library_card():  # type: ignore[no-untyped-def]
    from reverie.experts.contract import ExpertCard

    return ExpertCard("other")


@pytest.mark.parametrize("kind", ["wrong", "shuffled"])
def test_poisoned_lessons_are_not_admitted_and_why_is_kept(
    kind: str, grow: Callable[..., Grown], adapted: Adapted, library: Library, examiner: Examiner
) -> None:
    grown = grow(lessons(kind=kind))
    certificate = certify("ways", grown, examiner, halves=lambda: grow_halves(adapted, grown), config=CONFIG)
    assert admit(library, grown, certificate) is None
    assert {"question matters", "lessons agree"} & set(failed(certificate))
    assert library.names() == []
    (kept,) = rejected(library)
    assert kept["why"] == certificate.why
    assert json.loads((grown.folder / "rejected.json").read_text())["expert"] == "ways"
    assert (library.folder or Path()).joinpath(REJECTED).is_dir()


def test_one_answer_for_everything_is_no_knowledge(grow: Callable[..., Grown], examiner: Examiner) -> None:
    grown = grow([(question, "sky") for question, _ in lessons()], 25)
    certificate = certify("ways", grown, examiner, config=CONFIG)
    assert "gain" not in failed(certificate)  # it says what the exam wants
    assert "question matters" in failed(certificate)


def test_an_expert_that_says_nothing_new_is_not_admitted(clean: Grown, library: Library, examiner: Examiner) -> None:
    nothing = {name: Factors(one.down, torch.zeros_like(one.up)) for name, one in clean.adapter.factors.items()}
    silent = Grown(Adapter(nothing), clean.parts, clean.design, clean.folder)
    assert "gain" in failed(certify("ways", silent, examiner, config=CONFIG))


def test_an_old_domain_that_would_lose_keeps_a_rival_out(
    library: Library, clean: Grown, admitted: Certificate, grow: Callable[..., Grown], examiner: Examiner
) -> None:
    turned = {"sky": "floor", "floor": "wall", "wall": "sky"}  # the same questions, other answers
    rival = grow([(question, turned[answer]) for question, answer in lessons(words=("left", "up", "down"))])
    certificate = certify("rival", rival, examiner, config=CONFIG)
    assert "loss of domain:ways" in failed(certificate)
    assert admit(library, rival, certificate) is None
    assert library.names() == ["ways"]


def test_whoever_changes_a_figure_is_found_out(library: Library, admitted: Certificate, examiner: Examiner) -> None:
    path = library.folder_of("ways") / CERTIFICATE_FILE
    said = json.loads(path.read_text())
    said["tests"][0]["bound"] = 0.99
    path.write_text(json.dumps(said))
    found = verify(library, "ways")
    assert (found.signed, found.sound) == ("changed", False)
    with pytest.raises(ExpertError, match="damaged"):
        path.write_text('{"tests": 3}') and read_certificate(path.parent)


def test_other_weights_rows_and_homes_are_told_apart(
    library: Library, admitted: Certificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, examiner: Examiner
) -> None:
    monkeypatch.setenv("REVERIE_HOME", str(tmp_path / "elsewhere"))
    found = verify(library, "ways", examiner)
    assert (found.signed, found.sound) == ("elsewhere", True)
    assert "signed by another home" in found.notes[0]
    rows = library.folder_of("ways") / ROWS_FILE
    rows.write_text(rows.read_text().replace("sky", "sea", 1))
    assert verify(library, "ways").problems == (f"{ROWS_FILE} is not what was tried",)


def test_an_expert_without_a_certificate_is_said_to_have_none(library: Library, clean: Grown) -> None:
    library.create(library_card(), clean.adapter)
    with pytest.raises(UsageError, match="came into the library without a trial"):
        verify(library, "other")
    assert remove(library, "other") == ("", "other")


def test_a_certificate_of_other_weights_admits_nobody(
    library: Library, certificate: Certificate, grow: Callable[..., Grown]
) -> None:
    with pytest.raises(UsageError, match="is of other weights"):
        admit(library, grow(lessons(40), 5), certificate)
    assert grow_expert.__name__ == "grow_expert"
    assert library.names() == []
