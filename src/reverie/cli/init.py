"""``reverie init``: a bundle from a base made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, SeedOption, command_app, examples
from reverie.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

app = command_app()


@app.command(
    epilog=examples(
        "reverie init --base models/SmolLM2-135M-Instruct --out bundles/smol",
        "reverie init --base Qwen/Qwen3-0.6B --out bundles/qwen --dtype fp32",
        "reverie init --base models/Mistral-7B --out bundles/mistral --quantize 4bit",
        "reverie init --base SmolLM2-135M-Instruct.Q4_1.gguf --out bundles/smol --dtype bf16",
        "reverie init --base stories260K.bin --tokenizer tok512.bin --out bundles/stories --prompt plain",
        'reverie ask "What is a glass made of?" --model bundles/smol --branches 0',
    )
)
def init(
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="DIR_FILE_OR_ID",
            help="A transformers folder, a GGUF file, a llama2.c checkpoint, or a hub's owner/name.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="BUNDLE", help="The bundle's folder, which must be new.")],
    dtype: Annotated[
        str, typer.Option("--dtype", help="fp32, bf16, fp16, or auto: bf16 where this machine computes it, else fp32.")
    ] = "auto",
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="BITS", help="8bit or 4bit, for the linears of the base.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", metavar="PATH", help="The base's, where it lies elsewhere.")
    ] = None,
    image_tokenizer: Annotated[
        str, typer.Option("--image-tokenizer", metavar="DIR", help="Its folder, or a bundle that has one.")
    ] = "nano",
    prompt: Annotated[
        str, typer.Option("--prompt", help="How it is asked: auto, chat, question (Question: … Answer:) or plain.")
    ] = "auto",
    name: Annotated[str, typer.Option("--name", help="Of the bundle; else the base's.")] = "",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle from any causal language model, with the ids of pictures and dreams added after its own.

    The base stays frozen, and its folder inside the bundle stays one that transformers and PEFT load. Nothing is
    fetched unless --base is a hub's id. Until a training teaches it to dream, it answers in its own plain words.
    """
    with Output(as_json) as out_:
        from reverie.bundles.bundle import read_manifest
        from reverie.bundles.init import InitConfig, init_bundle
        from reverie.settings import build_settings

        values = {"dtype": dtype, "quantize": quantize or "", "prompt": prompt, "name": name, "seed": seed}
        folder = init_bundle(
            base,
            out,
            build_settings(InitConfig, values),
            tokenizer=tokenizer,
            image_tokenizer=image_tokenizer,
            on_step=out_.note,
        )
        manifest = read_manifest(folder)
        size = sum(file["bytes"] for file in manifest["files"].values())
        payload: dict[str, Any] = {"bundle": folder, "name": manifest["name"], "bytes": size, **manifest["base"]}
        out_.result(payload, lambda console: _show(console, payload))


def _show(console: Console, payload: dict[str, Any]) -> None:
    kept = f"{payload['dtype']}{', linears in ' + payload['quantized'] if payload['quantized'] else ''}"
    size, folder = f"{payload['bytes'] / 1e6:.1f} MB", payload["bundle"]
    console.print(f"{payload['name']}: {payload['architecture']} in {kept}, {size} in {folder}", markup=False)
    console.print(f'Ask it: reverie ask "…" --model {folder} --branches 0', style="dim", markup=False)
