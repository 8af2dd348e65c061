"""Codebooks as the estimators that learnt them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidfeat.encoders.bow import BagOfWords
from vidfeat.encoders.fisher import FisherVector
from vidfeat.encoders.local import LocalEncoder, feature_width
from vidfeat.encoders.pca import PCAWhitening
from vidfeat.encoders.pyramid import TemporalPyramid
from vidfeat.encoders.vlad import VLAD
from vidfeat.errors import UsageError
from vidfeat.precision import check_device
from vidfeat.stages.coded_rows import coded_name
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.options import flag_of
from vidfeat.store import FeatureFile
from vidfeat.store.codebook import Codebook, read_codebook

log = logging.getLogger("vidfeat")

LOCAL: dict[str, type[LocalEncoder]] = {"vlad": VLAD, "fv": FisherVector, "bow": BagOfWords}


def local_encoder(book: Codebook, path: Path, kind: str, **options: Any) -> LocalEncoder:
    """The encoder of a kind with that codebook; ``options`` are its parameters beside those it was learnt with."""
    if book.kind != kind:
        raise UsageError(
            f"{path} is a codebook of kind {book.kind}, but {kind} is to be encoded. Train one with 'vidfeat codebook "
            f"train FEATS --kind {kind} -o {path.name}', or choose --method {book.kind}."
        )
    return LOCAL[kind](**book.parameters, **options).with_learned(book.arrays)


def reduction_of(book: Codebook, path: Path) -> PCAWhitening:
    """The reduction that a codebook of kind pca is."""
    if book.kind != "pca":
        raise UsageError(
            f"{path} is a codebook of kind {book.kind}; codes are reduced by one of kind pca. Train it with 'vidfeat "
            "codebook train CODES --kind pca -o pca.h5'."
        )
    reduction = PCAWhitening(**book.parameters)
    for name in reduction.learned:
        setattr(reduction, f"{name}_", book.arrays[name])
    return reduction


def local_encoders(config: EncodeConfig) -> tuple[list[Any], list[str]]:
    """One encoder for each codebook of the options, and the fingerprints of the codebooks."""
    options = {"per": config.per, "pool": config.pool, "normalize": not config.no_normalize, "device": config.device}
    if config.norm is not None:
        options["norm"] = config.norm
    if config.method == "bow":
        options["assignment"] = config.assignment
    check_device(config.device)
    books = [read_codebook(path) for path in config.codebook]
    found: list[Any] = [
        local_encoder(book, path, config.method, **options) for book, path in zip(books, config.codebook, strict=True)
    ]
    if config.pyramid > 1:
        found = [TemporalPyramid(config.pyramid, pool=found[0], normalize=not config.no_normalize)]
    return found, [book.fingerprint for book in books]


def check_books(paths: Sequence[Path], features: FeatureFile, names: Sequence[str]) -> None:
    """UsageError before any work if a codebook is not for the feature of its place; a warning if it is for another size
    of the network's input."""
    for path, name in zip(paths, names, strict=True):
        book = read_codebook(path)
        check_source(path, book, name, features.settings)
        learnt = book.provenance.get("feature")
        if learnt and learnt.partition("@")[0] != name.partition("@")[0]:
            raise UsageError(
                f"{path} was learnt from {learnt}, but is given for {name}, whose numbers mean something else. Give "
                f"the codebooks in the order of --feature, or train one with 'vidfeat codebook train {features.path} "
                f"--feature {name} --kind {book.kind}'."
            )
        own, width = LOCAL[book.kind](**book.parameters).with_learned(book.arrays).input_width, None
        for item_id in features:
            if name in features[item_id].names:
                width = feature_width(features[item_id].shape(name))
                break
        if width not in (None, own):
            raise UsageError(
                f"{path} describes local features of {own} numbers, but those of {name} have {width}. It was learnt "
                f"from {learnt}; train one with 'vidfeat codebook train {features.path} "
                f"--feature {name} --kind {book.kind}'."
            )
        if learnt != name:
            log.warning("%s was learnt from %s, but %s is encoded.", path, learnt, name)


def check_source(path: Path, book: Codebook, feature: str, settings: Mapping[str, Any]) -> None:
    """UsageError if a codebook was learnt with another network than ``settings`` of features name."""
    learnt = book.provenance.get("features") or {}
    for name in ("backbone", "flow-weights" if feature.startswith("flow.") else "weights"):
        if learnt.get(name) and settings.get(name) and learnt[name] != settings[name]:
            raise UsageError(
                f"{path} was learnt from {book.provenance.get('feature')} with {name} {learnt[name]}, but these "
                f"features are of {name} {settings[name]}. Train a codebook on features of the same network."
            )


def check_reduction(path: Path, book: Codebook, provenance: Mapping[str, Any]) -> None:
    """UsageError if principal components were learnt from other codes than those of ``provenance``, as far as both are
    known: their numbers would mean something else."""
    there, here = (_making_of(codes) for codes in (book.provenance.get("codes") or {}, provenance))
    if (
        there["codebooks"] and there["codebooks"] == here["codebooks"]
    ):  # 'extract --encode' has another feature and method
        there["feature"] = there["--method"] = None
    differ = [name for name in there if None not in (there[name], here[name]) and there[name] != here[name]]
    if differ:
        said = "; ".join(
            f"with other {name}" if name == "codebooks" else f"{name}: {there[name]} there, {here[name]} here"
            for name in differ
        )
        raise UsageError(
            f"{path} was learnt from codes that were not made as these are ({said}). Train one with 'vidfeat codebook "
            "train CODES --kind pca' on codes made alike."
        )


def _making_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What determines the meaning of the numbers of a code, by name; None for what nobody knows."""
    settings, encode = provenance.get("features") or {}, provenance.get("encode") or {}
    names = ("method", "norm", "per", "pool", "assignment", "direction", "map", "pyramid", "no_normalize")
    feature = provenance.get("feature") or ""
    coded = {name: settings.get("encode", {}).get(name) for name in feature.split(",")}
    return {
        "feature": feature or None,
        **{name: settings.get(name) for name in ("backbone", "weights")},
        **{flag_of(name): encode.get(name) for name in names},
        "codebooks": provenance.get("codebooks") or [name for name in coded.values() if name] or None,
    }


def read_reduction(path: Path) -> tuple[PCAWhitening, str]:
    """The reduction in a file, and its fingerprint."""
    book = read_codebook(path)
    return reduction_of(book, path), book.fingerprint


def coded_features(
    paths: Sequence[Path | str], device: str = "cpu"
) -> tuple[dict[str, dict[str, LocalEncoder]], dict[str, str]]:
    """Feature -> dataset of its code -> encoder, as ``extract --encode`` applies codebooks, and the fingerprint of the
    codebook behind each dataset."""
    encoders: dict[str, dict[str, LocalEncoder]] = {}
    fingerprints: dict[str, str] = {}
    for path in map(Path, paths):
        book = read_codebook(path)
        if book.kind not in LOCAL:
            raise UsageError(f"{path} is a codebook of kind {book.kind}; --encode takes {', '.join(LOCAL)}.")
        feature = book.provenance["feature"]
        name = coded_name(feature, book.kind)
        if name in fingerprints:
            raise UsageError(f"{path} is the second codebook of kind {book.kind} for {feature}; give one.")
        encoders.setdefault(feature, {})[name] = local_encoder(book, path, book.kind, device=device)
        fingerprints[name] = book.fingerprint
    return encoders, fingerprints
