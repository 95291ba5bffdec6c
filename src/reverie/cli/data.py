"""``reverie data``: make a collection of pictures and captions out of any folder, and look at one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, command_app, examples
from reverie.cli.output import Output
from reverie.errors import shorten
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.data.pictures.prepare import Captioner

app = command_app(no_args_is_help=True)


class Format(StrEnum):
    png = "png"
    jpg = "jpg"


class Pad(StrEnum):
    border = "border"
    white = "white"
    black = "black"


class WithoutCaption(StrEnum):
    keep = "keep"
    drop = "drop"


_WRITE, _CAPTIONS, _RULES, _SPLIT, _GIVEN = "What is written", "Captions", "Rules", "Split", "Columns of the metadata"


def _option(name: str, help: str, panel: str, **settings: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, **settings)


@app.callback()
def data() -> None:
    """Collections: pictures of one size with captions and splits, made from any folder of pictures."""


@app.command(
    epilog=examples(
        "reverie data prepare engravings/ --out prepared/ --style engraving",
        'reverie data prepare engravings/ --out prepared/ --style engraving --size 128 --caption "{caption}[, {work}]"',
        "reverie data prepare photos/ --out prepared/ --style photograph --captioner Salesforce/blip2-opt-2.7b",
        "reverie data prepare scans/ --out prepared/ --captioner models/my-captioner --without-caption drop --json",
    )
)
def prepare(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures, with all below it.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write (made if needed).")],
    style: Annotated[
        str, _option("--style", "engraving, etching, woodcut, drawing, painting, photograph or none.", _WRITE)
    ] = "none",
    size: Annotated[int, _option("--size", "Side of the squares, px.", _WRITE)] = 512,
    format: Annotated[Format, _option("--format", "Of the pictures.", _WRITE)] = Format.png,
    pad: Annotated[Pad, _option("--pad", "What surrounds a picture in its square.", _WRITE)] = Pad.border,
    grey: Annotated[
        bool | None,
        _option(
            "--grey/--tinted",
            "Write greys, or colours as they are. By default greys in black and white styles.",
            _WRITE,
        ),
    ] = None,
    caption: Annotated[
        str, _option("--caption", 'A template over given fields, as in "{caption}[, from {work}]".', _CAPTIONS)
    ] = "",
    captioner: Annotated[
        str, _option("--captioner", "Who writes missing captions: a model's folder, or its id on the hub.", _CAPTIONS)
    ] = "",
    prefix: Annotated[
        str | None, _option("--prefix", "Before the captioner's words, instead of the style's phrase.", _CAPTIONS)
    ] = None,
    prompt: Annotated[str, _option("--prompt", "What the captioner is asked, or begins with.", _CAPTIONS)] = "",
    caption_batch: Annotated[
        int, _option("--caption-batch", "Pictures that the captioner sees at once.", _CAPTIONS, min=1)
    ] = 8,
    device: Annotated[str, _option("--device", "Of the captioner: auto, cpu or cuda.", _CAPTIONS)] = "auto",
    without_caption: Annotated[
        WithoutCaption,
        _option("--without-caption", "keep: with the style's bare phrase. drop: not at all.", _CAPTIONS),
    ] = WithoutCaption.keep,
    max_caption: Annotated[int, _option("--max-caption", "Characters; longer ones are cut.", _CAPTIONS)] = 600,
    min_side: Annotated[int, _option("--min-side", "px of an original's shorter side.", _RULES)] = 64,
    max_aspect: Annotated[float, _option("--max-aspect", "Longer side / shorter side; 0 for any.", _RULES)] = 4.0,
    max_pixels: Annotated[int, _option("--max-pixels", "Of an original, by its header.", _RULES)] = 100_000_000,
    min_tones: Annotated[
        float, _option("--min-tones", "Grey levels of 255 from darkest to lightest; 0 keeps blank ones.", _RULES)
    ] = 16.0,
    max_colour: Annotated[
        float | None,
        _option("--max-colour", "Beyond one tint, 0 to 1. By default 0.015 in black and white styles, else 1.", _RULES),
    ] = None,
    duplicates: Annotated[bool, _option("--duplicates", "Keep duplicates.", _RULES)] = False,
    duplicate_distance: Annotated[
        int, _option("--duplicate-distance", "Bits of 64 in which the hashes of one picture may differ.", _RULES)
    ] = 4,
    val_share: Annotated[float, _option("--val-share", "Of the pictures that no split is given for.", _SPLIT)] = 0.1,
    group_distance: Annotated[
        int, _option("--group-distance", "Bits of 64 within which pictures stay in one split.", _SPLIT)
    ] = 8,
    seed: Annotated[int, _option("--seed", "Same seed, same split.", _SPLIT, min=0)] = 0,
    file_column: Annotated[str, _option("--file-column", "Default: file, file_name, image or path.", _GIVEN)] = "",
    caption_column: Annotated[str, _option("--caption-column", "Default: caption, text or description.", _GIVEN)] = "",
    split_column: Annotated[
        str, _option("--split-column", "Values: train, val or validation, test.", _GIVEN)
    ] = "split",
    encoding: Annotated[str, _option("--encoding", "Of metadata and texts.", _GIVEN)] = "utf-8",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0 is one per core. The result is the same.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="First remove what an earlier preparation wrote into --out.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a collection: filter, resize, caption and split the pictures of a folder. Run it again to go on."""
    from reverie.data.pictures.prepare import PrepareConfig
    from reverie.data.pictures.prepare import prepare as run
    from reverie.settings import build_settings

    chosen = {name: value for name, value in locals().items() if name in PrepareConfig.__dataclass_fields__}
    with Output(as_json) as told:
        settings = build_settings(PrepareConfig, {name: _plain(value) for name, value in chosen.items()})
        writer = _captioner(captioner, prompt, caption_batch, device)
        statistics = _run(told, lambda report: run(source, out, settings, writer, report, overwrite))
        _tell(told, out, statistics)


