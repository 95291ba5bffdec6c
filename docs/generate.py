"""Writes what is generated: docs/cli.md from the help pages, and the file tree inside README.md.

python docs/generate.py            write them anew (`make docs`)
python docs/generate.py --check    exit 1 and name what is stale (a test runs this)
"""

from __future__ import annotations

import ast
import os
import sys
import tomllib
from pathlib import Path

# Help pages as wide as a page and without colours, whatever terminal this runs in; read when typer is imported.
os.environ |= {"TERMINAL_WIDTH": "100", "NO_COLOR": "1", "_TYPER_FORCE_DISABLE_TERMINAL": "1"}

import contextlib
import io

from typer.main import get_command

from reverie.cli.app import app, main

ROOT = Path(__file__).parent.parent
START, END = "<!-- file tree: written by docs/generate.py -->\n", "<!-- end of file tree -->"
HAND_WRITTEN = {
    "recipes/": "one YAML per trained thing",
    "tests/": "by the rooms of src; bench/ tests src/reverie_bench",
    "docs/": "tour, architecture, decisions, log, features, benchmarks",
}


def generate() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    return {
        ROOT / "docs" / "cli.md": cli_page(),
        readme: f"{before}{START}```\n{file_tree()}```\n{END}{after}",
    }


def cli_page() -> str:
    intro = "# Commands\n\nGenerated from the help pages by `make docs`.\n"
    sections = [f"\n## `{' '.join(['reverie', *path])}`\n\n```\n{help_page(path)}\n```\n" for path in command_paths()]
    return intro + "".join(sections)


def command_paths() -> list[list[str]]:
    """The root, every command, and every command of a group, in the order of the help pages."""
    paths: list[list[str]] = [[]]
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        paths.append([name])
        paths += [[name, child] for child in getattr(command, "commands", {})]
    return paths


def help_page(path: list[str]) -> str:
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        main([*path, "--help"])
    lines = [line.rstrip() for line in page.getvalue().splitlines()]
    return "\n".join(lines).strip("\n")


def file_tree() -> str:
    """The house from bottom to top: each file and folder with the first sentence of its docstring."""
    package, benchmarks = ROOT / "src" / "reverie", ROOT / "src" / "reverie_bench"
    order = house_order()
    entries = sorted(
        (path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()),
        key=lambda path: (order.index(path.stem) if path.stem in order else -1, path.name),
    )
    lines = ["src/reverie/"]
    for path in entries:
        if path.name.startswith("__"):
            continue
        if path.is_dir():
            lines.append(f"  {path.name + '/':<14}{first_sentence(path / '__init__.py')}")
            lines += files_of(path)
        else:
            lines.append(f"  {path.name:<14}{first_sentence(path)}")
    lines += [f"src/reverie_bench/  {first_sentence(benchmarks / '__init__.py')}", *files_of(benchmarks)]
    lines += [f"{name:<16}{about}" for name, about in HAND_WRITTEN.items() if (ROOT / name).exists()]
    return "\n".join(lines) + "\n"


def files_of(folder: Path) -> list[str]:
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.py") if file.name != "__init__.py")
    return wrapped(files, indent=" " * 16)


def house_order() -> list[str]:
    """The folders from the one that imports nothing upwards, as pyproject.toml's import contract lists them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name.strip(" ()").removeprefix("reverie.") for layer in reversed(layers) for name in layer.split(":")]
    return names


def first_sentence(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".:")


def wrapped(words: list[str], indent: str, width: int = 108) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 2 + len(word) <= width:
            lines[-1] += f"  {word}"
        else:
            lines.append(indent + word)
    return lines


def run(arguments: list[str]) -> int:
    pages = generate()
    stale = [file for file, text in pages.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for file in stale:
            print(f"{file.relative_to(ROOT)} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for file in stale:
        file.write_text(pages[file], encoding="utf-8")
        print(f"wrote {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
