"""What is read of a config.json, what is refused, and how positions turn, beside transformers' own tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from bases import toy_base
from reverie.errors import BundleError
from reverie.model import BackboneConfig
from reverie.model.llama_layout import LlamaLayout, find_layout
from reverie.model.rotary import rotary_turns


def fields(family: str = "llama", **changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = toy_base(family).config.to_dict()
    return config | {"architectures": [type(toy_base(family)).__name__]} | changes


def rope(**settings: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_theta": 100.0, **settings}}


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("gpt2", {}, "a base of type 'gpt2' is not in Llama layout"),
        ("mixtral", {}, "a base of type 'mixtral' is not"),
        ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "architectures of"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act of 'gelu' is not known"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config of"),
        ("llama", {"num_hidden_layers": None}, "num_hidden_layers of None is no whole number"),
        ("llama", {"num_key_value_heads": 3}, "4 of queries and 3 of keys, do not fit"),
        ("llama", {"head_dim": 7}, "heads of 7 values"),
        ("llama", {"rms_norm_eps": "small"}, "rms_norm_eps of 'small' is no positive number"),
        ("llama", {"tie_word_embeddings": "yes"}, "tie_word_embeddings of 'yes'"),
        ("llama", rope(rope_type="dynamic", factor=2.0), "positions of type 'dynamic' are not known"),
        ("llama", rope(rope_type="longrope", short_factor=[1.0]), "positions of type 'longrope'"),
        ("llama", rope(rope_type="default", partial_rotary_factor=0.5), "with partial_rotary_factor are not known"),
        ("llama", rope(rope_type="linear"), "factor of None is no positive number"),
        ("llama", {"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}, "with full_attention are not known"),
        ("llama", {"rope_parameters": [1]}, "rope parameters are an object"),
        ("llama", {"layer_types": ["full_attention", "sliding_attention"]}, "layers of types"),
        ("mistral", {"sliding_window": 100}, "a sliding window of 100 ids is not known"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 100}, "a sliding window of 100"),
        ("qwen3", {"head_dim": None}, "without head_dim is not known"),
        ("smollm3", {"no_rope_layers": [1]}, "no_rope_layers has a 0 or 1 for every layer"),
    ],
)
def test_what_is_not_known_is_left_to_transformers(family: str, changes: dict[str, Any], message: str) -> None:
    given = fields(family, **changes)
    assert find_layout(given) is None
    with pytest.raises(BundleError, match=message):
        LlamaLayout.from_transformers(given)


def test_windows_that_no_text_outgrows_do_not_matter() -> None:
    assert find_layout(fields("mistral", sliding_window=512)) is not None
    assert find_layout(fields("qwen2", use_sliding_window=False, sliding_window=5)) is not None


def test_how_transformers_wrote_positions_before_is_read_too() -> None:
    before = fields() | {"rope_parameters": None, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}
    assert dict(LlamaLayout.from_transformers(before).rope) == {
        "rope_theta": 5e5,
        "rope_type": "linear",
        "factor": 2.0,
    }


@pytest.mark.parametrize("family", ["llama", "llama-untied", "mistral", "qwen2", "qwen3", "smollm3"])
def test_the_tensors_are_those_that_the_base_has(family: str) -> None:
    base = toy_base(family)
    given = base.config.to_dict() | {"architectures": [type(base).__name__]}
    wanted = {name: tuple(value.shape) for name, value in base.named_parameters()}
    assert LlamaLayout.from_transformers(given).shapes == wanted


def test_our_own_backbone_is_in_this_layout() -> None:
    config = BackboneConfig(vocab_size=60, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4)
    read = LlamaLayout.from_transformers(config.to_transformers(torch.float32))
    assert read == LlamaLayout.of_backbone(config)


@pytest.mark.parametrize(
    "settings",
    [
        {"rope_type": "linear", "factor": 2.5},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "attention_factor": 1.5},
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 512, "beta_fast": 8, "beta_slow": 2},
    ],
)
def test_positions_turn_as_in_transformers(settings: dict[str, Any]) -> None:
    given = {"rope_theta": 10000.0, **settings}
    config = LlamaConfig(
        hidden_size=256, num_attention_heads=4, max_position_embeddings=1024, rope_parameters=dict(given)
    )
    frequencies, scale = ROPE_INIT_FUNCTIONS[settings["rope_type"]](config, None)
    angles = torch.outer(torch.arange(300.0), frequencies)
    wanted = torch.complex(angles.cos(), angles.sin()) * scale
    torch.testing.assert_close(rotary_turns(given, 64, 300), wanted)
