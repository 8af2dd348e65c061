"""Manifests: CSV files that name items, their sources, labels, groups and splits.

Header ``id,path[,start,end][,label][,group][,split…]``: see ``read_manifest``.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vidfeat.datasets.csvtext import format_row, parse_rows
from vidfeat.datasets.items import LABEL_SEPARATOR, SPLIT_VALUES, Item
from vidfeat.errors import StorageError, UsageError
from vidfeat.ids import check_ids

_COLUMNS = ("id", "path", "start", "end", "label", "group")
_SPLIT_COLUMN = re.compile(r"split[\w.-]*")
_SECONDS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ALLOWED = f"allowed are {', '.join(_COLUMNS)}, and one column per split named split, split1, …"


class Manifest(list[Item]):
    """The items of a manifest in file order; ``columns`` says which columns it has.

    An absent column says nothing, a present one with an empty field says "none": whoever overrides stored labels,
    groups or splits with a manifest must look at ``columns``.
    """

    def __init__(self, items: Iterable[Item], columns: Sequence[str]) -> None:
        super().__init__(items)
        self.columns = tuple(columns)

    @property
    def split_columns(self) -> tuple[str, ...]:
        """Names of the splits, in file order."""
        return tuple(name for name in self.columns if name not in _COLUMNS)


def read_manifest(path: Path, need_paths: bool = True, *, group_root: Path | None = None) -> Manifest:
    """Read a CSV manifest (UTF-8, with or without BOM; any line ends; blank lines skipped; quoting as in RFC 4180).

    ``path`` is relative to the manifest's folder. ``start`` and ``end`` are seconds, half-open. ``label`` joins several
    labels by ``|``. ``group`` defaults to the source file, written relative to ``group_root`` (the manifest's folder if
    None), so that two spellings of one file are one group. A ``split…`` field is train, val, test or empty. Names that
    begin with ``#`` or ``-`` are ordinary names. The ``path`` column alone may hold bytes that are not UTF-8: so a file
    with such a name can be given a proper id.

    With ``need_paths=False`` the column ``path`` may be missing or empty; such an item has ``path`` None and, without a
    group of its own, group "".

    Raises UsageError naming the file, the line, the value and what is allowed.
    """
    rows = parse_rows(_read_text(path))
    lines: dict[str, int] = {}
    items = []
    try:
        header_line, columns = next(rows, (1, []))
        _check_header(columns, need_paths, f"{path}, line {header_line}")
        for line, fields in rows:
            item = _read_item(
                columns, fields, need_paths, path.parent, group_root or path.parent, f"{path}, line {line}"
            )
            if item.id in lines:
                raise UsageError(
                    f"{path}, line {line}: id {item.id!r} was given in line {lines[item.id]} already; ids must "
                    "be unique."
                )
            lines[item.id] = line
            items.append(item)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{path}, {error}") from None
    if not items:
        raise UsageError(f"{path} lists no item: it needs a row per item under its header.")
    try:
        check_ids(lines)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return Manifest(items, columns)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"Manifest {path} does not exist.") from None
    except OSError as error:
        raise UsageError(f"Cannot read manifest {path}: {error.strerror}.") from None
    if b"\0" in content:
        raise UsageError(f"{path} contains NUL bytes, so it is no UTF-8 text (UTF-16, perhaps?); save it as CSV UTF-8.")
    # surrogateescape keeps the bytes of file names that are not UTF-8.
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="surrogateescape")


def _check_header(columns: list[str], need_paths: bool, where: str) -> None:
    hint = " The first line must be a header, fields separated by commas."
    for column in columns:
        if column not in _COLUMNS and not _SPLIT_COLUMN.fullmatch(column):
            raise UsageError(f"{where}: unknown column {column!r}; {_ALLOWED}.{hint}")
        if columns.count(column) > 1:
            raise UsageError(f"{where}: column {column!r} occurs {columns.count(column)} times; name it once.")
    for column in ("id", "path") if need_paths else ("id",):
        if column not in columns:
            raise UsageError(f"{where}: column {column!r} is missing; {_ALLOWED}.{hint}")


def _read_item(
    columns: list[str], fields: list[str], need_paths: bool, folder: Path, group_root: Path, where: str
) -> Item:
    if len(fields) != len(columns):
        raise UsageError(
            f"{where}: {len(fields)} fields where the header has {len(columns)} columns ({','.join(columns)}); quote a "
            "field that contains a comma."
        )
    row = dict(zip(columns, fields, strict=True))
    for column, value in row.items():
        if column != "path" and not _is_utf8(value):
            raise UsageError(
                f"{where}: {column} {value!r} is not UTF-8; save the manifest as UTF-8 (only path may hold other "
                "bytes)."
            )
    if not row["id"]:
        raise UsageError(f"{where}: id is empty; every row needs one.")
    if need_paths and not row["path"]:
        raise UsageError(f"{where}: path of {row['id']!r} is empty; every row needs one, relative to the manifest.")
    path = folder / row["path"] if row.get("path") else None
    label = row.get("label", "")
    splits = {name: value for name, value in row.items() if name not in _COLUMNS and value}
    for name, value in splits.items():
        if value not in SPLIT_VALUES:
            raise UsageError(f"{where}: {name} is {value!r}; allowed are {', '.join(SPLIT_VALUES)}, or an empty field.")
    try:
        return Item(
            id=row["id"],
            path=path,
            start=_seconds(row, "start"),
            end=_seconds(row, "end"),
            labels=tuple(part.strip() for part in label.split(LABEL_SEPARATOR)) if label else (),
            group=row.get("group") or ("" if path is None else default_group(path, group_root)),
            splits=splits,
        )
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _seconds(row: dict[str, str], column: str) -> float | None:
    text = row.get(column, "")
    if not text:
        return None
    if not _SECONDS.fullmatch(text):
        raise UsageError(f"{column} is {text!r}; it must be a finite number of seconds such as 3.74, or empty.")
    return float(text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def default_group(path: Path, root: Path) -> str:
    """The source file as a group name: relative to ``root``, ``.`` and ``..`` resolved, always valid UTF-8."""
    relative = Path(os.path.relpath(path, root)).as_posix()
    return relative.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def write_manifest(path: Path, items: Iterable[Item]) -> None:
    """Write ``items`` so that ``read_manifest`` returns equal ones; columns that no item uses are left out.

    Sources inside the manifest's folder are written relative to it, others absolute. The file appears whole or not at
    all (temporary name, then rename). Raises StorageError if it cannot be written.
    """
    items = list(items)
    split_names = sorted({name for item in items for name in item.splits})
    used = {
        "path": any(item.path is not None for item in items),
        "start": any(item.start is not None for item in items),
        "end": any(item.end is not None for item in items),
        "label": any(item.labels for item in items),
        "group": any(item.group for item in items),
    }
    columns = ["id", *(name for name, is_used in used.items() if is_used), *split_names]
    lines = [format_row(columns)]
    for item in items:
        row = {
            "id": item.id,
            "path": "" if item.path is None else _relative(item.path, path.parent),
            "start": "" if item.start is None else repr(float(item.start)),
            "end": "" if item.end is None else repr(float(item.end)),
            "label": LABEL_SEPARATOR.join(item.labels),
            "group": item.group,
            **{name: item.splits.get(name, "") for name in split_names},
        }
        lines.append(format_row(row[column] for column in columns))
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text("".join(lines), encoding="utf-8", errors="surrogateescape", newline="")
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"Cannot write manifest {path}: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)


def _relative(path: Path, folder: Path) -> str:
    # abspath, not resolve: a link must go on naming what it links to.
    source, root = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return source.relative_to(root).as_posix() if source.is_relative_to(root) else source.as_posix()
