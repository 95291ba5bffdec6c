"""`reverie experts` and certificates: verify, list, show and remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.growth.conftest import CONFIG

from reverie.cli import main
from reverie.experts.contract import ExpertCard
from reverie.experts.library import Library
from reverie.growth import admit, certify
from reverie.growth.certificate import CERTIFICATE_FILE
from reverie.growth.creation import Grown
from reverie.growth.examining import Examiner
from reverie.memory.attempts import Attempt, GapLog
from reverie.paths import default_memory


@pytest.fixture
def run(bundle: Path, library: Library, capsys: pytest.CaptureFixture[str]) -> Any:
    """run(*arguments) → (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["experts", *arguments, "--model", str(bundle), "--library", str(library.folder)])
        return code, *capsys.readouterr()

    return call


def test_a_certified_expert_is_told_verified_and_removed(
    run: Any, library: Library, clean: Grown, examiner: Examiner
) -> None:
    admit(library, clean, certify("ways", clean, examiner, config=CONFIG, gap="g1"))
    library.create(ExpertCard("other"), clean.adapter)
    assert "certified" in run("list")[1]
    assert "tests passed on" in run("show", "ways")[1]
    code, out, _ = run("verify", "ways", "--json")
    said = json.loads(out)
    assert (code, said["sound"], said["signed"], said["recomputed"], said["problems"]) == (0, True, "here", True, [])
    assert "the certificate of 'ways' holds (signed: here)" in run("verify", "ways", "--files")[1]
    code, out, err = run("verify", "other")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "came into the library without a trial" in err

    path = library.folder_of("ways") / CERTIFICATE_FILE
    path.write_text(path.read_text().replace('"taught"', '"tought"'))
    code, out, _ = run("verify", "ways", "--files")
    assert code == 1
    assert "changed since this home signed it" in out
    good = path.read_text().replace('"tought"', '"taught"')
    path.write_text("{")
    assert run("verify", "ways")[0] == 1  # one line, no traceback
    path.write_text(good)
    with GapLog(default_memory()) as log:
        log.settle([log.add(Attempt("where is up", "?", "toy"))], "ways")
        assert log.all() == []
        said = json.loads(run("remove", "ways", "--yes", "--json")[1])
        assert (said["removed"], said["gap"], said["reopened"]) == ("ways", "g1", 1)
        assert [one.question for one in log.all()] == ["where is up"]
    assert library.names() == ["other"]
