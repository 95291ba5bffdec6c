"""Modelfiles: talks are written down as the chat template does it, and Ollama's parser reads what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import BundleError, UsageError
from reverie.export import ExportConfig, export
from reverie.export.modelfile import find_turns, read_modelfile
from reverie.tokens.base_words import ChatTemplate
from toy_exports import tiny_bundle

CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}<|end|>\n\n{{ m.content }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]


@pytest.mark.parametrize("source", [CHATML, LLAMA3])
def test_turns_are_found_and_render_as_the_template_does(source: str) -> None:
    template = ChatTemplate(source, {"bos_token": "<s>"})
    turns = find_turns(template)
    assert turns is not None
    for talk in (TALK, TALK[1:], TALK[1:2]):
        assert turns.render(talk) == template.render(talk)
    assert turns.assistant[1]
    assert turns.user[0]


def test_bos_is_not_said_twice() -> None:
    turns = find_turns(ChatTemplate(LLAMA3, {"bos_token": "<s>"}), "<s>")
    assert turns is not None
    assert turns.render(TALK[1:2]).startswith("<|start|>user")


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ loop.index }}. {{ m.content }}{% endfor %}",  # counts turns
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}",  # trims what is said
        "{{ raise_exception('never') }}",
        "no turn at all",
    ],
)
def test_a_template_that_says_more_is_left_to_ollama(source: str) -> None:
    assert find_turns(ChatTemplate(source)) is None


def test_a_default_system_turn_becomes_system(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    (tmp_path / "out").mkdir()
    from dataclasses import replace

    from reverie.export import open_source
    from reverie.export.modelfile import modelfile

    source = replace(open_source(bundle), template=CHATML, stop=("\n",), drawing={"temperature": 0.6, "top_k": 5})
    text, notes = modelfile(source, "tiny-f16.gguf", "tiny-lora.gguf")
    assert not notes
    told = read_modelfile(text)
    assert told[:2] == [("from", "./tiny-f16.gguf"), ("adapter", "./tiny-lora.gguf")]
    assert ("system", "You are kind.") in told
    assert ("parameter", "stop <|end|>") in told
    assert ("parameter", "stop \n") in told
    assert ("parameter", "temperature 0.6") in told
    assert ("parameter", "repeat_penalty 1.0") in told  # or Ollama's own 1.1 would change what is said
    template = dict(told)["template"]
    assert "You are kind." not in template
    assert 'if eq $m.Role "user" }}<|im_start|>user\n{{ $m.Content }}<|im_end|>\n{{ else' in template
    assert template.endswith("{{ end }}{{ end }}<|im_start|>assistant\n")


def test_a_system_of_ones_own_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    done = export("ollama", bundle, tmp_path / "out", ExportConfig(system='Say "please".\nAlways!'))
    told = read_modelfile((done.folder / "Modelfile").read_text())
    assert ("system", 'Say "please".\nAlways!') in told
    with pytest.raises(UsageError, match="three quotes"):
        export("ollama", bundle, tmp_path / "other", ExportConfig(system='"""'))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SYSTEM hi\n", "no FROM line"),
        ("FROM ./a.gguf\nFORM b\n", "line 2 begins with no command: 'FORM'"),
        ('FROM ./a.gguf\nTEMPLATE """{{ .Prompt }}\n', "line 2 opens a quote"),
    ],
)
def test_what_ollama_would_not_take(text: str, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        read_modelfile(text)
