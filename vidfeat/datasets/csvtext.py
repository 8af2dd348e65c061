"""Comma-separated text with line numbers (RFC 4180).

Python's ``csv`` cannot say whether a field was quoted, and that decides whether spaces around it belong to it: a file
name may end in a space, while the trailing spaces of a hand-written line are not meant.
"""

import re
from collections.abc import Iterable, Iterator

_FIELD = re.compile(r'[ \t]*(?:"([^"]*(?:""[^"]*)*)"[ \t]*|([^,\r\n]*))(,|\r\n|\r|\n|\Z)')
_NEEDS_QUOTES = re.compile(r'[,"\r\n]|^[ \t]|[ \t]$')


def parse_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number from 1, fields) of every row of ``text`` that is not blank.

    Rows end in LF, CRLF or CR. Spaces and tabs around an unquoted field are dropped; inside quotes everything counts,
    line breaks too, and ``""`` is a quote. A row of nothing but empty unquoted fields is blank. Raises ValueError, with
    the line in its words, for a quoted field that is not closed before the next comma or line end.
    """
    position, line = 0, 1
    while position < len(text):
        fields, first_line, blank, delimiter = [], line, True, ","
        while delimiter == ",":
            match = _FIELD.match(text, position)
            quoted, plain, delimiter = match.groups()
            if quoted is None and plain.startswith('"'):
                raise ValueError(
                    f"line {line}: the field {plain[:40]!r} opens a quote that is not closed before the next "
                    'comma or line end; write a quote inside a quoted field as "".'
                )
            fields.append(plain.rstrip(" \t") if quoted is None else quoted.replace('""', '"'))
            blank = blank and quoted is None and not fields[-1]
            line += len(re.findall(r"\r\n|\r|\n", match.group()))
            position = match.end()
        if not blank:
            yield first_line, fields


def format_row(fields: Iterable[str]) -> str:
    """One line that ``parse_rows`` reads back as ``fields``, quoted only where it must be."""
    return ",".join('"' + f.replace('"', '""') + '"' if _NEEDS_QUOTES.search(f) else f for f in fields) + "\n"
