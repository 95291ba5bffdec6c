"""ONNX: every file as torch, the same sample from the same seed without torch, int8, damaged and foreign folders.

Tracing takes seconds a graph: the fast tests trace one network and the flow, and test folders and refusals on graphs
that say nothing (``hollow``); the slow ones export the whole toy.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from reverie.errors import BundleError, MissingExtraError, UsageError
from reverie.generator import onnx as exporting
from reverie.generator import onnx_graphs
from reverie.generator.generator import Generator, toy_generator
from reverie.generator.onnx import MOST_DIFFERENCE, OnnxExport, compare_onnx, export_onnx, load_onnx
from reverie.generator.onnx_sample import OnnxGenerator, seed_noise

FILES = {"picture_encoder", "caption_encoder", "picture_decoder", "caption_decoder", "prior_flow", "prior_mixture"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy, with a flow that bends noise and hears captions as a trained one does."""
    toy = toy_generator()
    draw = torch.Generator().manual_seed(3)
    for parameter in toy.priors["flow"].parameters():
        parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
    return toy.save(tmp_path_factory.mktemp("toy") / "generator")


@pytest.fixture(scope="module")
def generator(bundle: Path) -> Generator:
    return Generator.load(bundle)


@pytest.fixture(scope="module")
def export(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxExport:
    return export_onnx(bundle, tmp_path_factory.mktemp("onnx") / "export")


@pytest.fixture(scope="module")
def runner(export: OnnxExport) -> OnnxGenerator:
    return load_onnx(export.folder)


@pytest.fixture
def hollow(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnnxExport:
    """A folder like ``export`` whose graphs have their inputs and outputs and nothing between."""
    monkeypatch.setattr(onnx_graphs, "export_part", _hollow)
    monkeypatch.setattr(exporting, "compare_onnx", lambda *_: dict.fromkeys(FILES, 0.0))
    return export_onnx(bundle, tmp_path / "hollow")


def _hollow(part: onnx_graphs.Part) -> Any:
    kinds = {name: TensorProto.INT64 if name == "ids" else TensorProto.FLOAT for name in part.inputs}
    nothing = numpy_helper.from_array(np.zeros((1, 1), np.float32))
    graph = helper.make_graph(
        [helper.make_node("Constant", [], [name], value=nothing) for name in part.outputs],
        "nothing",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in part.outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_network_and_the_flow_equal_torch_and_a_network_in_int8_nearly(generator: Generator, tmp_path: Path) -> None:
    parts = {
        "picture_decoder": onnx_graphs.network_part("picture_decoder", generator),
        "prior_flow": onnx_graphs.prior_part(generator.prior("flow")),
    }
    models = {name: onnx_graphs.export_part(part) for name, part in parts.items()}
    for name, part in parts.items():
        onnx.save(models[name], tmp_path / f"{name}.onnx")
        assert exporting._difference(part, tmp_path / f"{name}.onnx", generator) <= MOST_DIFFERENCE
    rounded = onnx_graphs.round_weights(models["picture_decoder"])
    assert rounded.ByteSize() < 0.6 * models["picture_decoder"].ByteSize()
    onnx.save(rounded, tmp_path / "rounded.onnx")
    off = exporting._difference(parts["picture_decoder"], tmp_path / "rounded.onnx", generator)
    assert MOST_DIFFERENCE < off < 0.1


@pytest.mark.slow
def test_every_file_equals_torch(export: OnnxExport, generator: Generator) -> None:
    assert export.differences.keys() == FILES
    assert max(export.differences.values()) <= MOST_DIFFERENCE
    assert compare_onnx(generator, export.folder) == export.differences
    told = json.loads((export.folder / "export.json").read_text(encoding="utf-8"))
    assert told["differences"] == export.differences
    assert told["bytes"] == export.bytes == export.bytes_fp32


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"prior": "mixture"}, {"prompt": "a ship"}, {"temperature": 0.5}])
def test_the_same_seed_gives_the_same_sample(generator: Generator, runner: OnnxGenerator, how: dict[str, Any]) -> None:
    seeds = [0, 7, 2**32 - 1]
    for sample, (picture, caption) in zip(generator.sample(seeds, **how), runner.sample(seeds, **how), strict=True):
        assert abs(sample.picture.astype(int) - picture).max() <= 1  # where 0.5 is rounded
        assert sample.caption == caption


