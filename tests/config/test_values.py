"""Values of settings that are sequences of texts, with and without quotes."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from ssl_host import format_value, parse_value

WORDS = [
    tuple[str, ...],
    list[str],
    tuple[str, str],
    list[str] | None,
    tuple[Annotated[str, Field(min_length=1)], ...],
    list[Literal["a", "b"]],
]


@pytest.mark.parametrize("annotation", WORDS, ids=str)
@pytest.mark.parametrize("text", ["a, b", "a,b", "[a, b]", "['a', 'b']", "'a', 'b'", "a, b,"])
def test_words_need_no_quotes(text, annotation):
    assert list(parse_value(text, annotation)) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),
        ("1, 2", ["1", "2"]),
        ("", []),
        ("[]", []),
        ("['a, b', 'c']", ["a, b", "c"]),
        ("'a, b', c", "'a, b', c"),  # an error of the setting, not three wrong words
    ],
)
def test_words_that_are_numbers_or_have_commas(text, expected):
    assert parse_value(text, tuple[str, ...]) == expected


@pytest.mark.parametrize("words", [[], ["a"], ["a, b", "it's"], ["1", "[x]", ""]], ids=str)
def test_written_words_are_read_back(words):
    assert list(parse_value(format_value(words, list[str]), list[str])) == words


@pytest.mark.parametrize("annotation", [str, str | list[str], list[int] | str, Any], ids=str)
def test_text_is_not_split_where_text_is_accepted(annotation):
    assert parse_value("a, b", annotation) == "a, b"


def test_optional_words_can_be_none():
    assert parse_value("none", list[str] | None) is None
