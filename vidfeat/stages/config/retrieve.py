"""Options of ``vidfeat retrieve``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, flag_of, option, required_option

_LABELS, _SHEET = "Protocol labels", "Contact sheet"
Part = Literal["all", "train", "val", "test"]

# Options that only some protocols have a use for.
_OF_PROTOCOL = {
    "split": ("labels",),
    "queries": ("labels",),
    "database": ("labels",),
    "exclude_same_group": ("labels",),
    "manifest": ("labels",),
    "ground_truth": ("holidays", "oxford", "paris"),
    "query_codes": ("holidays", "oxford", "paris"),
}
_OF_SHEET = ("images", "show", "rows", "columns")
_MOST = 50


@dataclass(frozen=True)
class RetrieveConfig:
    """What is searched for what, and who counts as found."""

    codes: Path = argument("Codes file of 'vidfeat encode'.", metavar="CODES")
    protocol: Literal["labels", "holidays", "oxford", "paris"] = required_option(
        "labels: find items that share a label. holidays, oxford, paris: as the original evaluations of these sets."
    )
    ground_truth: Path | None = option(
        None,
        "oxford, paris: folder of the *_query.txt, *_good.txt, *_ok.txt and *_junk.txt files. holidays: eval_holidays, "
        "or a .dat file of it; by default the names of the images say it.",
    )
    set: str | None = option(None, "Set of codes inside the file. May be left out if there is only one.")
    metric: Literal["l2", "cosine"] = option("l2", "l2: ‖a − b‖; cosine: 1 − cos(a, b).")
    query_codes: Path | None = option(
        None,
        "Codes of the queries alone, made as CODES were, e.g. of their rectangles cut out: items named like the query "
        "(all_souls_1) or like its picture. By default the codes of the whole pictures.",
    )
    output: Path | None = option(
        None, "Folder for results.json, queries.csv and ranked.csv.", short="-o", metavar="OUT"
    )
    top: int = option(100, "Best matches of each query in ranked.csv.")
    overwrite: bool = option(False, "Replace an OUT folder and a contact sheet that exist already.")
    device: str = option("auto", "cpu or cuda:N; auto = a GPU if there is one.")

    split: str | None = option(
        None, "Column that says train, val or test. May be left out if there is only one.", panel=_LABELS
    )
    queries: Part | None = option(
        None, "Items that are queries: a part of the split, or all. By default test with --split, else all.",
        panel=_LABELS,
    )  # fmt: skip
    database: Part | None = option(
        None, "Items that are searched: a part of the split, or all. By default all.", panel=_LABELS
    )
    exclude_same_group: bool = option(
        False, "Items of the query's own group, e.g. the same recording, are not searched.", panel=_LABELS
    )
    manifest: Path | None = option(
        None, "CSV whose labels, groups and splits replace the stored ones; only its items are used.", panel=_LABELS
    )

    contact_sheet: Path | None = option(
        None, "PNG file to draw: queries and their best matches. May lie in OUT.", panel=_SHEET, metavar="FILE.png"
    )
    images: Path | None = option(
        None,
        "Where the pictures are: the folder that ids are relative to, or the features file that knows their paths. Of "
        "a video the frame in its middle is shown.",
        panel=_SHEET,
        metavar="DIR|FEATS",
    )
    show: list[str] | None = option(
        None, "A query to show, by its name; may be given several times. By default a sample of them.", panel=_SHEET,
        metavar="QUERY",
    )  # fmt: skip
    rows: int | None = option(None, "Queries in that sample. By default 8.", panel=_SHEET)
    columns: int | None = option(None, "Best matches of each. By default 8.", panel=_SHEET)

    def __post_init__(self) -> None:
        check_positive(self, "top", "rows", "columns")
        for name, protocols in _OF_PROTOCOL.items():
            if getattr(self, name) and self.protocol not in protocols:
                raise UsageError(
                    f"{flag_of(name)} belongs to --protocol {', '.join(protocols)}, but {self.protocol} came. "
                    "Leave it out."
                )
        if self.protocol in ("oxford", "paris") and self.ground_truth is None:
            raise UsageError(
                f"--protocol {self.protocol} needs --ground-truth, the folder of its *_query.txt, *_good.txt, *_ok.txt "
                "and *_junk.txt files."
            )
        self._check_sheet()

    def _check_sheet(self) -> None:
        if self.contact_sheet is None:
            for name in _OF_SHEET:
                if getattr(self, name):
                    raise UsageError(f"{flag_of(name)} came without --contact-sheet, the picture that it is for.")
            return
        if self.contact_sheet.suffix.lower() != ".png":
            raise UsageError(
                f"--contact-sheet {self.contact_sheet} must end in .png; its suffix is {self.contact_sheet.suffix!r}."
            )
        if self.images is None:
            raise UsageError(
                "--contact-sheet needs --images, the folder that the ids are relative to, or the features file that "
                "the codes were made of."
            )
        if self.show and self.rows:
            raise UsageError("--show and --rows contradict each other: one names the queries, one draws a sample.")
        for name, value in (("rows", self.rows), ("columns", self.columns)):
            if value is not None and value > _MOST:
                raise UsageError(f"{flag_of(name)} is {value}; a sheet has {_MOST} at most.")
