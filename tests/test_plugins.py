"""A package of its own offers a world, an evaluator and a reader: they are found by name, as the house's own are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent / "plugins" / "pond"

USE = """
import json, sys
from pathlib import Path
from reverie.data import make_reader
from reverie.dreaming import check_evaluator
from reverie.dreaming.evaluators import make_evaluator
from reverie.nouns import Dream
from reverie.worlds import check_world, make_world, world_names

evaluator, reader = make_evaluator("STILLNESS"), make_reader("pond")
check_evaluator("stillness")
facts = Path(sys.argv[1])
facts.write_text("Fred lily", encoding="utf-8")
world = make_world("pond")
world.reset(options={"pad": 3})
print(json.dumps({
    "names": world_names(),
    "name": world.name,
    "passed": check_world("Pond"),
    "scores": evaluator.judge([Dream((), -1.0, 0, "Yes.", 2)], None),
    "rows": [row.object for row in reader(facts, print)],
}))
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python has the sample as pip would leave it."""
    project = tomllib.loads((SAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = tmp_path / "site"
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (site / "reverie_pond.py").write_text((SAMPLE / "reverie_pond.py").read_text(encoding="utf-8"), encoding="utf-8")
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(about, encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {entry}\n" for name, entry in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return {**os.environ, "PYTHONPATH": path}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_what_an_installed_package_offers_is_found_and_keeps_its_contract(
    installed: dict[str, str], tmp_path: Path
) -> None:
    done = run(installed, "-c", USE, str(tmp_path / "facts.txt"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["names"] == ["Everyday", "FrozenLake", "Pond"]
    assert found["name"] == "Pond"
    assert {"gymnasium check_env", "training documents are legal"} <= set(found["passed"])
    assert found["scores"] == [1.0]
    assert found["rows"] == ["lily"]


def test_the_command_line_lists_and_checks_an_installed_world(installed: dict[str, str]) -> None:
    listed = json.loads(run(installed, "-m", "reverie", "worlds", "--json").stdout)
    pond = next(world for world in listed["worlds"] if world["name"] == "Pond")
    assert pond["about"] == "a frog hops along a row of lily pads."
    assert (pond["scenes"], pond["pictures"]) == (
        "options as a JSON object: pad, from 0 to 3",
        "sides in multiples of 8 px, at most 32",
    )
    assert "keeps the contract of a world" in run(installed, "-m", "reverie", "worlds", "check", "pond").stdout


def test_a_package_that_cannot_be_imported_is_one_clear_line(installed: dict[str, str]) -> None:
    site = Path(installed["PYTHONPATH"].split(os.pathsep)[0])
    (site / "reverie_pond.py").write_text("import a_module_that_nobody_has\n", encoding="utf-8")
    done = run(installed, "-m", "reverie", "worlds", "show", "Pond")
    assert done.returncode == 2
    assert "the world 'Pond' of the package reverie-pond cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr
    listed = run(installed, "-m", "reverie", "worlds", "--json")  # and hides no other world
    assert [world["name"] for world in json.loads(listed.stdout)["worlds"]] == ["Everyday", "FrozenLake"]
    assert "reverie-pond cannot be imported" in listed.stderr


def test_the_guide_shows_the_samples_project_file(repository: Path) -> None:
    guide = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"```toml\n{(SAMPLE / 'pyproject.toml').read_text(encoding='utf-8')}```" in guide
