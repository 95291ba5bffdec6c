"""``reverie generator evaluate``, ``demo`` and ``export``: measure a generator, show it, take it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.generator_parts import (
    LoraOption,
    ModelOption,
    TrustOption,
    bundle_folder,
    flags_of,
    free_folder,
    open_collection,
    size_of,
)
from reverie.cli.options import JsonOption, Overrides, examples, make_dir
from reverie.cli.output import Output
from reverie.errors import UnknownNameError, UsageError
from reverie.generator.finding import open_generator
from reverie.jsonio import jsonable
from reverie.progress import Progress, shown_progress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["DEMO_EPILOG", "EVALUATE_EPILOG", "EXPORT_EPILOG", "demo", "evaluate", "export"]

EVALUATE_EPILOG = examples(
    "reverie generator evaluate --model runs/engravings --data engravings/ --out report/",
    "reverie generator evaluate --model runs/engravings --data engravings/ --split test --json",
    "reverie generator evaluate --model runs/engravings --data engravings/ --features models/resnet-18 samples=500",
)
DEMO_EPILOG = examples(
    "reverie generator demo --model runs/engravings",
    "reverie generator demo --model runs/engravings --port 8000 --open",
    "reverie generator demo --model runs/engravings --host 0.0.0.0 --token a-long-secret max_count=20",
)
EXPORT_EPILOG = examples(
    "reverie generator export --model runs/engravings --format onnx --out engravings-onnx/",
    "reverie generator export --model runs/engravings --format int8 --out engravings-int8/",
    "reverie generator export --model runs/engravings --format space --out engravings-space/",
    "reverie generator export --model runs/engravings --lora runs/maps --format bundle --out maps/",
)

_AGREE = {"psnr": "pictures, dB", "captions_equal": "share of equal captions", "words_equal": "share of equal words"}


def evaluate(
    data: Annotated[
        Path, typer.Option("--data", metavar="COLLECTION", help="The prepared collection it was trained on.")
    ],
    overrides: Overrides = None,
    model: ModelOption = "",
    split: Annotated[str, typer.Option("--split", help="val, test or train: the pictures that are held out.")] = "val",
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="evaluation.json and sheets to look at go here.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", help="What distances are measured in: own, or a model's folder. [default: own]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first seed that is drawn.")] = 0,
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a generator on held-out pictures: repainting, captions, samples of each prior, what is learned by heart.

    Settings after the options are those of the evaluation, such as samples=500 or temperature=0.9.
    """
    with Output(as_json) as out:
        from reverie.generator.evaluate import evaluate as measure
        from reverie.generator.evaluate_files import write_files
        from reverie.generator.evaluation import EvaluateConfig
        from reverie.settings import load_settings

        flags = flags_of({"features": features, "first_seed": seed})
        settings = load_settings(EvaluateConfig, None, [*flags, *(overrides or [])])
        loaded = open_generator(model, lora, trust_base)
        collection = open_collection(data, split)
        folder = None if out_dir is None else make_dir(out_dir)
        with shown_progress() as report:
            found, shown = measure(loaded, collection, split, settings, report)
        files = () if folder is None else write_files(found, shown, settings.shown, folder)
        payload: dict[str, Any] = {"model": loaded.name, "folder": folder, **jsonable(found), "files": list(files)}
        out.result(payload, lambda console: _show_figures(console, payload))


