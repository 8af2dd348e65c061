import h5py
import pytest
from storing import IDS, SETTINGS, beside, contents, extract

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import merge, open_features, verify


def shards(folder, count=3, **options):
    paths = []
    for index in range(count):
        path = folder / f"feats.shard-{index:03d}-of-{count:03d}.h5"
        extract(path, sorted(IDS)[index::count], run={"shard": f"{index}/{count}"}, **options)
        paths.append(path)
    return paths


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("options", [{}, {"part_bytes": 1, "merge": False}])
def test_merged_shards_equal_one_run(tmp_path, link, options):
    here = tmp_path / "here"
    here.mkdir()
    (here / "sub").mkdir()
    paths = shards(here / "sub", **options)
    before = [path.read_bytes() for path in paths]
    assert merge(paths, here / "all.h5", link=link) == len(IDS)
    extract(tmp_path / "one.h5")
    here.rename(tmp_path / "moved")
    moved = tmp_path / "moved/all.h5"
    assert contents(moved) == contents(tmp_path / "one.h5")
    assert verify(moved) == []
    assert [(tmp_path / "moved/sub" / path.name).read_bytes() for path in paths] == before
    with open_features(moved) as file:
        assert file.shard is None
        assert file.has_links == link
        assert [entry["run"]["shard"] for entry in file.run["merged"]] == ["0/3", "1/3", "2/3"]
    assert sorted(p.name for p in moved.parent.iterdir()) == ["all.h5", "sub"]


def test_a_merged_file_takes_more_items(tmp_path):
    paths = shards(tmp_path)
    merge(paths, tmp_path / "all.h5", link=True)
    assert extract(tmp_path / "all.h5", [*IDS, "new"]) == ["new"]
    for path in paths:
        path.unlink()
    assert len(contents(tmp_path / "all.h5")["items"]) == len(IDS) + 1
    assert verify(tmp_path / "all.h5") == []


def test_missing_and_double_shards_are_refused_unless_partial(tmp_path):
    paths, out = shards(tmp_path, 4), tmp_path / "all.h5"
    with pytest.raises(UsageError, match=r"Shards 1, 3 of 4 are missing.*--partial"):
        merge([paths[0], paths[2]], out)
    assert merge([paths[0], paths[2]], out, partial=True) == len(sorted(IDS)[0::2])
    out.unlink()
    with pytest.raises(UsageError, match="given twice"):
        merge([*paths, paths[1]], out)
    copy = tmp_path / "copy.h5"
    copy.write_bytes(paths[1].read_bytes())
    with pytest.raises(UsageError, match=r"both shard 1\. Give each shard once"):
        merge([*paths, copy], out, partial=True)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(UsageError, match=r"shards of different runs: of 2, 4 shards"):
        merge([*paths, *shards(other, 2)], out)
    with pytest.raises(UsageError, match="No shard was given"):
        merge([], out)
    with pytest.raises(UsageError, match=r"shard-009.* does not exist"):
        merge([*paths, tmp_path / "feats.shard-009.h5"], out)
    assert not out.exists()
    assert not list(tmp_path.glob("all*"))


def test_a_file_that_is_no_shard_needs_partial(tmp_path):
    extract(tmp_path / "a.h5", IDS[:2])
    extract(tmp_path / "b.h5", IDS[2:4])
    with pytest.raises(UsageError, match=r"a\.h5 is no shard.*--partial"):
        merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "all.h5")
    assert merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "all.h5", partial=True) == 4


def test_other_settings_are_named(tmp_path):
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    extract(a, IDS[:2], run={"shard": "0/2"})
    extract(b, IDS[2:4], run={"shard": "1/2"}, settings={**SETTINGS, "fps": 12.0})
    with pytest.raises(UsageError, match=r"different settings \(fps: 6\.0 there, 12\.0 here\)"):
        merge([a, b], tmp_path / "all.h5")


def test_an_item_in_two_files_or_a_prefix_across_them_is_refused(tmp_path):
    for name, ids in (("a", ["x/y", "z"]), ("b", ["z", "w"]), ("c", ["x"])):
        extract(tmp_path / f"{name}.h5", ids)
    with pytest.raises(UsageError, match=r"Item 'z' is in both .*a\.h5 and .*b\.h5"):
        merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "all.h5", partial=True)
    with pytest.raises(UsageError, match="path prefix"):
        merge([tmp_path / "a.h5", tmp_path / "c.h5"], tmp_path / "all.h5", partial=True)


def test_an_output_that_exists_is_kept_unless_told(tmp_path):
    paths, out = shards(tmp_path), tmp_path / "all.h5"
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        merge(paths, out)
    assert merge(paths, out, overwrite=True) == len(IDS)
    with pytest.raises(UsageError, match="both a shard and the output"):
        merge(paths, paths[0], overwrite=True)
    with pytest.raises(UsageError, match=r"does not exist\. Create"):
        merge(paths, tmp_path / "no/all.h5")


def test_a_shard_in_the_making_is_refused_unless_partial(tmp_path):
    from vidfeat.store.lock import OutputLock

    paths = shards(tmp_path)
    lock = OutputLock(tmp_path / (paths[1].name + ".parts"))
    with pytest.raises(UsageError, match=r"still being written by process \d+"):
        merge(paths, tmp_path / "all.h5")
    assert merge(paths, tmp_path / "all.h5", partial=True) == len(IDS)
    lock.release()
    extract(tmp_path / "busy.h5", IDS[:1], close=False)
    with pytest.raises(UsageError, match="unfinished parts of a run"):
        merge(paths, tmp_path / "busy.h5")


def test_shards_are_opened_read_only_and_damage_is_carried_to_where_verify_finds_it(tmp_path):
    paths = shards(tmp_path)
    item_id = sorted(IDS)[0]
    with h5py.File(paths[0]) as file:
        offset = file[f"items/{item_id}/fc7"].id.get_chunk_info(0).byte_offset
    data = bytearray(paths[0].read_bytes())
    data[offset] ^= 1
    paths[0].write_bytes(data)
    for path in paths:
        path.chmod(0o444)
    merge(paths, tmp_path / "all.h5")
    assert [problem.id for problem in verify(tmp_path / "all.h5")] == [item_id]


def test_a_shard_that_cannot_be_read_leaves_no_output(tmp_path):
    paths = shards(tmp_path)
    data = paths[2].read_bytes()
    paths[2].write_bytes(data[: len(data) // 2])
    with pytest.raises(StorageError, match="shard-002"):
        merge(paths, tmp_path / "all.h5")
    assert not [name for name in beside(tmp_path / "all.h5") if name.startswith("all")]
