"""Make one feature file of the shards of a run that was spread over several machines."""

from collections.abc import Sequence
from pathlib import Path

from vidfeat.errors import UsageError
from vidfeat.store import fs, layout
from vidfeat.store.assemble import Source, copy_file, link_file, temporary_name
from vidfeat.store.lock import OutputLock, read_owner
from vidfeat.store.session import IdSet
from vidfeat.store.settings import settings_differences


def merge(
    shards: Sequence[Path | str], out: Path | str, link: bool = False, partial: bool = False, overwrite: bool = False
) -> int:
    """Write ``out`` of the items of all ``shards``, which stay as they are; the number of items.

    ``link``: only links, relative to the folder of ``out``. ``partial``: missing shards, and files that are no shards,
    are let pass. UsageError: a shard is missing or given twice, is still being written, was made with other settings
    (they are named), shares an item with another, or ``out`` exists and ``overwrite`` is not given. StorageError: a
    shard cannot be read, or ``out`` not be written.
    """
    out, paths = Path(out), [Path(shard) for shard in shards]
    if not paths:
        raise UsageError("No shard was given. Name the files to merge: vidfeat merge SHARD... -o OUT")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists already. Choose another output, or --overwrite to replace it.")
    if not out.parent.is_dir():
        raise UsageError(f"The folder {out.parent} of the output {out.name} does not exist. Create it first.")
    if out.resolve() in {path.resolve() for path in paths}:
        raise UsageError(f"{out} is both a shard and the output. Choose another output.")
    sources, roots = [], []
    for path in paths:
        if not partial and (owner := read_owner(layout.parts_folder(path))):
            raise UsageError(
                f"{path} is still being written by process {owner.pid} on host {owner.host}. Wait for it, start it "
                f"again if it was killed, or give --partial to merge what there is."
            )
        file, root = layout.open_features_file(path)
        with file:
            sources.append(Source(path, layout.finished_ids(file, path), root.part))
        roots.append(root)
    _check_settings(paths, roots)
    _check_shards(paths, roots, partial)
    _check_ids(sources)
    run = {"merged": [{"file": path.name, "run": root.run} for path, root in zip(paths, roots, strict=True)]}
    lock = OutputLock(layout.parts_folder(out))
    try:
        if layout.list_parts(layout.parts_folder(out)):
            raise UsageError(
                f"{out} has unfinished parts of a run in {out.name}.parts. Finish it or choose another output."
            )
        with fs.writing(out):
            if temporary_name(out).exists():
                fs.unlink(temporary_name(out))
        (link_file if link else copy_file)(out, sources, roots[0].settings, run)
    finally:
        lock.release()
    return sum(len(source.ids) for source in sources)


def _check_settings(paths: Sequence[Path], roots: Sequence[layout.Root]) -> None:
    for path, root in zip(paths[1:], roots[1:], strict=True):
        if found := settings_differences(roots[0].settings, root.settings):
            raise UsageError(
                f"{paths[0]} and {path} were made with different settings ({found}). "
                f"Only files of one extraction can be merged."
            )


def _check_shards(paths: Sequence[Path], roots: Sequence[layout.Root], partial: bool) -> None:
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("The same file was given twice.")
    places: dict[int, Path] = {}
    counts = {root.shard[1] for root in roots if root.shard}
    if len(counts) > 1:
        raise UsageError(f"The files are shards of different runs: of {', '.join(map(str, sorted(counts)))} shards.")
    for path, root in zip(paths, roots, strict=True):
        if root.shard is None:
            if not partial:
                raise UsageError(f"{path} is no shard (it was not written with --shard). Give --partial to merge it.")
        elif root.shard[0] in places:
            raise UsageError(
                f"{places[root.shard[0]]} and {path} are both shard {root.shard[0]}. Give each shard once."
            )
        else:
            places[root.shard[0]] = path
    missing = sorted(set(range(max(counts, default=0))) - places.keys())
    if missing and not partial:
        raise UsageError(
            f"Shards {', '.join(map(str, missing))} of {max(counts)} are missing. Give all of them, or --partial."
        )


def _check_ids(sources: Sequence[Source]) -> None:
    home: dict[str, Path] = {}
    together = IdSet(())
    for source in sources:
        for item_id in source.ids:
            if item_id in home:
                raise UsageError(
                    f"Item {item_id!r} is in both {home[item_id]} and {source.path}. Extract one of them without it."
                )
            home[item_id] = source.path
            together.add(item_id)