def demo(
    overrides: Overrides = None,
    model: ModelOption = "",
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen; 0.0.0.0 lets others in. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="0 takes a free one. [default: 7860]")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="REVERIE_TOKEN", help="Whoever comes must know it.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    page: Annotated[bool, typer.Option("--page/--no-page", help="The web page, or its endpoints alone.")] = True,
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Serve a web page that draws pictures from seeds and prompts, and the endpoints behind it, until Ctrl-C.

    Settings after the options are those of the server, such as max_count=20.
    """
    with Output(as_json) as out:
        from reverie.server.pictures.demo import DemoConfig, run_demo
        from reverie.settings import load_settings

        given = {"host": host, "port": port, "token": token, "page": page, "open_browser": open_browser}
        settings = load_settings(DemoConfig, None, [*flags_of(given), *(overrides or [])])
        with bundle_folder(model, lora, trust_base) as folder:

            def ready(url: str) -> None:
                payload = {"url": url, "model": folder}
                out.result(payload, lambda console: say(console, f"{url}  (Ctrl-C stops it)"))

            run_demo(folder, settings, ready)


def export(
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder.")],
    format: Annotated[str, typer.Option("--format", metavar="NAME", help="onnx, onnx-int8, int8, space or bundle.")],
    model: ModelOption = "",
    name: Annotated[str, typer.Option("--name", help="Of a space: the title that is shown.")] = "",
    license_id: Annotated[
        str, typer.Option("--license", metavar="ID", help="Of a space: the licence of the pictures, such as cc0-1.0.")
    ] = "",
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take a generator elsewhere.

    onnx: networks, priors and a script that needs onnxruntime alone, compared with torch; onnx-int8: the same at a
    quarter of the size; int8: a bundle of half the size; space: a folder ready for hosting; bundle: one with --lora
    worked in.
    """
    with Output(as_json) as out:
        if format not in _FORMATS:
            raise UnknownNameError("format", format, _FORMATS)
        if format != "space" and (name or license_id):
            raise UsageError("--name and --license go with --format space alone")
        more = {"name": name, "license_id": license_id} if format == "space" else {}
        with bundle_folder(model, lora, trust_base) as folder, shown_progress() as report:
            payload = _FORMATS[format](folder, free_folder(out_dir), report, **more)
        payload = {"folder": out_dir, "format": format, "bytes": size_of(out_dir)} | payload
        out.result(payload, lambda console: _show_export(console, payload))


def _onnx(folder: Path, out: Path, progress: Progress, int8: bool = False) -> dict[str, Any]:
    from reverie.generator.onnx import export_onnx

    done = export_onnx(folder, out, int8, progress)
    return {"differences": done.differences, "figures": done.figures, "bytes_fp32": done.bytes_fp32}


def _onnx_int8(folder: Path, out: Path, progress: Progress) -> dict[str, Any]:
    return _onnx(folder, out, progress, int8=True)


def _int8(folder: Path, out: Path, progress: Progress) -> dict[str, Any]:
    from reverie.generator.export_int8 import quantize_bundle

    progress("rounding the weights", 0, 1)
    return {"figures": quantize_bundle(folder, out)}


def _space(folder: Path, out: Path, progress: Progress, name: str = "", license_id: str = "") -> dict[str, Any]:
    from reverie.generator.hosting import write_space

    progress("writing the folder", 0, 1)
    write_space(folder, out, name, license_id)
    return {}


def _bundle(folder: Path, out: Path, progress: Progress) -> dict[str, Any]:
    from reverie.generator.generator import Generator

    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is there already. Name a folder that is new or empty.")
    progress("writing the bundle", 0, 1)
    Generator.load(folder).save(out)
    return {}


_FORMATS: dict[str, Callable[..., dict[str, Any]]] = {
    "onnx": _onnx,
    "onnx-int8": _onnx_int8,
    "int8": _int8,
    "space": _space,
    "bundle": _bundle,
}


def _show_figures(console: Console, payload: dict[str, Any]) -> None:
    settings = payload["settings"]
    said = f"{payload['n']:,} held-out pictures ({settings['split']}), {settings['samples']:,} samples a prior"
    say(console, f"{payload['model']}: {said}, features {settings['features']}")
    by = payload["by"]
    names = [name for name in dict.fromkeys(name for figures in by.values() for name in figures) if _told(name)]
    for name in (name for name in payload["figures"] if name not in names and _told(name)):
        say(console, f"{name:<40}{_number(payload['figures'][name]):>14}")
    say(console, " " * 40 + "".join(f"{column:>14}" for column in by))
    for name in names:
        say(console, f"{name:<40}" + "".join(f"{_number(figures.get(name)):>14}" for figures in by.values()))
    for file in payload["files"]:
        console.print(f"{payload['folder']}/{file}", style="dim", highlight=False, markup=False)


def _told(figure: str) -> bool:
    """Whether people see it: of recalls the mean of both ways; the JSON has each way, and chance."""
    return not any(word in figure for word in ("picture_to_caption", "caption_to_picture", "chance_recall"))


def _show_export(console: Console, payload: dict[str, Any]) -> None:
    say(console, f"{payload['folder']}: {payload['bytes'] / 1e6:.1f} MB")
    for title, rows in (
        ("beside the original", {name: value for name, value in payload.get("figures", {}).items() if name in _AGREE}),
        ("largest difference from torch", payload.get("differences", {})),
    ):
        if rows:
            say(console, title)
        for name, value in rows.items():
            say(console, f"  {_AGREE.get(name, name):<32}{_number(value)}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
