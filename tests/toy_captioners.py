"""Vision-language models of a few thousand random weights, saved as the hub's real ones are: folders for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

_WORDS = "a the man horse ship on in of an engraving tree city black and white user assistant describe :".split()
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[BOS]", "<image>"]
_SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
_LOOKS = {**_SMALL, "image_size": 16, "patch_size": 8}
_SIDE = {"height": 16, "width": 16}
_IDS = {"pad_token_id": 0, "eos_token_id": 3, "bos_token_id": 4}


def toy_captioner(kind: str, folder: Path) -> Path:
    """A model of that kind in ``folder``: blip, blip2, llava (asked in a chat) or encoder-decoder."""
    torch.manual_seed(0)
    model, *processors = {"blip": _blip, "blip2": _blip2, "llava": _llava, "encoder-decoder": _pair}[kind]()
    with torch.no_grad():  # large weights, so that different pictures are said in different words
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.6)
    for part in (model, *processors):
        part.save_pretrained(folder)
    return folder


def _tokenizer(**settings: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: index for index, word in enumerate(_SPECIAL + _WORDS)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[BOS]", "eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **settings)


def _blip() -> tuple[Any, ...]:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil, BlipProcessor

    tokenizer = _tokenizer(cls_token="[CLS]", sep_token="[SEP]")
    words = {**_SMALL, **_IDS, "vocab_size": len(tokenizer), "encoder_hidden_size": 16, "max_position_embeddings": 64}
    config = BlipConfig(text_config={**words, "sep_token_id": 3}, vision_config=_LOOKS, projection_dim=16)
    model = BlipForConditionalGeneration(config)
    return model, BlipProcessor(BlipImageProcessorPil(size=_SIDE), tokenizer)


def _blip2() -> tuple[Any, ...]:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessorPil

    tokenizer = _tokenizer()
    words = {**_SMALL, **_IDS, "vocab_size": len(tokenizer), "ffn_dim": 16, "word_embed_proj_dim": 16}
    config = Blip2Config(
        vision_config=_LOOKS,
        qformer_config={**_SMALL, "vocab_size": len(tokenizer), "encoder_hidden_size": 16},
        text_config={**words, "model_type": "opt", "max_position_embeddings": 64},
        num_query_tokens=4,
        image_token_index=_SPECIAL.index("<image>"),
    )
    processor = Blip2Processor(BlipImageProcessorPil(size=_SIDE), tokenizer, num_query_tokens=4)
    return Blip2ForConditionalGeneration(config), processor


def _llava() -> tuple[Any, ...]:
    from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = _tokenizer(extra_special_tokens={"image_token": "<image>"})
    words = {**_SMALL, **_IDS, "vocab_size": len(tokenizer), "num_key_value_heads": 2, "max_position_embeddings": 64}
    config = LlavaConfig(
        vision_config={**_LOOKS, "num_hidden_layers": 2, "model_type": "clip_vision_model"},
        text_config={**words, "model_type": "llama"},
        image_token_index=_SPECIAL.index("<image>"),
        image_seq_length=4,
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=_SIDE, crop_size=_SIDE),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for turn in messages %}{{ turn.role }} : {% for part in turn.content %}"
        "{% if part.type == 'image' %}<image> {% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}assistant :",
    )
    return LlavaForConditionalGeneration(config), processor


def _pair() -> tuple[Any, ...]:
    from transformers import (
        GPT2Config,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessorPil,
    )

    tokenizer = _tokenizer()
    words = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64, **_IDS)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**_LOOKS), words)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 4, 0, 3
    return VisionEncoderDecoderModel(config), ViTImageProcessorPil(size=_SIDE), tokenizer