@app.command(epilog=examples("reverie data show prepared/", "reverie data show prepared/ --json"))
def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A collection that prepare has made.")],
    as_json: JsonOption = False,
) -> None:
    """Show a collection's figures, what was refused, a few of its captions, and where its contact sheet is."""
    with Output(as_json) as told:
        from reverie.data.pictures import Collection
        from reverie.data.pictures.prepare_report import read_statistics

        collection = Collection.open(folder)
        statistics = read_statistics(folder)
        step = max(1, len(collection) // 5)
        few = collection.records[::step][:5]
        _tell(told, folder, statistics, {"size": collection.side, "examples": few})


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _captioner(source: str, prompt: str, batch_size: int, device: str) -> Captioner | None:
    if not source:
        return None
    from reverie.data.pictures.captioning import CaptionerConfig, load_captioner

    return load_captioner(CaptionerConfig(source, prompt, batch_size, device=device))


def _run(told: Output, work: Any) -> dict[str, Any]:
    """The statistics that ``work`` gives, with a bar meanwhile."""
    try:
        with shown_progress() as report:
            statistics: dict[str, Any] = work(report)
    except KeyboardInterrupt:
        told.note("half prepared; the same command goes on from here")
        raise
    for warning in statistics["warnings"]:
        told.note(f"note: {warning}")
    return statistics


def _tell(told: Output, folder: Path, statistics: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> None:
    from reverie.data.pictures.prepare_report import SHEET_FILE

    payload = {"folder": folder, **(more or {}), "contact_sheet": folder / SHEET_FILE, "statistics": statistics}
    told.result(payload, lambda console: _show(console, payload))


def _show(console: Console, payload: Mapping[str, Any]) -> None:
    from rich.text import Text

    statistics = payload["statistics"]
    captions = statistics["captions"]
    words, sides = captions["words"], statistics["originals"]["long_side"]
    sources = {name: captions[name] for name in ("given", "captioner", "prefix", "none")}
    said = f"{_counts(sources)}; {words['min']:g} to {words['max']:g} words, {words['median']:g} in the middle"
    rows = {
        "pictures": f"{statistics['found']} found, {statistics['kept']} kept",
        "refused": _counts(statistics["rejected"]) or "none",
        "splits": _counts(statistics["splits"]),
        "captions": said + (f"; {captions['cut']} cut" if captions["cut"] else ""),
        "unusable": _counts(statistics["problems"]),
        "originals": f"longer side {sides['min']:g} to {sides['max']:g} px, {statistics['enlarged']} enlarged",
        "near": f"{statistics['near_groups']} groups of near-duplicates, each in one split"
        if statistics["near_groups"] and not statistics["straddling_groups"]
        else "",
        "folder": str(payload["folder"]),
        "sheet": str(payload["contact_sheet"]),
    }
    lines = [(name, value) for name, value in rows.items() if value]
    lines += [(record.file, shorten(record.caption, 90)) for record in payload.get("examples", ())]
    width = 2 + max(len(name) for name, _ in lines)
    for name, value in lines:  # no table: it would cut a path
        console.print(Text.assemble((name.ljust(width), "dim"), value), soft_wrap=True)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)
