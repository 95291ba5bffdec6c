"""Captions: templates leave missing fields out cleanly, styles speak first, long ones are cut behind a word."""

from __future__ import annotations

import pytest

from reverie.data.pictures.phrases import STYLES, Template, bare_phrase, cut_caption, find_style, one_line, with_prefix
from reverie.errors import ConfigError, UnknownNameError

GIVEN = {"caption": "The Deluge.", "work": "A History", "year": "1883"}


@pytest.mark.parametrize(
    ("template", "full", "without_work"),
    [
        ("{caption} {work}", "The Deluge. A History", "The Deluge."),
        ("{caption}, {work}", "The Deluge., A History", "The Deluge."),
        ("{work}: {caption}", "A History: The Deluge.", "The Deluge."),
        ("{caption} ({work})", "The Deluge. (A History)", "The Deluge."),
        ("{caption} [from {work}]", "The Deluge. from A History", "The Deluge."),
        ("{caption}[ From {work}, {year}.]", "The Deluge. From A History, 1883.", "The Deluge."),
        ("{year}, {work}, {caption}", "1883, A History, The Deluge.", "1883, The Deluge."),
        ("An engraving: {caption}", "An engraving: The Deluge.", "An engraving: The Deluge."),
        ("  {caption}\n{year} ", "The Deluge. 1883", "The Deluge. 1883"),
        ("no field", "no field", "no field"),
    ],
)
def test_a_template_leaves_missing_fields_out_cleanly(template: str, full: str, without_work: str) -> None:
    assert Template(template).render(GIVEN) == full
    assert Template(template).render(GIVEN | {"work": ""}) == without_work


def test_a_template_of_which_nothing_is_there_is_empty() -> None:
    assert Template("From {work}, {year}").render({"caption": "x"}) == ""


def test_missing_fields_are_counted() -> None:
    template = Template("{caption} {work}")
    for values in (GIVEN, {"caption": "a"}, {}):
        template.render(values)
    assert template.missing == {"work": 2, "caption": 1}


def test_an_unknown_field_is_one_line_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"'werk'.*Did you mean 'work'"):
        Template("{caption} {werk}").check({"caption", "work"})


@pytest.mark.parametrize("bad", ["{caption", "caption}", "{}", "{caption:>9}", "{caption!r}", "[{a}", "a]", "[[a]]"])
def test_a_malformed_template_is_one_line(bad: str) -> None:
    with pytest.raises(ConfigError, match="the caption '"):
        Template(bad)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("A man on a horse", "An engraving depicting a man on a horse"),
        ("Venice at night", "An engraving depicting Venice at night"),
        ("a black and white drawing of a ship", "An engraving depicting a ship"),
        ("an old engraving of the sea", "An engraving depicting the sea"),
        ("an engraving depicting a tree", "an engraving depicting a tree"),
        ("a picture of", "An engraving depicting a picture of"),
        ("  two\nmen ", "An engraving depicting two men"),
        ("", ""),
    ],
)
def test_a_style_speaks_before_the_captioner(words: str, said: str) -> None:
    assert with_prefix("An engraving depicting", words) == said


def test_no_prefix_leaves_the_words_alone() -> None:
    assert with_prefix("", "a drawing of a cat") == "a drawing of a cat"


def test_a_bare_phrase_ends_before_its_link() -> None:
    assert {name: bare_phrase(style.prefix) for name, style in STYLES.items()} == {
        "engraving": "An engraving",
        "etching": "An etching",
        "woodcut": "A woodcut",
        "drawing": "A drawing",
        "painting": "A painting",
        "photograph": "A photograph",
        "none": "",
    }


def test_an_unknown_style_is_one_line() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'engraving'"):
        find_style("engravings")


def test_whitespace_and_control_characters_become_single_spaces() -> None:
    assert one_line("  a\tb\r\nc\0d\u2028e\u00a0f ") == "a b c d e f"
    assert one_line("नमस्ते \u200d x") == "नमस्ते \u200d x"
    assert one_line("bad \udcff byte") == "bad \ufffd byte"


def test_a_long_caption_is_cut_behind_a_word() -> None:
    assert cut_caption("short", 20) == "short"
    assert cut_caption("one two three four", 13) == "one two three"
    assert cut_caption("one two, three four", 12) == "one two"
    assert cut_caption("x" * 100_000, 20) == "x" * 20
