"""Options of ``vidfeat encode``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vidfeat.errors import UsageError
from vidfeat.stages.config.options import argument, check_positive, flag_of, option, required_option

_RANKED = ("rankpool", "approx-rankpool", "hier-rankpool")
_SOLVED = ("rankpool", "hier-rankpool")
_WINDOWED = ("hier-rankpool",)
LOCAL_METHODS = ("vlad", "fv", "bow")

# Option -> the methods that it has an effect with; options that are not here have one with every method.
METHODS_OF = {
    **dict.fromkeys(("direction", "map", "no_smooth"), _RANKED),
    **dict.fromkeys(("C", "epsilon"), _SOLVED),
    **dict.fromkeys(("window", "window_stride", "depth"), _WINDOWED),
    **dict.fromkeys(("codebook", "norm", "per", "pool", "device"), LOCAL_METHODS),
    "assignment": ("bow",),
}

_LOCAL = f"Local features: {', '.join(LOCAL_METHODS)}"


def _panel(methods: Sequence[str]) -> str:
    return f"Rank pooling: {', '.join(methods)}"


@dataclass(frozen=True)
class EncodeConfig:
    """How the frames of every item become one vector."""

    features: Path = argument("Features file of 'vidfeat extract'.", metavar="FEATS")
    output: Path = required_option("Codes file to write (HDF5). Older codes are replaced.", short="-o")
    feature: str | None = option(
        None,
        "Which feature of the file, e.g. fc7. May be left out if there is only one. Several, with a codebook each, are "
        "encoded side by side, e.g. conv5,conv5@448.",
    )
    method: Literal["avg", "max", "rankpool", "approx-rankpool", "hier-rankpool", "vlad", "fv", "bow"] = option(
        "avg",
        "Pooling over time (approx-, hier-: approximate and hierarchical rank pooling), or a codebook's description of "
        "all local features: VLAD, Fisher vector, bag of words.",
    )
    pyramid: int = option(1, "Levels of the temporal pyramid; level l cuts the video into 2^(l-1) nodes.")
    no_normalize: bool = option(False, "Leave codes as they are instead of scaling them to L2 norm 1.")
    reduce: Path | None = option(
        None, "Codebook of kind pca that reduces the codes: 'vidfeat codebook train CODES --kind pca'.", metavar="PCA"
    )
    manifest: Path | None = option(
        None, "CSV whose labels, groups and splits replace the stored ones; only its items are encoded."
    )

    codebook: list[Path] = option(
        (),
        "Codebook of 'vidfeat codebook train', of the same kind; once for each feature.",
        panel=_LOCAL,
        metavar="BOOK",
    )
    norm: Literal["intra", "ssr", "none"] | None = option(
        None,
        "intra: L2 of each word (vlad, its default); ssr: signed square root (default of fv and bow); none.",
        panel=_LOCAL,
    )
    per: Literal["item", "frame"] = option(
        "item", "One code of all local features, or one of each frame, then pooled.", panel=_LOCAL
    )
    pool: Literal["avg", "max"] = option("avg", "How the codes of frames are pooled, with --per frame.", panel=_LOCAL)
    assignment: Literal["hard", "soft"] = option("hard", "Of local features to words.", panel=_LOCAL)
    device: str = option("cpu", "cpu, cuda or cuda:N.", panel=_LOCAL)

    direction: Literal["forward", "reverse", "both"] = option(
        "forward", "Order of the frames; both concatenates.", panel=_panel(_RANKED)
    )
    map: Literal["none", "ssr", "posneg"] = option(
        "none",
        "Pointwise map of the smoothed frames, or for hier-rankpool of every pooled window (signed square root, or "
        "split by sign).",
        panel=_panel(_RANKED),
    )
    no_smooth: bool = option(False, "Take frames as they are, without the running mean.", panel=_panel(_RANKED))
    C: str = option(
        "2",
        "Weight of the errors (LIBLINEAR's c is C/2). Several, as 0.1,1,10 or 1e-3,...,1e3 (with the powers of ten "
        "between), write one set each, with rankpool only: 'svm train' chooses among them.",
        panel=_panel(_SOLVED),
        metavar="NUMBER[,NUMBER…]",
    )
    epsilon: float = option(0.1, "Errors below this count as none.", panel=_panel(_SOLVED))
    window: int = option(20, "Frames per window.", panel=_panel(_WINDOWED))
    window_stride: int = option(1, "Frames from one window to the next.", panel=_panel(_WINDOWED))
    depth: int = option(2, "Levels; the last one pools the results of all windows before it.", panel=_panel(_WINDOWED))

    def __post_init__(self) -> None:
        check_positive(self, "pyramid", "window_stride", "depth")
        if self.window < 2:
            raise UsageError(f"--window is {self.window}; it must be 2 or more.")
        if self.epsilon < 0:
            raise UsageError(f"--epsilon is {self.epsilon}; it must be 0 or more.")
        for name, (other, needed) in without_effect(vars(self)).items():
            if self._is_set(name):
                value = getattr(self, name)
                shown = " ".join(map(str, value)) if isinstance(value, list | tuple) else value
                raise UsageError(
                    f"{flag_of(name)}{'' if value is True else f' {shown}'} has no effect with {flag_of(other)} "
                    f"{getattr(self, other)}, only with {needed}. Leave it out, on the command line or in the --config "
                    f"file, or change {flag_of(other)}."
                )
        if self.method in LOCAL_METHODS and not self.codebook:
            feature = f"--feature {self.feature} " if self.feature else ""
            raise UsageError(
                f"--method {self.method} needs a codebook: train it with 'vidfeat codebook train {self.features} "
                f"{feature}--kind {self.method} -o book.h5', and give --codebook book.h5."
            )
        if self.norm == "intra" and self.method != "vlad":
            raise UsageError(f"--norm intra is of vlad alone; --method {self.method} takes ssr or none.")
        if len(self.codebook) > 1 and self.pyramid > 1:
            raise UsageError("--pyramid takes one feature and one codebook; encode the others into files of their own.")
        if len(self.C_values) > 1 and self.method != "rankpool":
            raise UsageError(
                f"--C has {len(self.C_values)} values, which only --method rankpool takes. Give one, or choose that "
                "method."
            )

    @cached_property
    def C_values(self) -> list[float]:  # noqa: N802 - C is what everybody calls it
        """The values of ``C``, from small to large."""
        return parse_C(str(self.C))

    def _is_set(self, name: str) -> bool:
        """Whether an option differs from its default; 2.0 is the C of 2, and no codebook is none in any list."""
        if name == "codebook":
            return bool(self.codebook)
        default = getattr(type(self), name)
        return self.C_values != parse_C(default) if name == "C" else getattr(self, name) != default


def without_effect(options: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Every option that has no effect beside the others: name -> (the option to blame, the values it would need)."""
    method = options["method"]
    found = {name: ("method", ", ".join(methods)) for name, methods in METHODS_OF.items() if method not in methods}
    if method in LOCAL_METHODS and options["per"] == "item":
        found["pool"] = ("per", "frame")
    if method in _WINDOWED and options["depth"] == 1:  # plain rank pooling of all frames
        found |= dict.fromkeys(("map", "window", "window_stride"), ("depth", "2 or more"))
    return found


def parse_C(text: str) -> list[float]:  # noqa: N802
    """``"0.1,1,10"`` or ``"1e-3,...,1e3"`` (dots: the powers of ten between) -> sorted values. UsageError if bad."""
    parts = [part.strip() for part in text.replace("…", "...").split(",")]
    values: list[float] = []
    for place, part in enumerate(parts):
        if part == "..." and 0 < place < len(parts) - 1:
            first, last = (_positive(parts[i], text) for i in (place - 1, place + 1))
            steps = round(math.log10(last / first))
            if steps < 1 or not math.isclose(first * 10.0**steps, last):
                raise UsageError(f"--C {text!r}: from {first:g} to {last:g} are no whole powers of ten.")
            values += [float(f"{first * 10.0**k:.12g}") for k in range(1, steps)]
        else:
            values.append(_positive(part, text))
    if len({f"{value:.12g}" for value in values}) < len(values):
        raise UsageError(f"--C {text!r} has a value twice; each becomes a set of its own.")
    return sorted(values)


def _positive(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"--C is {whole!r}; it must be a number above 0, or several joined by commas.")
    return value
