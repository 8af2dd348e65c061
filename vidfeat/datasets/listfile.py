"""Text files of lists, as data sets ship them: any line end, any of three encodings, packed or not.

UCF101's lists end in CRLF, HMDB51's lines in a space, some copies begin with a byte order mark, and names that were
written on older machines are latin-1. Only line feeds and carriage returns end a line: ``str.splitlines`` would also
cut at U+0085, which is a letter of other encodings.
"""

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vidfeat.errors import UsageError

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Line(NamedTuple):
    """One line that is not blank, without spaces around it."""

    path: Path
    number: int
    text: str

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.number}"


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a list that are not blank. ``#`` begins no comment: 16 clips of HMDB51 have such a name.

    A file named ``.gz`` is unpacked. UsageError if the file cannot be read, or is no text.
    """
    for number, raw in enumerate(_LINE_END.split(read_content(path)), start=1):
        text = decode(raw).strip()
        if text:
            yield Line(path, number, text)


def read_text(path: Path) -> str:
    """The whole file, its lines decoded one by one."""
    return "\n".join(decode(raw) for raw in _LINE_END.split(read_content(path)))


def read_content(path: Path) -> bytes:
    """The bytes of a text file without its byte order mark."""
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from None
    if b"\0" in content:
        raise UsageError(f"{path} contains NUL bytes, so it is no text in UTF-8 or latin-1; save it as UTF-8.")
    return content.removeprefix(b"\xef\xbb\xbf")


def decode(raw: bytes) -> str:
    """UTF-8, or latin-1 where the bytes are not that; composed letters, as most file systems keep them."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return unicodedata.normalize("NFC", text)


def clean_path(text: str) -> str:
    """A listed path with ``/`` between its parts, whichever separator it came with, and without a leading ``./``."""
    return text.replace("\\", "/").removeprefix("./")


def two_fields(line: Line, meaning: str) -> tuple[str, str]:
    """The last field of a line and what stands before it; UsageError, naming ``meaning``, if there is only one."""
    parts = line.text.rsplit(None, 1)
    if len(parts) != 2:
        raise UsageError(f"{line.where}: {line.text!r} is not of the form {meaning!r}.")
    return parts[0].rstrip(), parts[1]
