"""``reverie generator``: train a generator on a collection, draw pictures with captions from seeds, look at them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.facts import say
from reverie.cli.generator_parts import (
    CountOption,
    FirstSeedOption,
    GuidanceOption,
    LoraOption,
    ModelOption,
    PriorOption,
    PromptOption,
    TemperatureOption,
    TrustOption,
    check_prompt,
    check_seeds,
    picture_file,
    size_of,
)
from reverie.cli.generator_train import EPILOG as TRAIN_EPILOG
from reverie.cli.generator_train import train
from reverie.cli.generator_use import DEMO_EPILOG, EVALUATE_EPILOG, EXPORT_EPILOG, demo, evaluate, export
from reverie.cli.options import JsonOption, command_app, examples, make_dir
from reverie.cli.output import Output
from reverie.errors import PictureError, UsageError, shorten
from reverie.generator.finding import find_generator, open_generator
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

    from reverie.generator.generator import Generator, Sample

app = command_app(no_args_is_help=True)

MAX_STEPS = 240
_CAPTIONED_AT_ONCE = 16


@app.callback()
def generator() -> None:
    """One seed, one picture and its caption: a generator trained on a collection of your own."""


app.command(epilog=TRAIN_EPILOG)(train)


@app.command(
    epilog=examples(
        "reverie generator sample --model runs/engravings --seed 7",
        "reverie generator sample --model runs/engravings --seed 7 --count 100 --out pictures/",
        'reverie generator sample --model runs/engravings --prompt "a ship in a storm" --count 9 --out ships/',
        "reverie generator sample --model runs/engravings --prior normal --count 9 --out noise/ --json",
    )
)
def sample(
    model: ModelOption = "",
    seed: FirstSeedOption = 0,
    count: CountOption = 1,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Pictures, captions.jsonl and sheet.png go here.")
    ] = None,
    prompt: PromptOption = "",
    guidance: GuidanceOption = 2.0,
    prior: PriorOption = "",
    temperature: TemperatureOption = 1.0,
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw pictures with captions from seeds: same seed, same picture; with --out into a folder, else on the terminal.

    The n-th picture is that of seed + n. Pictures of earlier calls stay in the folder, with their captions.
    """
    seeds, prompt = check_seeds(seed, count), check_prompt(prompt)
    if out_dir is None and count > 1:
        raise UsageError(f"{count:,} pictures need a folder: name one with --out DIR.")
    with Output(as_json) as out:
        loaded = open_generator(model, lora, trust_base)
        how: dict[str, Any] = {"prior": prior, "temperature": temperature, "prompt": prompt, "guidance": guidance}
        loaded.latents(seeds[:1], **how)  # what is wrong is said before a folder is made
        how["prior"] = _prior_of(loaded, prior, prompt)
        started = time.monotonic()
        if out_dir is None:
            (drawn,) = loaded.sample(seeds, **how)
            payload = how | {"samples": [_told(drawn)], "seconds": time.monotonic() - started}
            out.result(payload, lambda console: _show_sample(console, drawn))
            return
        samples = _draw(loaded, seeds, make_dir(out_dir), how)
        payload = how | {"folder": out_dir, "sheet": out_dir / "sheet.png", "captions": out_dir / "captions.jsonl"}
        payload |= {"samples": samples, "seconds": time.monotonic() - started}
        rate = payload["seconds"] / count
        said = f"{count:,} picture{'s' * (count > 1)} in {out_dir}, {rate:.2g} s each; look at sheet.png"
        out.result(payload, lambda console: say(console, said))


