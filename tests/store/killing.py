"""Run in a process of its own: kill a fake extraction at its n-th file operation, for every n, and resume it.

    killing.py FOLDER SCENARIO WRITE_STRIDE     ->  one JSON line {"operations": [...], "cases": n, "failures": [...]}

The store is imported once; every case runs in a fork of this process, which holds no other thread. All functions of
vidfeat.store.fs that change something, and the closing of HDF5 files, are wrapped from outside. "After operation n" is
the same moment as "before operation n + 1". Writes are also torn: half of one arrives, then the process dies.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

import h5py
from storing import IDS, SETTINGS, contents, extract

from vidfeat.store import fs, verify
from vidfeat.store.part import PartFile

WRAPPED = ["open_new", "open_existing", "pwrite", "truncate", "fsync", "close", "fsync_dir", "rename", "unlink"]
WRAPPED += ["make_dir", "remove_dir"]
SMALL = {"part_bytes": 50_000, "part_seconds": 1e9, "spill_bytes": 40_000}
FEW = IDS[:4]
TINY = {**SMALL, "part_bytes": 6_000}


class Scenario:
    """``prepare`` makes what is there before, ``run`` is killed, ``resume`` is the same command again."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, out: Path) -> None:
        if self.name in ("again", "overwrite"):
            extract(out, FEW[:2], part_bytes=1)
        elif self.name == "other-settings":  # every item failed with these
            extract(out, [], settings={**SETTINGS, "fps": 1.0})
        elif self.name == "merge-links":
            extract(out, FEW, part_bytes=1, merge=False)

    def run(self, out: Path) -> list[str]:
        if self.name == "fresh":
            return extract(out, **SMALL)
        if self.name == "again":
            return extract(out, FEW, changed=FEW[1:2], **TINY)
        if self.name == "links":
            return extract(out, FEW, merge=False, **TINY)
        if self.name == "overwrite":
            return extract(out, FEW, overwrite=True, **TINY)
        return extract(out, FEW, **TINY)

    def resume(self, out: Path) -> list[str]:
        if self.name == "overwrite":
            return extract(out, FEW, **TINY)
        return self.run(out)


class Killer:
    """Counts operations; at number ``at`` kills this process before it, or in its middle."""

    def __init__(self, at: int = -1, torn: bool = False, log: Path | None = None) -> None:
        self.at, self.torn, self.names, self.log = at, torn, [], log
        for name in WRAPPED:
            setattr(fs, name, self.wrap(name, getattr(fs, name)))
        h5py.File.close = self.wrap("h5.close", h5py.File.close)  # of written files; closing a read one changes nothing
        self.watch_parts()

    def wrap(self, name, function):
        def wrapped(*args):
            if name == "h5.close" and not (args[0].id and args[0].mode == "r+"):
                return function(*args)
            if len(self.names) == self.at:
                if self.torn:
                    fd, data, offset = args
                    os.pwrite(fd, bytes(data)[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            self.names.append(name)
            return function(*args)

        return wrapped

    def watch_parts(self) -> None:
        """Note on a side channel which items lie in parts that have their final name."""
        write, start, publish = PartFile.write_item, PartFile.start_item, PartFile.publish

        def noted(function):
            def wrapped(part, item_id, *args):
                part.__dict__.setdefault("seen", []).append(item_id)
                return function(part, item_id, *args)

            return wrapped

        def published(part):
            publish(part)
            if self.log:
                with self.log.open("a") as stream:
                    stream.writelines(json.dumps(i) + "\n" for i in part.seen)

        PartFile.write_item, PartFile.start_item, PartFile.publish = noted(write), noted(start), published


def forked(function) -> int:
    """Wait status of a fork that runs ``function``."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def main(folder: Path, name: str, stride: int) -> dict:
    scenario = Scenario(name)
    template, reference = folder / "template", folder / "reference"
    template.mkdir(parents=True)
    forked(lambda: scenario.prepare(template / "feats.h5"))
    shutil.copytree(template, reference)
    counted = folder / "operations.json"

    def count() -> None:
        killer = Killer()
        scenario.run(reference / "feats.h5")
        counted.write_text(json.dumps(killer.names))

    assert forked(count) == 0
    operations = json.loads(counted.read_text())
    expected = contents(reference / "feats.h5")
    cases = []
    for n, operation in enumerate(operations):
        if n % stride == 0 or operation not in ("pwrite", "truncate", "close"):
            cases.append((n, False))
        if n % stride == 0 and operation == "pwrite":
            cases.append((n, True))
    cases.append((len(operations), False))
    failures = []
    for n, torn in cases:
        place = folder / f"case-{n}{'-torn' if torn else ''}"
        shutil.copytree(template, place)
        out, log = place / "feats.h5", place.with_suffix(".log")

        def killed(out=out, log=log, n=n, torn=torn) -> None:
            Killer(n, torn, log)
            scenario.run(out)

        def check(out=out, log=log) -> None:
            published = {json.loads(line) for line in log.read_text().splitlines()} if log.exists() else set()
            problems = verify(out) if out.exists() or list(out.parent.glob("*/part-*.h5")) else []
            assert not problems, problems
            again = scenario.resume(out)
            assert not published & set(again), f"lost although its part was finished: {published & set(again)}"
            assert contents(out) == expected
            assert not verify(out)
            names = sorted(p.name for p in out.parent.iterdir())
            kept = ["feats.h5", "feats.h5.parts"] if scenario.name == "links" else ["feats.h5"]
            assert names == kept, names
            assert not list(out.parent.glob("*/*.tmp")) and not list(out.parent.glob("*/lock*"))

        status = forked(killed)
        if n < len(operations) and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            failures.append([n, torn, operations[n], f"not killed: {status}"])
        if forked(check):
            failures.append([n, torn, operations[n] if n < len(operations) else "end", "see stderr"])
        else:
            shutil.rmtree(place)
    return {"operations": operations, "cases": len(cases), "failures": failures}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
