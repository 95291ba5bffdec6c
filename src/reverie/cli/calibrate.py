"""``reverie calibrate``: when may a model call its answers known?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli.options import JsonOption, ModelOption, SeedOption, command_app, examples
from reverie.cli.output import Output
from reverie.cli.runs import sigterm_ends
from reverie.progress import shown_progress

if TYPE_CHECKING:
    from rich.console import Console

app = command_app()


@app.command(
    epilog=examples(
        "reverie calibrate --model smol --questions recipes/smol-questions.jsonl --risk 0.1",
        "reverie calibrate --model smol --questions mine.jsonl --made-up 200 --out bundles/smol-sure",
        'reverie ask "What is the capital of France?" --model smol',
    )
)
def calibrate(
    model: ModelOption = "smol",
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help='JSON lines of {"question": "...", "answers": ["...", ...]}; with "options" one of them is right; no '
            "answers: nobody can know. None: what nano's worlds ask.",
        ),
    ] = None,
    risk: Annotated[
        list[float] | None,
        typer.Option("--risk", help="Most that may be wrong of what is called known; of several the least in reach."),
    ] = None,
    delta: Annotated[float, typer.Option("--delta", help="How often chance may break that.")] = 0.05,
    made_up: Annotated[
        int, typer.Option("--made-up", min=0, help="As many questions about what does not exist go with them.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="BUNDLE", help="A new folder for the calibrated bundle; else in place."),
    ] = None,
    run_dir: Annotated[
        Path, typer.Option("--run", metavar="DIR", help="Keeps the answers as they come, and gets the report.")
    ] = Path("runs/calibrate"),
    forms: Annotated[
        bool,
        typer.Option("--forms/--direct-only", help="Dreams in words and readings of memory are calibrated, too."),
    ] = True,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Most questions of the file, drawn at random; 0: all.")
    ] = 0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Ask a model questions with known answers, and learn from that when it may call an answer known.

    What it showed while it answered (how likely its words were, whether it says the same again, whether it has met the
    words, where in it the question lies, …) is joined to a confidence; the threshold is set so that of what is called
    known at most --risk is wrong, unless chance was among its worst --delta. Where no threshold can promise that,
    nothing is called known, and the report says so. What is dreamed in words and what is read of memory is asked about,
    too, in questions of the house's own, and gets a confidence of its own. The same command goes on where it stopped.
    """
    with Output(as_json) as output:
        with sigterm_ends(), shown_progress() as report:
            from reverie.bundles.calibrated import calibrate_bundle, check_place
            from reverie.training.knowing.fitting import FitConfig
            from reverie.training.knowing.gathering import gather

            config = FitConfig(*_risks(risk or [0.05]), delta=delta, seed=seed)
            check_place(model, out)
            asked = gather(questions, limit, made_up, seed)
            about = "questions about its worlds" if questions is None else questions.name
            found = calibrate_bundle(model, asked, run_dir, config, out, about, forms, report)
        output.result(found, lambda console: _show(console, found))


def _risks(given: list[float]) -> tuple[float, tuple[float, ...]]:
    return max(given), tuple(given) if len(given) > 1 else ()


def _show(console: Console, found: dict[str, Any]) -> None:
    from reverie.training.knowing.report import promise

    console.print(promise(found), highlight=False, markup=False)
    sure = found["confidence"]
    told = (
        f"AUROC {sure['auroc']:.3f}, calibration error {sure['ece']:.3f}; {found['known_share']:.0%} of the test part "
    )
    told += f"known, {found['wrong_share_of_known']:.1%} of that wrong"
    console.print(told, highlight=False, markup=False)
    console.print(f"{found['bundle']}; report.md and pictures in {found['run_dir']}", style="dim", markup=False)
