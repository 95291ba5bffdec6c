"""``reverie export``: a bundle in the form that other programs run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, LibraryOption, ModelOption, command_app, examples
from reverie.cli.output import Output
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

app = command_app()


@app.command(
    epilog=examples(
        "reverie export gguf --model smol --out smol-gguf --type q8_0",
        "reverie export ollama --model nano --out nano-ollama --experts causal@1,spatial@0.5",
        "reverie export hf --model runs/mine/bundle --out mine --experts causal",
        "reverie export peft --model nano --out nano-experts",
        "reverie export onnx --model nano --out nano-onnx",
        "reverie bundle check nano-ollama",
    )
)
def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="gguf, ollama, hf, peft or onnx.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write, which must be new.")],
    model: ModelOption = "nano",
    type: Annotated[
        str,
        typer.Option("--type", help="Of weights: gguf, ollama: f16, f32, q8_0; hf: as kept, f32, f16, bf16."),
    ] = "auto",
    experts: Annotated[
        str | None,
        typer.Option("--experts", metavar="NAMES", help="Who goes along: causal@1,spatial@0.5; '' for nobody."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Put experts into the base's weights (peft: into one adapter).")
    ] = False,
    grammar: Annotated[
        bool | None,
        typer.Option("--grammar/--no-grammar", help="Take the ids of pictures along; by default where it was taught."),
    ] = None,
    system: Annotated[str, typer.Option("--system", metavar="TEXT", help="What ollama says before every talk.")] = "",
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model for other programs: llama.cpp, Ollama, transformers, PEFT, onnxruntime.

    gguf and peft take each named expert as an adapter of its own, without --experts all that the bundle brings along;
    ollama takes one adapter, which is the weighted sum of all that are named; hf and onnx have them in the weights.
    """
    with Output(as_json) as out_:
        from reverie.export import ExportConfig
        from reverie.export import export as write
        from reverie.export.experts import parse_experts
        from reverie.settings import build_settings

        values = {"type": type, "merge": merge, "grammar": grammar, "system": system}
        settings = build_settings(ExportConfig, {name: value for name, value in values.items() if value is not None})
        if experts is not None:
            settings = replace(settings, experts=parse_experts(experts))
        with shown_progress() as report:
            done = write(format, model, out, settings, library, report)
        payload = vars(done)
        out_.result(payload, lambda console: _show(console, payload))


def _show(console: Console, payload: dict[str, Any]) -> None:
    size = f"{payload['bytes'] / 1e6:.1f} MB"
    console.print(f"{payload['format']} ({payload['type']}), {size} in {payload['folder']}", markup=False)
    for file in payload["files"]:
        console.print(f"  {file}", style="dim", markup=False, highlight=False)
    for note in payload["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)
    hint = _HINTS.get(payload["format"])
    if hint:
        console.print(hint.format(folder=payload["folder"]), style="dim", markup=False, highlight=False)


_HINTS = {
    "ollama": "Run it: cd {folder} && ollama create NAME && ollama run NAME",
    "gguf": "Ask it here, too: reverie ask … --model llama:{folder}/FILE.gguf",
}
