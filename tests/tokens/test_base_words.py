"""The words of a base are read from its files as transformers reads them, without transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from bases import bos_words, piece_words, quiet, toy_words
from reverie.errors import BundleError, ReverieError, UsageError
from reverie.tokens.base_words import BaseWords, ChatTemplate

SAMPLES = [
    "",
    " ",
    "What falls?",
    "  two  spaces\n\nand lines \n",
    "naïve ✓ 🙂 日本",
    "<|end|>",
    "a<|end|>b",
    "\ttab\r\n",
]
TALK = [
    {"role": "user", "content": "What falls?"},
    {"role": "assistant", "content": "It."},
    {"role": "user", "content": "Why?"},
]
SYSTEM = [{"role": "system", "content": "Be brief."}, *TALK]


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {"plain": toy_words, "bpe": bos_words, "pieces": piece_words}


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[BaseWords, Any]:
    """Ours and theirs, of one folder."""
    folder = tmp_path_factory.mktemp(request.param)
    with quiet():
        KINDS[request.param]().save_pretrained(folder)
    return BaseWords.read(folder), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", SAMPLES)
def test_texts_have_the_ids_that_transformers_gives_them(both: tuple[BaseWords, Any], text: str) -> None:
    ours, theirs = both
    assert ours.encode(text) == theirs(text).input_ids
    bare = theirs(text, add_special_tokens=False).input_ids
    assert ours.encode(text, whole=False) == bare
    assert ours.decode(bare) == theirs.decode(bare, skip_special_tokens=True)
    assert ours.decode(ours.encode(text)) == theirs.decode(theirs(text).input_ids, skip_special_tokens=True)


@given(text=st.text(max_size=40))
def test_any_text_does(both: tuple[BaseWords, Any], text: str) -> None:
    ours, theirs = both
    ids = ours.encode(text)
    assert ids == theirs(text).input_ids
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_ids_that_stand_for_text_are_neither_special_nor_an_end(both: tuple[BaseWords, Any]) -> None:
    ours, theirs = both
    assert ours.ends == {theirs.eos_token_id}
    special = {token for token, added in theirs.added_tokens_decoder.items() if added.special}
    assert ours.text_ids == sorted(set(theirs.get_vocab().values()) - special)
    assert ours.start == (theirs("").input_ids or [theirs.eos_token_id])


def test_ids_that_end_lines_are_found(both: tuple[BaseWords, Any]) -> None:
    ours, theirs = both
    last, others = ours.line_ends
    texts = {token: theirs.decode([token]) for token in ours.text_ids}
    assert sorted(last) == [token for token, text in texts.items() if text.count("\n") == 1 and text.endswith("\n")]
    assert sorted(others) == [token for token, text in texts.items() if "\n" in text and token not in last]
    assert last


def test_several_line_feeds_in_one_id_are_told_apart(tmp_path: Path) -> None:
    words = toy_words()
    words.backend_tokenizer.add_tokens(["\n\n", ".\n", "\nA", ".\n\n"])
    words.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = BaseWords.read(tmp_path)
    last, others = ([ours.decode([token]) for token in some] for some in ours.line_ends)
    assert sorted(last) == ["\n", ".\n"]
    assert sorted(others) == ["\n\n", "\nA", ".\n\n"]


def test_data_cannot_name_a_special_token(both: tuple[BaseWords, Any]) -> None:
    ours, theirs = both
    specials = set(theirs.all_special_ids)
    for name in theirs.all_special_tokens:
        for text in (name, f"a{name}b", f"{name[0]}{name}", f"{name[:-1]}{name}{name[-1]}", name * 3):
            assert not set(ours.encode(ours.plain(text), whole=False)) & specials
    assert ours.plain("a < b and <i>c</i> | d") == "a < b and <i>c</i> | d"


# what ends an answer, and how it is drawn -----------------------------------------------------------------------


def save_words(folder: Path) -> Path:
    """The words of a base, without its weights."""
    with quiet():
        toy_words().save_pretrained(folder)
    rewrite(folder, "config.json", eos_token_id=0)
    return folder


def rewrite(folder: Path, name: str, **fields: Any) -> None:
    path = folder / name
    told = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**told, **fields}))


def test_ends_are_those_of_the_generation_settings_too(tmp_path: Path) -> None:
    base = save_words(tmp_path)
    assert BaseWords.read(base).ends == {0}
    rewrite(base, "generation_config.json", eos_token_id=[5, 7])
    assert BaseWords.read(base).ends == {0, 5, 7}
    rewrite(base, "tokenizer_config.json", eos_token=None)
    assert BaseWords.read(base).ends == {5, 7}
    (base / "generation_config.json").unlink()
    assert BaseWords.read(base).ends == {0}  # as its config says
    rewrite(base, "tokenizer_config.json", eos_token={"content": "a", "special": True})
    assert BaseWords.read(base).ends == {BaseWords.read(base).encode("a")[0]}


def test_its_usual_way_of_drawing_is_read_where_it_draws(tmp_path: Path) -> None:
    base = save_words(tmp_path)
    assert BaseWords.read(base).drawing == {}
    rewrite(base, "generation_config.json", do_sample=True, temperature=0.6, top_p=0.9, top_k=None, max_length=9)
    assert BaseWords.read(base).drawing == {"temperature": 0.6, "top_p": 0.9}
    rewrite(base, "generation_config.json", do_sample=False)
    assert BaseWords.read(base).drawing == {}


def test_a_tokenizer_that_was_saved_with_a_longest_text_cuts_none(tmp_path: Path) -> None:
    tokenizer = toy_words().backend_tokenizer
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert BaseWords.read(tmp_path).encode("zzzzzz") == toy_words()("zzzzzz").input_ids
    assert len(BaseWords.read(tmp_path).encode("z")) == 1


def test_files_that_are_missing_or_damaged_are_said(tmp_path: Path) -> None:
    base = save_words(tmp_path / "base")
    with pytest.raises(BundleError, match="no text tokenizer"):
        BaseWords.read(tmp_path)
    (base / "generation_config.json").write_text("{")
    with pytest.raises(BundleError, match="generation_config"):
        BaseWords.read(base)
    (base / "generation_config.json").write_text("{}")
    (base / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="chat template"):
        BaseWords.read(base)


# chat templates -------------------------------------------------------------------------------------------------

TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "bos": "{{ bos_token }}{% for m in messages %}[{{ m.role|upper }}] {{ m.content | trim }}{{ eos_token }}"
    "{% endfor %}",
    "default system": "{% if messages[0].role != 'system' %}SYSTEM You help.\n{% endif %}"
    "{%- for m in messages %}\n  {{- m.role }}: {{ m.content }}\n{% endfor %}",
    "tojson": "{{ messages | tojson }}\n{{ messages[0] | tojson(indent=2) }}{{ 'é<>&' | tojson }}",
    "date": "{{ strftime_now('%Y') }} {% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}{{ ns.n }}",
    "no tools": "{% if tools is defined and tools %}{{ tools }}{% endif %}"
    "{% if not documents %}{{ messages[-1].content }}{% endif %}{% generation %}{{ unknown }}{% endgeneration %}",
    "indented": "{% for m in messages %}\n    {% if m.role == 'user' %}\n    U {{ m.content }}\n    {% endif %}\n"
    "{% endfor %}",
    "macro": "{% macro say(m) %}<{{ m.role }}>{{ m.content.strip() }}{% endmacro %}"
    "{% for m in messages %}{{ say(m) }}{% endfor %}",
}


def templated(folder: Path, template: Any) -> tuple[BaseWords, Any]:
    words = bos_words()
    words.chat_template = template
    with quiet():
        words.save_pretrained(folder)
    return BaseWords.read(folder), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("talk", [TALK, SYSTEM, TALK[:1]])
def test_a_talk_is_written_as_transformers_writes_it(name: str, talk: list[dict[str, str]], tmp_path: Path) -> None:
    ours, theirs = templated(tmp_path, TEMPLATES[name])
    assert ours.template is not None
    wanted = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert ours.template.render(talk) == wanted
    ids = theirs.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
    assert ours.encode(wanted, whole=False) == ids  # a BOS that the template writes is not doubled


def test_the_default_of_several_templates_is_taken(tmp_path: Path) -> None:
    ours, theirs = templated(tmp_path, {"tool_use": "tools", "default": TEMPLATES["chatml"]})
    assert ours.template is not None
    assert ours.template.render(TALK) == theirs.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ messages[0].content }}"}]
    old = ChatTemplate.read(tmp_path / "nowhere", {"chat_template": named})
    assert old is not None
    assert old.render(TALK) == "What falls?"
    assert ChatTemplate.read(tmp_path / "nowhere", {"chat_template": named[:1]}) is None


def test_where_a_template_knows_no_system_turn_its_words_go_first() -> None:
    refuses = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    )
    assert ChatTemplate(refuses).render(SYSTEM) == "<user>Be brief.\n\nWhat falls?<assistant>It.<user>Why?"
    assert ChatTemplate(refuses).render(SYSTEM[:1]) == "<user>Be brief."
    assert SYSTEM[1]["content"] == "What falls?"  # the talk itself is left as it is


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('never') }}", "never"),
        ("{% for m in messages %}", "damaged"),
        ("{{ messages[9].content.upper() }}", "does not take"),
        ("{{ 1 // 0 }}", "does not take"),
        ("{{ messages | nothing }}", "damaged"),
        ("{{ messages.__class__.__mro__ }}", "does not take"),
        ("{% include 'other' %}", "does not take"),
        ("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "does not take"),
    ],
)
@pytest.mark.parametrize("talk", [TALK, SYSTEM])
def test_a_template_that_raises_is_refused_in_one_line(template: str, said: str, talk: list[dict[str, str]]) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        ChatTemplate(template).render(talk)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ReverieError)


def test_a_base_without_a_template_has_none(tmp_path: Path) -> None:
    assert BaseWords.read(save_words(tmp_path)).template is None
    rewrite(tmp_path, "tokenizer_config.json", chat_template="")
    assert BaseWords.read(tmp_path).template is None
    rewrite(tmp_path, "tokenizer_config.json", chat_template="{{ messages[0].content }}")
    assert BaseWords.read(tmp_path).template is not None


def test_dates_are_those_of_today() -> None:
    assert ChatTemplate("{{ strftime_now('%Y') }}").render(TALK) == datetime.now().strftime("%Y")