@app.command(
    epilog=examples("reverie generator interpolate --model runs/engravings --from 3 --to 9 --steps 12 --out walk/")
)
def interpolate(
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Pictures, captions.jsonl, sheet.png and walk.gif go here.")
    ],
    model: ModelOption = "",
    first: Annotated[int, typer.Option("--from", metavar="SEED", help="The seed to start from.")] = 0,
    last: Annotated[int, typer.Option("--to", metavar="SEED", help="The seed to arrive at.")] = 1,
    steps: Annotated[int, typer.Option("--steps", min=2, max=MAX_STEPS, help="Pictures, the ends among them.")] = 12,
    prior: PriorOption = "",
    temperature: TemperatureOption = 1.0,
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Walk from one seed to another in even steps: a sheet, and a GIF that goes round."""
    check_seeds(first, option="--from")
    check_seeds(last, option="--to")
    with Output(as_json) as out:
        from reverie.generator.export_images import GIF, SHEET, save_walk

        loaded = open_generator(model, lora, trust_base)
        prior = loaded.prior(prior).name
        make_dir(out_dir)
        walk = loaded.interpolate(first, last, steps, prior=prior, temperature=temperature)
        files = save_walk(walk, out_dir)
        payload: dict[str, Any] = {"from": first, "to": last, "prior": prior, "temperature": temperature}
        payload |= {"folder": out_dir, "sheet": out_dir / SHEET, "gif": out_dir / GIF}
        payload["samples"] = [_told(one, file) for one, file in zip(walk, files, strict=True)]
        said = f"{steps} pictures from seed {first} to {last} in {out_dir}; look at {SHEET} and {GIF}"
        out.result(payload, lambda console: say(console, said))


@app.command(
    epilog=examples(
        "reverie generator edit --model runs/engravings --image a.png --style-of b.png --out c.png",
        "reverie generator edit --model runs/engravings --image a.png --style-of b.png --strength 0.5 --out c.png",
    )
)
def edit(
    image: Annotated[Path, typer.Option("--image", metavar="FILE", help="What the new picture shows.")],
    style_of: Annotated[Path, typer.Option("--style-of", metavar="FILE", help="How it is drawn.")],
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE", help="The new picture, a PNG.")],
    strength: Annotated[
        float, typer.Option("--strength", min=0.0, max=1.0, help="How much of the style; 0 leaves the picture's own.")
    ] = 1.0,
    levels: Annotated[
        int, typer.Option("--levels", min=0, help="Coarse levels that follow the picture; 0: half of them.")
    ] = 0,
    model: ModelOption = "",
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw one picture in the style of another, through the model: its shapes, the other's lines and tones."""
    picture_file(out_file)
    with Output(as_json) as out:
        from reverie.data.pictures import open_picture, save_picture

        shown, drawn_like = open_picture(image), open_picture(style_of)
        made = open_generator(model, lora, trust_base).edit(shown, drawn_like, strength, levels)
        save_picture(made.picture, out_file)
        payload = {
            "file": out_file,
            "image": image,
            "style_of": style_of,
            "strength": strength,
            "caption": made.caption,
        }
        out.result(payload, lambda console: say(console, f"{out_file}: {shorten(made.caption, 600)}"))


