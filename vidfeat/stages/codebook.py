"""``vidfeat codebook train|apply|info``: what encoders of local features learn, and the reduction of codes."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vidfeat.codebooks import choose_rows, shares
from vidfeat.encoders.local import LocalEncoder, feature_width, local_features, local_frames, positions
from vidfeat.encoders.pca import PCAWhitening
from vidfeat.errors import UsageError
from vidfeat.precision import check_device
from vidfeat.progress import Progress
from vidfeat.stages.books import LOCAL, check_reduction, reduction_of
from vidfeat.stages.config.codebook import WORDS, CodebookApplyConfig, CodebookInfoConfig, CodebookTrainConfig
from vidfeat.stages.encode import check_output, choose_feature
from vidfeat.stages.relabel import Annotation, Relabelling
from vidfeat.stages.summary import Summary
from vidfeat.store import CodesWriter, FeatureFile, StoredItem, open_codes, open_features
from vidfeat.store.codebook import Codebook, is_codebook, read_codebook, write_codebook
from vidfeat.words import counted

log = logging.getLogger("vidfeat")

# What k-means and mixtures take at most.
ITERATIONS = {"vlad": 20, "bow": 20, "fv": 100}

# Bytes of one item's maps that are read at a time.
_PIECE = 1 << 24


def train(config: CodebookTrainConfig) -> Summary:
    """Learn a codebook from the training items."""
    _check_output(config)
    book = _train_pca(config) if config.kind == "pca" else _train_local(config)
    write_codebook(config.output, book)
    return Summary({"output": str(config.output), **book.facts()})


def apply(config: CodebookApplyConfig) -> Summary:
    """Reduce every set of a codes file."""
    book = read_codebook(config.codebook)
    reduction = reduction_of(book, config.codebook)
    with open_codes(config.codes) as codes:
        check_output(config.output, config.codes)
        encode = codes.provenance.get("encode", {})
        if "reduce" in encode:
            raise UsageError(f"{config.codes} is reduced already, by {encode['reduce']}. Start from the whole codes.")
        if not codes.sets:
            raise UsageError(f"{config.codes} has no codes.")
        check_reduction(config.codebook, book, codes.provenance)
        remembered = {"reduce": str(config.codebook.resolve())}
        provenance = {
            **codes.provenance,
            "encode": {**encode, **remembered},
            "codebooks": [*codes.provenance.get("codebooks", []), book.fingerprint],
        }
        sources = {name: codes.code_rows(name) for name in codes.sets}
        errors = {name: codes.order_error(name) for name in codes.sets}
        with CodesWriter(config.output, provenance) as writer, Progress(len(codes)) as progress:
            for first, last in _row_blocks(len(codes), max(rows.shape[1] for rows in sources.values())):
                reduced = {name: reduction.transform(rows[first:last]) for name, rows in sources.items()}
                for row in range(first, last):
                    writer.append(
                        codes.ids[row],
                        {name: block[row - first] for name, block in reduced.items()},
                        codes.labels[row],
                        codes.groups[row],
                        {name: column[row] for name, column in codes.splits.items() if column[row]},
                        {name: column[row] for name, column in errors.items() if column is not None},
                    )
                    progress.item_done()
    return Summary(
        {"output": str(config.output), "items": writer.count, "dimension": len(reduction.components_),
         "sets": sorted(sources)}
    )  # fmt: skip


def info(config: CodebookInfoConfig) -> Summary:
    """What a codebook holds, and what it was learnt from."""
    return Summary({"file": str(config.codebook), **read_codebook(config.codebook).facts()})


def _check_output(config: CodebookTrainConfig) -> None:
    """UsageError before any work if no codebook can be written there; only codebooks are replaced."""
    if config.output.is_dir():
        raise UsageError(f"The output {config.output} is a folder; give the name of a file, such as book.h5.")
    if not config.output.parent.is_dir():
        raise UsageError(f"The folder {config.output.parent} of the output {config.output} does not exist. Create it.")
    if config.output.exists() and not is_codebook(config.output):
        raise UsageError(f"{config.output} exists and is no codebook that could be replaced. Choose another name.")


def _train_local(config: CodebookTrainConfig) -> Codebook:
    arguments = {"n_words": config.words or WORDS[config.kind], "samples": config.samples, "seed": config.seed}
    arguments |= {"local_norm": not config.no_local_norm, "device": config.device}
    components = config.components or (64 if config.kind == "fv" else None)
    encoder = LOCAL[config.kind](**arguments, n_components=components)
    check_device(config.device)
    with open_features(config.source) as features:
        feature = choose_feature(features, config.feature)
        splits = {item_id: _annotation(features[item_id]) for item_id in features.ids}
        ids, split = training_ids(splits, config)
        samples, used = draw(features, feature, ids, config.samples, config.seed)
        provenance = {
            "features": features.settings,
            "features_fingerprint": features.fingerprint,
            "feature": feature,
            "split": split,
            "items": used,
            "samples": len(samples),
        }
    _check_samples(config, encoder, samples)
    log.info("Learning from %s of %s.", counted(len(samples), "local feature"), counted(used, "item"))
    with Progress(ITERATIONS[config.kind], unit="iterations at most") as progress:
        encoder.fit_samples(samples, progress=lambda number, value: progress.item_done())
    learnt_with = {name: encoder.get_params()[name] for name in ("n_words", "local_norm", "n_components", "seed")}
    return Codebook(config.kind, encoder.learned(), learnt_with, provenance)


def _check_samples(config: CodebookTrainConfig, encoder: LocalEncoder, samples: np.ndarray) -> None:
    """UsageError if the options ask for more than so many local features can give."""
    drawn, width = samples.shape
    few = f"{counted(drawn, 'local feature')} of {counted(width, 'number')} were drawn"
    more = f"raise --samples, which is {config.samples}, or give more items"
    if encoder.n_words > drawn:
        raise UsageError(
            f"--words is {encoder.n_words}{'' if config.words else ' by default'}, but only {few}. Lower --words, "
            f"{more}."
        )
    most = min(drawn - 1, width)
    if encoder.n_components is not None and encoder.n_components > most:
        raise UsageError(
            f"--components is {encoder.n_components}{'' if config.components else ' by default'}, but {few}, which "
            f"have at most {most} (one less than local features, and no more than numbers). Lower --components, or "
            f"{more}."
        )


def _train_pca(config: CodebookTrainConfig) -> Codebook:
    with open_codes(config.source) as codes:
        rows = codes.code_rows(config.set)
        columns = {item_id: {name: column[row] for name, column in codes.splits.items()} for row, item_id in
                   enumerate(codes.ids)}  # fmt: skip
        annotations = {i: Annotation((), "", {n: v for n, v in own.items() if v}) for i, own in columns.items()}
        ids, split = training_ids(annotations, config)
        row_of = {item_id: row for row, item_id in enumerate(codes.ids)}
        reduction = PCAWhitening(config.components or 128, not config.no_whiten, config.regularization)
        most = min(len(ids) - 1, rows.shape[1])
        if reduction.n_components > most:
            raise UsageError(
                f"--components is {reduction.n_components}{'' if config.components else ' by default'}, but "
                f"{len(ids)} items of {rows.shape[1]} numbers have at most {most} (one less than items, and no more "
                "than numbers). Give fewer, or more items."
            )
        reduction.fit(_Chosen(rows, np.array([row_of[item_id] for item_id in ids])))
        _say_share(reduction, len(ids))
        provenance = {"codes": codes.provenance, "set": config.set, "split": split, "items": len(ids)}
    arrays = {name: np.asarray(getattr(reduction, f"{name}_")) for name in reduction.learned}
    return Codebook("pca", arrays, reduction.get_params(), provenance)


def _say_share(reduction: PCAWhitening, items: int) -> None:
    """Say where whitening spoils the codes of the very items it is learnt from: with all N − 1 components of N items,
    these have all the same distance from each other."""
    count = reduction.n_components
    if reduction.whiten and 3 * count > items:
        few = f", or give --components {items // 3} or fewer" if items >= 3 else ""
        log.info(
            "%d whitened components of %d items: these items come to lie almost equally far from each other. "
            "Search other items than them%s.", count, items, few,
        )  # fmt: skip


class _Chosen:
    """Some rows of a matrix on disk, in their order."""

    def __init__(self, source: Any, rows: np.ndarray) -> None:
        self._source, self._rows = source, rows
        self.shape = (len(rows), source.shape[1])

    def __getitem__(self, part: slice) -> np.ndarray:
        rows = self._rows[part]
        if not len(rows):
            return self._source[0:0]
        if rows[-1] - rows[0] == len(rows) - 1:
            return self._source[int(rows[0]) : int(rows[-1]) + 1]
        return np.concatenate([self._source[int(row) : int(row) + 1] for row in rows])


def training_ids(known: Mapping[str, Annotation], config: CodebookTrainConfig) -> tuple[list[str], str | None]:
    """The items to learn from, and the split column whose training part they are; None for all items."""
    relabel = Relabelling(config.manifest, list(known))
    splits = {item_id: relabel(item_id, known[item_id]).splits for item_id in relabel.ids}
    names = sorted({name for own in splits.values() for name in own})
    if config.all_items or (not names and config.split is None):
        return relabel.ids, None
    if config.split is None and len(names) > 1:
        raise UsageError(
            f"{config.source} has the splits {', '.join(names)}; choose with --split whose training items are used, or "
            "give --all-items."
        )
    split = config.split or names[0]
    if split not in names:
        raise UsageError(f"{config.source} has no split {split!r}; it has {', '.join(names) or 'none'}.")
    ids = [item_id for item_id in relabel.ids if splits[item_id].get(split) == "train"]
    if not ids:
        raise UsageError(f"Split {split!r} has no training items; --all-items uses every item.")
    return ids, split


def draw(features: FeatureFile, feature: str, ids: list[str], total: int, seed: int) -> tuple[np.ndarray, int]:
    """Local features ``[n, D]`` of the items, from each by its share, and the number of items that have some.

    What is drawn of an item depends on the seed, its id, and the numbers of local features.
    """
    shapes = {i: features[i].shape(feature) for i in ids if feature in features[i].names}
    shapes = {item_id: shape for item_id, shape in shapes.items() if 0 not in shape}
    if len(shapes) < len(ids):
        log.warning("%d of %d items have no %s and are left out.", len(ids) - len(shapes), len(ids), feature)
    if not shapes:
        raise UsageError(f"No training item has the feature {feature!r}.")
    widths = {feature_width(shape) for shape in shapes.values()}
    if len(widths) > 1:
        raise UsageError(
            f"Local features of {feature} have {' and '.join(map(str, sorted(widths)))} numbers; they must agree."
        )
    wanted = shares([positions(shape) for shape in shapes.values()], total)
    samples = np.empty((sum(wanted), *widths), np.float32)
    first = 0
    with Progress(len(shapes)) as progress:
        for (item_id, shape), count in zip(shapes.items(), wanted, strict=True):
            rows = choose_rows(item_id, positions(shape), count, seed)
            for part in _drawn(features[item_id], feature, shape, rows):
                samples[first : first + len(part)] = part
                first += len(part)
            progress.item_done()
    if not np.isfinite(samples).all():
        raise UsageError(f"{feature} holds NaN or infinite values. Check the features with `vidfeat verify`.")
    return samples, len(shapes)


def _drawn(item: StoredItem, feature: str, shape: tuple[int, ...], rows: np.ndarray) -> Iterator[np.ndarray]:
    """Those local features of an item, read some frames at a time, and only frames that have some."""
    each = positions(shape) // shape[0]
    step = max(1, _PIECE // (item.dtype(feature).itemsize * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        own = rows[(rows >= start * each) & (rows < (start + step) * each)]
        if len(own):
            a, b = own[0] // each, own[-1] // each + 1
            yield local_features(local_frames(item.rows(feature, a, b)), own - a * each)


def _annotation(item: StoredItem) -> Annotation:
    return Annotation(item.labels, item.group, item.splits)


def _row_blocks(count: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, _PIECE // (4 * width))
    return ((first, min(count, first + step)) for first in range(0, count, step))
