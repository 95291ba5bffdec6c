"""A folder that a host of Gradio pages (Hugging Face Spaces and its like) runs as it is: ``python app.py``.

README.md           what the host reads (its front matter), and what people read
app.py              starts the page and the endpoints on port 7860
requirements.txt    the libraries, in the versions that made the folder
generator/          the bundle
reverie/            this package's own code, so that nothing else need be published
.gitattributes      weights go through Git LFS
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import reverie
from reverie.errors import UsageError, shorten
from reverie.files import atomic_folder, atomic_write_text
from reverie.generator.bundle import MANIFEST, verify_generator

__all__ = ["write_space"]

LIBRARIES = ("torch", "numpy", "pillow", "safetensors", "tokenizers", "lazy-loader", "gradio", "fastapi", "uvicorn")
_UNKNOWN = {"gradio": "6.0.0"}  # where it is not installed here: the oldest that the page is written for
_FRESH_CLONE = {".git", ".gitattributes", "README.md"}  # what a host puts into a new repository
_MARK = "# Written by Reverie. It is written anew with the folder."

_APP = f'''{_MARK}
"""Starts the generator in ./generator: the page at /, the endpoints beside it.

On a host that sets SPACE_ID it listens to everyone; elsewhere to this machine alone, unless HOST says otherwise. With
REVERIE_TOKEN set, the token is asked of everyone.
"""

import os
from pathlib import Path

from reverie.server.pictures.demo import DemoConfig, run_demo

GENERATOR = Path(__file__).parent / "generator"


def settings() -> DemoConfig:
    hosted = "SPACE_ID" in os.environ
    return DemoConfig(
        host=os.environ.get("HOST", "0.0.0.0" if hosted else "127.0.0.1"),
        port=int(os.environ.get("PORT", "7860")),
        token=os.environ.get("REVERIE_TOKEN", ""),
        allow_open=hosted,
        allowed_hosts=("*",) if hosted else (),  # the host's proxy has names of its own
        frame_ancestors=("https://huggingface.co",) if hosted else (),
        max_count={{max_count}},
    )


if __name__ == "__main__":
    run_demo(GENERATOR, settings(), lambda url: print(f"ready: {{{{url}}}}", flush=True))
'''

_README = """---
{front}
---

# {title}

{about}

{figures}Start it here with `pip install -r requirements.txt` and `python app.py`, then open <http://127.0.0.1:7860>.
Programs ask it in OpenAI's shape:

```
curl http://127.0.0.1:7860/v1/images/generations -H 'Content-Type: application/json' -d '{{"prompt": "", "seed": 7}}'
```

Made with Reverie {version}.
"""


def write_space(generator_dir: Path, out: Path, name: str = "", license_id: str = "", max_count: int = 24) -> Path:
    """Write the folder ``out`` for the generator in ``generator_dir``; returns ``out``.

    Args:
        out: new, empty, a fresh clone of the host's repository, or an earlier folder of ours, which is written anew
        name: the title that the host shows; by default the generator's own name
        license_id: the licence of the generator as the host names them (``cc0-1.0``); left out where empty
        max_count: pictures that one request may ask for

    Raises BundleError where there is no sound generator, UsageError where ``out`` holds something else or an argument
    is wrong, OSError where the disk refuses.
    """
    manifest = verify_generator(generator_dir)
    title = name or manifest["name"]
    _check(title, license_id, max_count)
    _check_place(generator_dir, out)
    out.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out / "generator") as folder:
        for file in (MANIFEST, *manifest["files"]):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(generator_dir / file, folder / file)
    with atomic_folder(out / "reverie") as folder:
        _copy_code(Path(reverie.__file__).parent, folder)
    atomic_write_text(out / "requirements.txt", _requirements())
    atomic_write_text(out / ".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    atomic_write_text(out / "README.md", _readme(title, license_id, manifest))
    atomic_write_text(out / "app.py", _APP.format(max_count=max_count))
    return out


def _check(title: str, license_id: str, max_count: int) -> None:
    if not title.isprintable() or len(title) > 100:
        raise UsageError(f"a name has at most 100 letters, on one line; got '{shorten(title)}'")
    if not all(letter.isascii() and (letter.isalnum() or letter in ".-") for letter in license_id):
        raise UsageError(f"a licence is named as cc0-1.0 or apache-2.0, got '{shorten(license_id)}'")
    if max_count < 1:
        raise UsageError(f"max_count must be at least 1, got {max_count}")


def _check_place(generator_dir: Path, out: Path) -> None:
    """Nothing is overwritten that this did not write."""
    if out.resolve().is_relative_to(generator_dir.resolve()):
        raise UsageError(f"{out} lies in the generator itself. Name another folder.")
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file where a folder is needed. Name another.")
    if {path.name for path in out.iterdir()} <= _FRESH_CLONE:
        return
    app = out / "app.py"
    if not app.is_file() or not app.read_bytes().startswith(_MARK.encode()):
        raise UsageError(f"{out} holds other files. Name a new folder, an empty one, or one that this command wrote.")


def _copy_code(source: Path, folder: Path) -> None:
    """The package's Python files and stubs; not its packaged models, which the page does not use."""
    for path in sorted(source.rglob("*.py*")):
        if path.suffix in (".py", ".pyi"):
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _requirements() -> str:
    """The libraries with the versions installed here; torch as its build for CPUs."""
    lines = [f"{library}=={_version(library)}" for library in LIBRARIES]
    return "\n".join(["--extra-index-url https://download.pytorch.org/whl/cpu", *lines]) + "\n"


def _version(library: str) -> str:
    """Without the local part (2.13.0+cpu): the same version elsewhere may be another build."""
    try:
        return importlib.metadata.version(library).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return _UNKNOWN[library]


def _readme(title: str, license_id: str, manifest: dict[str, Any]) -> str:
    card = manifest["card"]
    about = str(card.get("description") or "One seed, one picture and the caption that goes with it.")
    fields = {
        "title": title,
        "colorFrom": "gray",
        "colorTo": "gray",
        "sdk": "gradio",
        "sdk_version": _version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
        "pinned": False,
        **({"license": license_id} if license_id else {}),
    }
    front = "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return _README.format(
        front=front, title=title, about=about, figures=_figures(card.get("figures")), version=reverie.__version__
    )


def _figures(figures: Any) -> str:
    """A table of the card's figures, where there are some."""
    if not isinstance(figures, dict):
        return ""
    numbers = {name: value for name, value in figures.items() if isinstance(value, (int, float))}
    rows = [f"| {name} | {value:.4g} |" for name, value in numbers.items()]
    return "\n".join(["| figure | value |", "|---|---|", *rows, "", ""]) if rows else ""