@app.command(
    epilog=examples(
        "reverie generator caption a.png --model runs/engravings",
        "reverie generator caption pictures/*.jpg --model runs/engravings --json",
    )
)
def caption(
    pictures: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures of any size and format.")],
    model: ModelOption = "",
    lora: LoraOption = None,
    trust_base: TrustOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what pictures show, in the words of the collection; a file that is no picture is named, exit code 1."""
    with Output(as_json) as out:
        found, problems = _caption_all(open_generator(model, lora, trust_base), pictures)
        for problem in problems:
            out.note(f"{problem['problem']}")
        payload = {"captions": found, "problems": problems}
        said = "\n".join(f"{one['file']}: {shorten(one['caption'], 600)}" for one in found)
        out.result(payload, lambda console: say(console, said))
    if problems:
        raise typer.Exit(1)


@app.command(
    epilog=examples("reverie generator show --model runs/engravings", "reverie generator show --model my-bundle --json")
)
def show(model: ModelOption = "", as_json: JsonOption = False) -> None:
    """Show a generator's card: what it was trained on and how, its size, its figures."""
    with Output(as_json) as out:
        from reverie.settings import settings_to_dict

        folder = find_generator(model)
        loaded = open_generator(model)
        payload: dict[str, Any] = {"name": loaded.name, "folder": folder, "bytes": size_of(folder)}
        payload |= {"parameters": sum(one.numel() for one in loaded.network.parameters())}
        payload |= {"priors": sorted(loaded.priors), "default_prior": loaded.default_prior}
        payload |= {"config": settings_to_dict(loaded.config), "card": loaded.card}
        out.result(payload, lambda console: _show_card(console, payload))


app.command(epilog=EVALUATE_EPILOG)(evaluate)
app.command(epilog=DEMO_EPILOG)(demo)
app.command(epilog=EXPORT_EPILOG)(export)


def _prior_of(loaded: Generator, prior: str, prompt: str) -> str:
    """The name of the prior that is drawn from: where none is named, a prompt wants one that hears it."""
    hears = [name for name, one in loaded.priors.items() if prompt and one.follows_captions]
    return prior or next(iter(hears), loaded.default_prior)


def _draw(loaded: Generator, seeds: range, folder: Path, how: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the pictures of ``seeds`` one by one; what was written before Ctrl-C stays, with its captions."""
    from reverie.generator.export_images import ImageExport

    told: list[dict[str, Any]] = []
    with shown_progress() as report, ImageExport(folder) as export:
        for seed in seeds:
            report("drawing", len(told), len(seeds))
            (drawn,) = loaded.sample([seed], **how)
            told.append(_told(drawn, export.add(drawn)))
    return told


def _caption_all(loaded: Generator, files: list[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What each picture shows, and what is wrong with the rest. Raises PictureError where it is wrong with all."""
    from reverie.data.pictures import open_picture

    found: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    with shown_progress() as report:
        for start in range(0, len(files), _CAPTIONED_AT_ONCE):
            report("reading pictures", start, len(files))
            opened = []
            for file in files[start : start + _CAPTIONED_AT_ONCE]:
                try:
                    opened.append((file, open_picture(file)))
                except PictureError as error:
                    problems.append({"file": file, "problem": str(error)})
            captions = loaded.caption([picture for _, picture in opened])
            found += [{"file": file, "caption": words} for (file, _), words in zip(opened, captions, strict=True)]
    if not found:
        raise PictureError(problems[0]["problem"])
    return found, problems


def _told(one: Sample, file: Path | None = None) -> dict[str, Any]:
    return {"file": file, "seed": one.seed, "caption": one.caption, "prompt": one.prompt}


def _show_sample(console: Console, drawn: Sample) -> None:
    from reverie.cli.pictures import half_blocks

    if console.is_terminal and console.color_system not in (None, "standard"):
        console.print(half_blocks(drawn.picture, min(64, console.width - 1)))
    say(console, shorten(drawn.caption, 600))
    console.print(f"seed {drawn.seed}; keep it with --out DIR", style="dim", highlight=False)


def _show_card(console: Console, payload: dict[str, Any]) -> None:
    config, card = payload["config"], payload["card"]
    priors = ", ".join(f"{name} (default)" if name == payload["default_prior"] else name for name in payload["priors"])
    told = {
        "name": payload["name"],
        "folder": f"{payload['folder']} ({payload['bytes'] / 1e6:.1f} MB)",
        "paints": f"{config['side']} x {config['side']} px{', grey' * config.get('grey', False)}",
        "latent": f"{config['latent_size']} numbers",
        "writes": f"captions of up to {config['caption_ids']} ids from {config['vocabulary']:,}",
        "parameters": f"{payload['parameters']:,}",
        "priors": priors,
    }
    told |= {key.replace("_", " "): value for key, value in card.items() if isinstance(value, (str, int, float))}
    for name, value in told.items():
        say(console, f"{name:<12}{value}")
    figures = card.get("figures") or {}
    for name, value in figures.items():
        if isinstance(value, (int, float)):
            say(console, f"  {name:<24}{value:.4g}")
