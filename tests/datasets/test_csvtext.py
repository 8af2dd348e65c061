"""Comma-separated text: quoting, blanks, line numbers; Python's csv module as the reference for what both read."""

import csv
import io
import random

import pytest

from vidfeat.datasets.csvtext import format_row, parse_rows


def rows(text):
    return [fields for _, fields in parse_rows(text)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_blank_lines_and_line_numbers(newline):
    text = newline.join(["", "id,path", "   ", "a,b", ",,", "c,d"])
    assert list(parse_rows(text)) == [(2, ["id", "path"]), (4, ["a", "b"]), (6, ["c", "d"])]


def test_spaces_count_only_inside_quotes():
    assert rows(' a b ,\t"  c "  ,d\t\n') == [["a b", "  c ", "d"]]


def test_quoted_fields_hold_everything():
    text = '"a,b","say ""hi""","two\r\nlines",""\nnext,,,\n'
    assert list(parse_rows(text)) == [(1, ["a,b", 'say "hi"', "two\r\nlines", ""]), (3, ["next", "", "", ""])]


def test_quotes_inside_an_unquoted_field_and_hash_and_minus_are_plain_characters():
    assert rows('5" disk,#1,-x\n') == [['5" disk', "#1", "-x"]]


def test_a_quoted_empty_field_is_not_a_blank_row():
    assert rows('""\n') == [[""]]


@pytest.mark.parametrize("text", ['a\n"b,c\nd\n', 'a\n"b"c,d\n'])
def test_open_quote_names_the_line(text):
    with pytest.raises(
        ValueError, match=r'line 2: the field .* opens a quote that is not closed.*inside a quoted field as ""'
    ):
        rows(text)


def test_round_trip_and_agreement_with_the_csv_module():
    generator = random.Random(0)
    for _ in range(500):
        fields = ["".join(generator.choices('ab ,"\n\r\té#-', k=generator.randrange(6))) for _ in range(3)]
        line = format_row(["x", *fields])
        assert rows(line) == [["x", *fields]]
        assert next(csv.reader(io.StringIO(line, newline=""))) == ["x", *fields]
