"""Lists as they come: line ends, encodings, separators, packed files."""

import gzip

import pytest

from vidfeat.datasets.listfile import clean_path, read_lines, two_fields
from vidfeat.errors import UsageError


def lines(tmp_path, content: bytes, name: str = "list.txt") -> list[tuple[int, str]]:
    path = tmp_path / name
    path.write_bytes(content)
    return [(line.number, line.text) for line in read_lines(path)]


def test_every_line_end_trailing_spaces_and_blank_lines(tmp_path):
    assert lines(tmp_path, b"a.avi 1 \r\n\r\n  b.avi 2\t\nc.avi 0 \rd") == [
        (1, "a.avi 1"),
        (3, "b.avi 2"),
        (4, "c.avi 0"),
        (5, "d"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert lines(tmp_path, b"\xef\xbb\xbfa.avi\n") == [(1, "a.avi")]


def test_names_that_begin_like_comments_or_options_are_names(tmp_path):
    assert lines(tmp_path, b"#x.avi 1\n-y.avi 2\n;z.avi 1\n") == [(1, "#x.avi 1"), (2, "-y.avi 2"), (3, ";z.avi 1")]


def test_latin_1_utf_8_and_decomposed_letters_are_the_same_name(tmp_path):
    content = "é.avi\n".encode("latin-1") + "é.avi\n".encode() + "e\u0301.avi\n".encode()
    assert lines(tmp_path, content) == [(1, "é.avi"), (2, "é.avi"), (3, "é.avi")]


def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path):
    """str.splitlines would cut at all of these."""
    assert lines(tmp_path, "a\x0bb\x0cc\u2028d\n".encode()) == [(1, "a\x0bb\x0cc\u2028d")]
    assert lines(tmp_path, b"caf\xe9\x85x\n") == [(1, "caf\xe9\x85x")]


def test_packed_lists_are_unpacked(tmp_path):
    assert lines(tmp_path, gzip.compress(b"a 1\r\nb 2\r\n"), "list.txt.gz") == [(1, "a 1"), (2, "b 2")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.txt", "a 1\n".encode("utf-16"), r"list.txt contains NUL bytes, so it is no text .* save it as UTF-8"),
        ("list.txt.gz", b"a 1\n", r"Cannot read .*list.txt.gz: Not a gzipped file"),
        ("list.txt.gz", gzip.compress(b"a 1\n" * 100)[:-12], r"Cannot read .*list.txt.gz: Compressed file ended"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, words):
    with pytest.raises(UsageError, match=words):
        lines(tmp_path, content, name)


def test_a_missing_list_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"Cannot read .*none.txt: No such file or directory"):
        list(read_lines(tmp_path / "none.txt"))


def test_both_path_separators():
    assert clean_path("Archery\\v.avi") == clean_path("./Archery/v.avi") == "Archery/v.avi"


def test_the_last_field_is_split_off_and_a_lone_one_refused(tmp_path):
    path = tmp_path / "l.txt"
    path.write_text("a b (c).avi   1\nonly.avi\n")
    first, second = read_lines(path)
    assert two_fields(first, "clip FLAG") == ("a b (c).avi", "1")
    with pytest.raises(UsageError, match=r"l.txt, line 2: 'only.avi' is not of the form 'clip FLAG'"):
        two_fields(second, "clip FLAG")
