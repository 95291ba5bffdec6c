"""Pip's own settings decide where a package's file is looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reverie.bundles.package_index import (
    IndexSettings,
    find_package_file,
    http_client,
    index_settings,
    local_path,
    shown,
)
from reverie.errors import BundleError
from toy_index import pip_environment

FILE = "pond-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in pip_environment(""):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def found(settings: IndexSettings, name: str = FILE) -> list[str]:
    with http_client(settings) as client:
        return [file.url for file in find_package_file("pond", name, settings, client)]


def test_without_settings_it_is_the_usual_index() -> None:
    assert index_settings() == IndexSettings(("https://pypi.org/simple",))


def test_variables_win_over_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://one/simple\nextra_index_url =\n  https://two/simple\n  https://three/simple\n"
        "cert = /ca.pem\n[download]\nproxy = proxy:3128\n[install]\nindex-url = https://not/for/us\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    said = index_settings()
    assert said.indexes == ("https://one/simple", "https://two/simple", "https://three/simple")
    assert (said.cert, said.proxy) == ("/ca.pem", "proxy:3128")
    monkeypatch.setenv("PIP_INDEX_URL", "https://four/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/a /b")
    assert index_settings().indexes[0] == "https://four/simple"
    assert index_settings().find_links == ("/a", "/b")
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    assert index_settings().indexes == ()


def test_a_damaged_file_of_settings_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    without = index_settings()
    (tmp_path / "pip.conf").write_bytes(b"\xff\xfe[[[")
    assert index_settings() == without


def test_what_lies_here_is_found_first(tmp_path: Path) -> None:
    links, index = tmp_path / "links", tmp_path / "index"
    links.mkdir()
    (links / FILE).write_bytes(b"1")
    (index / "pond").mkdir(parents=True)
    (index / "pond" / "index.html").write_text(f'<a href="../files/pond%2D1.0-py3-none-any.whl#sha256=ab">{FILE}</a>')
    settings = IndexSettings(("http://127.0.0.1:9/simple", index.as_uri()), (str(links),))
    assert found(settings) == [(links / FILE).as_uri(), f"{index.as_uri()}/files/pond%2D1.0-py3-none-any.whl"]
    with pytest.raises(BundleError, match=r"has no other\.whl.*127\.0\.0\.1:9"):
        found(settings, "other.whl")


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(BundleError, match=r"/nowhere: .*No such file"):
        found(IndexSettings((), ("/nowhere",)))


def test_certificates_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for cert in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(BundleError, match=r"pip's certificates cannot be read: .*\.pem"):
            http_client(IndexSettings(cert=str(cert)))


def test_urls_and_paths() -> None:
    assert local_path("file:///a%20b") == Path("/a b")
    assert local_path("/a") == Path("/a")
    assert local_path("https://a/b") is None
    assert shown("https://me:secret@a/b?c") == "https://a/b?c"
    assert shown("https://a/b") == "https://a/b"
