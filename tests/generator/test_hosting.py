from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reverie.errors import BundleError, UsageError
from reverie.generator import Generator, toy_generator
from reverie.generator.hosting import LIBRARIES, write_space


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy = toy_generator()
    toy.card["figures"] = {"kid": 0.01234, "joint_recall_at_10": 0.4, "note": "none"}
    return toy.save(tmp_path_factory.mktemp("bundle") / "toy")


@pytest.fixture
def space(bundle: Path, tmp_path: Path) -> Path:
    return write_space(bundle, tmp_path / "space", "Old prints", "cc0-1.0", max_count=5)


def front_matter(space: Path) -> dict[str, object]:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((space / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_host_finds_what_it_needs_in_the_front_matter(space: Path) -> None:
    said = front_matter(space)
    assert (said["title"], said["sdk"], said["app_file"], said["license"]) == (
        "Old prints",
        "gradio",
        "app.py",
        "cc0-1.0",
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(said["sdk_version"]))
    assert said["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    readme = (space / "README.md").read_text(encoding="utf-8")
    assert "| kid | 0.01234 |" in readme
    assert "note" not in readme


def test_the_folder_holds_the_bundle_the_code_and_pinned_libraries(space: Path) -> None:
    assert Generator.load(space / "generator").name == "toy"
    assert (space / "reverie" / "server" / "pictures" / "demo.py").is_file()
    assert (space / "reverie" / "server" / "pictures" / "__init__.pyi").is_file()
    assert not list((space / "reverie").rglob("*.safetensors"))
    assert not list((space / "reverie").rglob("__pycache__"))
    first, *lines = (space / "requirements.txt").read_text().splitlines()
    assert first.startswith("--extra-index-url")
    assert [line.split("==")[0] for line in lines] == list(LIBRARIES)
    assert "+" not in "".join(lines)
    assert "*.safetensors filter=lfs" in (space / ".gitattributes").read_text()


def test_the_app_is_open_on_a_host_and_closed_elsewhere(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", "HOST", "PORT", "REVERIE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    app = runpy.run_path(str(space / "app.py"), run_name="app")
    assert app["GENERATOR"] == space / "generator"
    here = app["settings"]()
    assert (here.host, here.port, here.allow_open, here.max_count) == ("127.0.0.1", 7860, False, 5)
    monkeypatch.setenv("SPACE_ID", "me/old-prints")
    monkeypatch.setenv("REVERIE_TOKEN", "a-long-secret")
    hosted = app["settings"]()
    assert (hosted.host, hosted.allow_open, hosted.token) == ("0.0.0.0", True, "a-long-secret")
    assert hosted.policy.frame_ancestors == ("https://huggingface.co",)


def test_a_folder_of_ours_and_a_fresh_clone_are_written_again(bundle: Path, space: Path, tmp_path: Path) -> None:
    (space / "reverie" / "left-over.py").write_text("")
    (space / ".git").mkdir()
    (space / ".git" / "config").write_text("kept")
    write_space(bundle, space, "Newer")
    assert front_matter(space)["title"] == "Newer"
    assert not (space / "reverie" / "left-over.py").exists()
    assert (space / ".git" / "config").read_text() == "kept"
    clone = tmp_path / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / "README.md").write_text("the host's own")
    assert front_matter(write_space(bundle, clone))["title"] == "toy"


def test_nothing_of_others_is_overwritten(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "app.py").write_text("print('mine')")
    for place in (other, tmp_path):
        with pytest.raises(UsageError, match="holds other files"):
            write_space(bundle, place)
    assert (other / "app.py").read_text() == "print('mine')"
    with pytest.raises(UsageError, match="is a file"):
        write_space(bundle, other / "app.py")
    for inside in (bundle, bundle / "space"):
        with pytest.raises(UsageError, match="lies in the generator itself"):
            write_space(bundle, inside)


def test_wrong_names_and_damaged_generators_are_one_line(bundle: Path, tmp_path: Path) -> None:
    for wrong in ({"name": "two\nlines"}, {"name": "x" * 101}, {"license_id": "a: b"}, {"max_count": 0}):
        with pytest.raises(UsageError):
            write_space(bundle, tmp_path / "space", **wrong)  # type: ignore[arg-type]
    with pytest.raises(BundleError):
        write_space(tmp_path / "nowhere", tmp_path / "space")
    assert not (tmp_path / "space").exists()


def test_odd_titles_stay_titles(bundle: Path, tmp_path: Path) -> None:
    title = '- "quoted": yes # no comment, Gravüren – 100 % {x}'
    assert front_matter(write_space(bundle, tmp_path / "space", title))["title"] == title


@pytest.mark.slow
def test_what_the_page_imports_is_pinned_or_comes_with_it() -> None:
    """Of the house's modules that serving loads, what each imports at its top."""
    pytest.importorskip("gradio", reason="needs the extra 'serve'")
    program = (
        "import ast, json, sys; from pathlib import Path; from importlib.metadata import packages_distributions\n"
        "from reverie.generator import Generator; from reverie.server.pictures import demo, page, routes; Generator\n"
        "files = [one.__file__ for name, one in list(sys.modules.items()) if name.startswith('reverie')]\n"
        "nodes = [node for file in files for node in ast.parse(Path(file).read_text()).body]\n"
        "names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]\n"
        "names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]\n"
        "known = packages_distributions()\n"
        "print(json.dumps([one for name in names for one in known.get(name.split('.')[0], [])]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    comes_along = {"starlette", "pydantic", "httpx", "reverie"}  # with fastapi and gradio
    assert set(json.loads(done.stdout)) - comes_along <= set(LIBRARIES)


@pytest.mark.slow
def test_the_folder_starts_by_itself_and_answers(space: Path) -> None:
    pytest.importorskip("gradio", reason="needs the extra 'serve'")
    import urllib.request

    code = space / "reverie" / "__init__.py"
    code.write_text(re.sub('__version__ = "[^"]*"', '__version__ = "its own"', code.read_text()))
    environment = {key: value for key, value in os.environ.items() if key not in ("SPACE_ID", "HOST", "PYTHONPATH")}
    environment |= {"PORT": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "app.py"]
    with subprocess.Popen(command, cwd=space, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("ready: ").strip()
            with urllib.request.urlopen(f"{url}v1/models", timeout=30) as answer:
                assert json.loads(answer.read())["data"][0]["id"] == "toy"
            with urllib.request.urlopen(f"{url}api/version", timeout=30) as answer:
                assert json.loads(answer.read()) == {"version": "its own"}
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert "toy · Reverie" in answer.read().decode()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
