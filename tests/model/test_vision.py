"""Every vision encoder keeps the contract, the pretrained ones with the real loading code on tiny folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import BundleError, ConfigError, ContractError, UnknownNameError
from reverie.model.vision import (
    EMBED_SIZE,
    VisionConfig,
    VisionEncoder,
    _turn,
    check_vision,
    make_vision,
    vision_encoders,
)
from reverie.tokens.image import ImageTokenizer, ImageTokenizerConfig


@pytest.fixture(scope="module")
def tokenizer() -> ImageTokenizer:
    config = ImageTokenizerConfig(stride=8, levels=(4, 3, 3), width=16)
    return ImageTokenizer(config, torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    return _save(
        CLIPVisionModelWithProjection,
        CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, projection_dim=512, num_hidden_layers=2, num_attention_heads=2,
            image_size=32, patch_size=8,
        ),
        tmp_path_factory.mktemp("clip"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1], layer_type="basic")
    folder = _save(ResNetModel, config, tmp_path_factory.mktemp("resnet"))
    ConvNextImageProcessorPil(size={"shortest_edge": 48}).save_pretrained(folder)
    return folder


def _save(kind: type, config: object, folder: Path) -> Path:
    from reverie.logs import quiet_transformers

    torch.manual_seed(0)
    with quiet_transformers():
        kind(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["lite", "tokens"])
def test_own_encoders_keep_the_contract(kind: str, tokenizer: ImageTokenizer) -> None:
    encoder = make_vision(VisionConfig(kind, side=32), tokenizer, torch.Generator().manual_seed(0))
    check_vision(encoder)
    again = make_vision(VisionConfig(kind, side=32), tokenizer, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def test_pretrained_encoders_keep_the_contract(clip: Path, resnet: Path) -> None:
    for kind, folder in (("clip", clip), ("resnet", resnet)):
        encoder = make_vision(VisionConfig(kind, source=str(folder)))
        check_vision(encoder)
        assert not encoder.train().training
        assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_clip_gives_its_own_projection_of_pictures_prepared_its_own_way(clip: Path) -> None:
    from PIL import Image
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    from reverie.logs import quiet_transformers

    picture = np.random.default_rng(0).integers(256, size=(40, 64, 3), dtype=np.uint8)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with quiet_transformers(), torch.no_grad():
        model = CLIPVisionModelWithProjection.from_pretrained(clip).eval()
        found = model(**processor([Image.fromarray(picture)], return_tensors="pt")).image_embeds[0].numpy()
    encoder = make_vision(VisionConfig("clip", source=str(clip)))
    np.testing.assert_allclose(encoder.embed([picture])[0], found / np.linalg.norm(found), atol=1e-5)


def test_a_whole_clip_with_its_text_half_is_loaded_too(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1,
            "vocab_size": 20}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1,
              "image_size": 16, "patch_size": 8}  # fmt: skip
    _save(CLIPModel, CLIPConfig(text_config=text, vision_config=vision, projection_dim=24), tmp_path)
    check_vision(make_vision(VisionConfig("clip", source=str(tmp_path))))


def test_a_resnet_sees_pictures_as_its_folder_says(resnet: Path) -> None:
    encoder = make_vision(VisionConfig("resnet", source=str(resnet)))
    picture = np.zeros((64, 64, 3), np.uint8)
    assert encoder.prepare([picture]).shape == (1, 3, 48, 48)
    assert encoder.size == 24


def test_vectors_of_any_width_become_512_and_narrow_ones_keep_their_angles() -> None:
    vectors = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(vectors @ vectors.T, (vectors @ _turn(40)) @ (vectors @ _turn(40)).T)
    assert _turn(2048).shape == (2048, EMBED_SIZE)
    torch.testing.assert_close(_turn(2048), _turn(2048))


def test_the_code_of_a_cell_reaches_its_neighbours_alone(tokenizer: ImageTokenizer) -> None:
    encoder = make_vision(VisionConfig("tokens", side=64), tokenizer, torch.Generator().manual_seed(0)).eval()
    codes = torch.zeros(1, 8, 8, dtype=torch.int64)
    other = codes.clone()
    other[0, 0, 0] = 5
    changed = (encoder(codes) != encoder(other)).any(2)[0].view(8, 8)
    assert changed[:2, :2].all()
    assert changed.sum() == 4


def test_a_list_is_embedded_in_batches(tokenizer: ImageTokenizer) -> None:
    encoder = make_vision(VisionConfig("lite", side=32), generator=torch.Generator().manual_seed(0))
    pictures = list(np.random.default_rng(0).integers(256, size=(7, 32, 32, 3), dtype=np.uint8))
    np.testing.assert_allclose(encoder.embed(pictures, 3), encoder.embed(pictures), atol=1e-5)


def test_a_registered_encoder_is_made_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean(VisionEncoder):
        name, size, num_states = "mean", 3, 1

        def prepare(self, pictures):  # type: ignore[no-untyped-def]
            return make_vision(VisionConfig("lite")).prepare(pictures)

        def forward(self, prepared):  # type: ignore[no-untyped-def]
            return prepared.float().mean((1, 2))[:, None]

    monkeypatch.setattr(vision_encoders, "_entries", dict(vision_encoders._entries))
    vision_encoders.register("mean", lambda config, tokenizer: Mean())
    assert "mean" in vision_encoders.names()
    assert "states are finite" in check_vision(make_vision(VisionConfig("mean")))


def test_what_breaks_the_contract_is_named() -> None:
    class Blind(VisionEncoder):
        name, size, num_states = "blind", 4, 2

        def prepare(self, pictures):  # type: ignore[no-untyped-def]
            return torch.zeros(len(pictures), 1)

        def forward(self, prepared):  # type: ignore[no-untyped-def]
            return torch.ones(len(prepared), 2, 4)

    with pytest.raises(ContractError, match="another has another"):
        check_vision(Blind())
    Blind.num_states = 3
    with pytest.raises(ContractError, match=r"\(3, 3, 4\)"):
        check_vision(Blind())


def test_what_cannot_be_is_refused_in_one_line(clip: Path, resnet: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'lite'"):
        make_vision(VisionConfig("light"))
    for config in ({"side": 20}, {"size": 12}, {"cell_px": 5}):
        with pytest.raises(ConfigError):
            VisionConfig(**config)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="image tokenizer"):
        make_vision(VisionConfig("tokens"))
    with pytest.raises(ConfigError, match="needs source"):
        make_vision(VisionConfig("clip"))
    with pytest.raises(BundleError, match="of type resnet"):
        make_vision(VisionConfig("clip", source=str(resnet)))
    with pytest.raises(BundleError, match="no resnet network"):
        make_vision(VisionConfig("resnet", source=str(tmp_path)))
    for name in ("config.json", "preprocessor_config.json"):
        if (clip / name).exists():
            (tmp_path / name).write_bytes((clip / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes((clip / "model.safetensors").read_bytes()[:500])
    with pytest.raises(BundleError, match="no clip network"):
        make_vision(VisionConfig("clip", source=str(tmp_path)))
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"no pickle is ever read")
    with pytest.raises(BundleError, match="no clip network"):
        make_vision(VisionConfig("clip", source=str(tmp_path)))
