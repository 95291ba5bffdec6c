"""``reverie serve``: models behind the APIs that people's programs speak already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reverie.cli.app import log_file
from reverie.cli.facts import say
from reverie.cli.generator_parts import flags_of
from reverie.cli.options import JsonOption, LibraryOption, Overrides, command_app, examples
from reverie.cli.output import Output

app = command_app()


@app.command(
    epilog=examples(
        "reverie serve",
        "reverie serve --model smol --model nano --port 8080",
        "reverie serve --host 0.0.0.0 --token a-long-secret hosting.max_running=16 hosting.keep_alive=-1",
        "reverie serve --host 0.0.0.0 --keys keys.json --log-json",
    )
)
def serve(
    overrides: Overrides = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="MODEL", help="A bundle or generator, by name or folder; again for more."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Where to listen; 0.0.0.0 lets others in. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="0 takes a free one. [default: 11434]")
    ] = None,
    token: Annotated[
        str | None, typer.Option("--token", envvar="REVERIE_TOKEN", help="Whoever comes must know it.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="JSON of further tokens with limits of their own.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="How a base is kept: fp32, bf16, int8, auto. [default: auto]")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="URL", help="What answers rest on: a file or a database. [default: yours]"),
    ] = None,
    library: LibraryOption = None,
    grow_with: Annotated[
        list[str] | None,
        typer.Option("--grow-with", metavar="WHO", help="Whose lessons gaps are closed with (see reverie grow)."),
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log on stderr as JSON, a line an event.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve models over OpenAI's and Ollama's APIs until Ctrl-C or SIGTERM.

    Without --model every bundle that there is, those that are pulled later, too. A model is loaded when it is first
    asked for. Its names: smol (experts chosen by what is asked), smol:base (nobody), smol:causal,
    smol:spatial+temporal@0.7, nano+smol. Settings after the options are those of the server, such as
    hosting.max_running=16, hosting.keep_alive=600 or hosting.max_loaded_bytes=4000000000.
    """
    with Output(as_json) as out:
        from reverie.paths import default_memory
        from reverie.server.serving import ServeConfig, run_serve
        from reverie.settings import load_settings

        of_models = {
            "hosting.weights": weights,
            "hosting.memory": memory or default_memory(),
            "hosting.library": library,
            "hosting.grow_with": json.dumps(grow_with) if grow_with else None,
        }
        flags = flags_of({"host": host, "port": port, "token": token, "keys": keys, **of_models})
        settings = load_settings(ServeConfig, None, [*flags, *(overrides or [])])
        if log_json:
            from reverie.logs import configure

            configure("INFO", log_file(), as_json=True)

        def ready(url: str, names: list[str]) -> None:
            payload = {"url": url, "models": names}
            line = f"{url}  {', '.join(names)}  (Ctrl-C stops it)"
            out.result(payload, lambda console: say(console, line))

        run_serve(model or [], settings, ready)