@pytest.mark.slow
def test_a_prompt_and_guidance_are_heard(runner: OnnxGenerator) -> None:
    plain, told = runner.latents([1]), runner.latents([1], prompt="a ship")
    assert abs(plain - told).max() > 1e-2
    assert abs(told - runner.latents([1], prompt="a ship", guidance=4.0)).max() > 1e-2
    assert np.allclose(plain, runner.latents([1], prompt="a ship", guidance=0.0), atol=1e-5)


@pytest.mark.slow
def test_pictures_get_the_captions_that_torch_gives_them(generator: Generator, runner: OnnxGenerator) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    assert runner.caption(pictures) == generator.caption(list(pictures))
    assert np.allclose(runner.embed(["a ship", ""]), generator.embed(["a ship", ""]).numpy(), atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 70))
def test_noise_is_that_of_torch(seed: int, size: int) -> None:
    wanted = torch.randn(size, generator=torch.Generator().manual_seed(seed)).numpy()
    assert np.allclose(seed_noise(seed, size), wanted, atol=2e-6)


@pytest.fixture(scope="module")
def speller(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxGenerator:
    """A ``hollow`` export, opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_graphs, "export_part", _hollow)
        patch.setattr(exporting, "compare_onnx", lambda *_: dict.fromkeys(FILES, 0.0))
        return load_onnx(export_onnx(bundle, tmp_path_factory.mktemp("hollow") / "export").folder)


@given(st.lists(st.integers(0, 291), max_size=20))
def test_ids_are_spelled_as_the_tokenizer_does(generator: Generator, speller: OnnxGenerator, ids: list[int]) -> None:
    assert speller.decode(ids) == generator.tokenizer.decode(ids)


@pytest.mark.slow
def test_the_folder_samples_on_its_own(export: OnnxExport, generator: Generator, tmp_path: Path) -> None:
    alone = shutil.copytree(export.folder, tmp_path / "alone")
    command = """if True:
        import runpy, sys
        sys.modules |= dict.fromkeys(["torch", "reverie", "tokenizers", "PIL"])
        sys.argv[1:] = ["--seed", "7", "8", "--out", "made"]
        runpy.run_path("sample.py", run_name="__main__")
    """
    done = subprocess.run([sys.executable, "-c", command], cwd=alone, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    from PIL import Image

    for sample in generator.sample([7, 8]):
        assert f"{sample.seed}.png: {sample.caption}" in done.stdout
        picture = np.asarray(Image.open(alone / "made" / f"{sample.seed}.png"))
        assert abs(picture.astype(int) - sample.picture).max() <= 1


@pytest.mark.slow
def test_the_readme_names_every_file_and_its_inputs(export: OnnxExport) -> None:
    text = (export.folder / "README.md").read_text(encoding="utf-8")
    for name in FILES:
        row = next(line for line in text.splitlines() if f"`{name}.onnx`" in line)
        graph = onnx.load(export.folder / f"{name}.onnx").graph
        assert all(f"`{one.name}`" in row for one in (*graph.input, *graph.output))


@pytest.mark.slow
def test_no_file_tells_where_it_was_made(export: OnnxExport, repository: Path, bundle: Path) -> None:
    for file in export.folder.iterdir():
        content = file.read_bytes()
        assert str(repository).encode() not in content
        assert str(bundle).encode() not in content


@pytest.mark.slow
def test_int8_is_smaller_and_says_what_it_costs(bundle: Path, generator: Generator, tmp_path: Path) -> None:
    told: list[str] = []
    made = export_onnx(bundle, tmp_path / "int8", int8=True, progress=lambda what, done, of: told.append(what))
    assert (made.weights, len(told)) == ("int8", 7)
    assert made.bytes < 0.6 * made.bytes_fp32
    assert made.figures["psnr"] > 35
    assert made.differences["prior_mixture"] <= MOST_DIFFERENCE  # priors stay as they are
    picture, _ = load_onnx(made.folder).sample([7])[0]
    assert abs(generator.sample([7])[0].picture.astype(int) - picture).mean() < 3


@pytest.mark.usefixtures("hollow")
def test_an_earlier_export_is_replaced_and_anything_else_is_not(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "letter.txt").write_text("keep me", encoding="utf-8")
    for taken in (tmp_path / "kept", tmp_path / "kept" / "letter.txt"):
        with pytest.raises(UsageError, match="is there already"):
            export_onnx(bundle, taken)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "export.json").write_text("{}", encoding="utf-8")
    assert load_onnx(export_onnx(bundle, tmp_path / "old").folder).default_prior == "flow"


@pytest.mark.usefixtures("hollow")
def test_an_export_that_differs_from_torch_is_not_kept(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "compare_onnx", lambda *_: {"picture_decoder": 0.25, "prior_flow": 0.0})
    with pytest.raises(BundleError, match=r"picture_decoder differs from the generator by 0\.25"):
        export_onnx(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["picture_decoder.onnx", "words.json", "config.json", "export.json"])
def test_a_damaged_export_is_one_line(hollow: OnnxExport, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(hollow.folder, tmp_path / "broken")
    (folder / name).write_bytes((folder / name).read_bytes()[:-9])
    with pytest.raises(BundleError, match="is damaged") as caught:
        load_onnx(folder)
    assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_onnx(folder)


def test_files_that_cannot_be_compared_are_one_line(hollow: OnnxExport, generator: Generator, tmp_path: Path) -> None:
    folder = shutil.copytree(hollow.folder, tmp_path / "broken")
    (folder / "caption_encoder.onnx").write_bytes(b"no model")
    with pytest.raises(BundleError, match=r"caption_encoder\.onnx cannot be run") as caught:
        compare_onnx(generator, folder)
    assert "\n" not in str(caught.value)
    (folder / "caption_encoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks caption_encoder\.onnx"):
        compare_onnx(generator, folder)


def test_wrong_questions_are_refused(speller: OnnxGenerator) -> None:
    with pytest.raises(ValueError, match="no prior 'moon'; there are flow, mixture"):
        speller.sample([1], prior="moon")
    with pytest.raises(ValueError, match="'mixture' follows no prompt"):
        speller.sample([1], prior="mixture", prompt="a ship")
    with pytest.raises(ValueError, match="a seed lies between 0 and"):
        speller.sample([-1])
    with pytest.raises(ValueError, match=r"uint8 \(N, 16, 16, 3\)"):
        speller.caption(np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.slow
def test_the_plain_normal_prior_can_be_exported_too(generator: Generator) -> None:
    import onnxruntime

    model = onnx_graphs.export_part(onnx_graphs.prior_part(generator.prior("normal")))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    noise = generator.prior("normal").noise([1, 2, 3])
    rest = {"condition": np.zeros((3, 32), np.float32), "guidance": np.zeros(1, np.float32)}
    made = session.run(None, {"noise": noise.numpy(), "temperature": np.full(1, 0.5, np.float32)} | rest)[0]
    assert np.allclose(made, generator.latents([1, 2, 3], prior="normal", temperature=0.5).numpy(), atol=1e-5)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_extra(bundle: Path, tmp_path: Path, monkeypatch: Any, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"reverie\[export\]"):
        export_onnx(bundle, tmp_path / "out")
