"""One output over several runs: what is kept, refused or done again, and how parts become one file or links."""

import logging

import numpy as np
import pytest
from storing import IDS, SETTINGS, beside, contents, extract, rows, store_item

from vidfeat.errors import StorageError, UsageError
from vidfeat.store import FeatureWriter, fs, open_features, settings_differences, verify


def test_a_changed_option_is_named_with_both_values_and_the_way_out(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:2])
    before = out.read_bytes()
    other = {**SETTINGS, "fps": 8.0, "map_pool": "avg"}
    with pytest.raises(
        UsageError, match=r"fps: 6.0 there, 8.0 here; map_pool: not set there, \"avg\" here.*--overwrite"
    ):
        extract(out, settings=other)
    assert out.read_bytes() == before
    assert beside(out) == ["feats.h5"]
    extract(out, IDS[1:3], settings=other, overwrite=True)
    assert contents(out)["settings"] == other
    assert list(contents(out)["items"]) == sorted(IDS[1:3])


FIELDS = {"method": "tvl1", "tau": 0.25, "warps": 5, "fps": None, "bound": 20.0}


@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        (FIELDS, {**FIELDS, "tau": 0.2}, "tau: 0.25 there, 0.2 here"),
        (
            FIELDS,
            {"method": "dis", "dis-preset": "fast", "fps": 5.0, "bound": 20.0},
            'method: "tvl1" there, "dis" here; fps: not set there, 5.0 here',
        ),
        (
            {"layers": "fc7", "size": 224},
            {"layers": "fc6", "size": 224, "stream": "flow", **FIELDS},
            'stream: not set there, "flow" here; layers: "fc7" there, "fc6" here',
        ),
        (
            {"stream": "flow", "method": "dis", "dis-preset": "fast"},
            {"stream": "rgb,flow", **FIELDS, "weights": "none"},
            'stream: "flow" there, "rgb,flow" here; method: "dis" there, "tvl1" here',
        ),
        (FIELDS, {"layers": "fc7", "fps": None}, 'method: "tvl1" there, not set here'),
        (FIELDS, FIELDS, ""),
    ],
)
def test_another_method_is_named_first_and_without_what_follows_from_it(there, here, words):
    assert settings_differences(there, here) == words


def test_where_every_item_failed_the_next_run_may_have_other_settings(tmp_path, caplog):
    out, other = tmp_path / "feats.h5", {**SETTINGS, "fps": 8.0}
    extract(out, [])
    with caplog.at_level(logging.INFO):
        assert extract(out, IDS[:2], settings=other) == IDS[:2]
    assert "feats.h5 holds no item; it is made anew with the settings of this run" in caplog.text
    assert contents(out)["settings"] == other and len(contents(out)["items"]) == 2
    with pytest.raises(UsageError, match=r"fps: 8\.0 there, 6\.0 here"):
        extract(out, IDS[:2])


def test_failures_alone_twice_leave_the_settings_of_the_second_run(tmp_path):
    out, other = tmp_path / "feats.h5", {**SETTINGS, "fps": 8.0}
    extract(out, [])
    extract(out, [], settings=other)
    assert contents(out) == {"settings": other, "items": {}}
    assert beside(out) == ["feats.h5"]


def test_parts_with_items_protect_a_file_without(tmp_path):
    """A run in which all failed, then one that was stopped after its first item."""
    out = tmp_path / "feats.h5"
    extract(out, [])
    extract(out, IDS[:1], close=False)
    before = out.read_bytes()
    with pytest.raises(UsageError, match=r"part-0001\.h5 was made with other settings \(fps: 6\.0 there, 7\.0 here\)"):
        extract(out, settings={**SETTINGS, "fps": 7.0})
    assert out.read_bytes() == before
    assert extract(out, IDS[:2]) == IDS[1:2]


def test_a_changed_option_is_found_in_parts_too(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:2], close=False)
    with pytest.raises(UsageError, match=r"fps: 6\.0 there, 7\.0 here"):
        extract(out, settings={**SETTINGS, "fps": 7.0})
    assert extract(out, IDS[:3]) == IDS[2:3]


def test_overwrite_spares_files_of_others(tmp_path):
    out = tmp_path / "holiday.mp4"
    out.write_bytes(b"not features")
    with pytest.raises(UsageError, match=r"not an HDF5 file.*remove it yourself"):
        extract(out, overwrite=True)
    assert out.read_bytes() == b"not features"
    assert beside(out) == ["holiday.mp4"]


def test_outputs_that_cannot_be_are_refused_before_any_work(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist\. Create it"):
        extract(tmp_path / "no/feats.h5")
    with pytest.raises(UsageError, match="is a folder"):
        extract(tmp_path)


def test_nothing_new_leaves_the_file_untouched(tmp_path):
    out = tmp_path / "feats.h5"
    assert extract(out, part_bytes=1) == IDS
    before = out.stat()
    assert extract(out, part_bytes=1) == []
    after = out.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert beside(out) == ["feats.h5"]


def test_no_item_at_all_still_gives_a_file(tmp_path):
    out = tmp_path / "feats.shard-000-of-002.h5"
    extract(out, [], run={"shard": "0/2"})
    with open_features(out) as file:
        assert (len(file), file.shard) == (0, (0, 2))
    assert not verify(out)


def test_a_changed_source_wins_over_the_older_item(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out)
    assert extract(out, [*IDS, "new.mp4"], changed=("b.mp4",)) == ["b.mp4", "new.mp4"]
    with open_features(out) as file:
        np.testing.assert_array_equal(file["b.mp4"]["fc7"], rows("b.mp4", 1)["fc7"])
        assert file["b.mp4"].attrs["size"] == 1
        assert len(file) == len(IDS) + 1
    assert not verify(out)


def test_a_changed_source_wins_between_parts_before_and_after_they_are_merged(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:4], close=False, part_bytes=1)
    extract(out, IDS[:4], changed=IDS[1:2], close=False)
    with open_features(out) as file:
        assert file.in_progress
        np.testing.assert_array_equal(file[IDS[1]]["fc7"], rows(IDS[1], 1)["fc7"])
    assert extract(out, IDS[:4], changed=IDS[1:2]) == []
    with open_features(out) as file:
        np.testing.assert_array_equal(file[IDS[1]]["fc7"], rows(IDS[1], 1)["fc7"])


def test_stop_keeps_finished_items_for_the_next_run_and_may_be_called_twice(tmp_path):
    out = tmp_path / "feats.h5"
    writer = FeatureWriter(out, SETTINGS, {}, spill_bytes=10_000)
    for item_id in IDS[:5]:
        store_item(writer, item_id)
    writer.item("half").append("fc7", np.zeros((1000, 4), np.float32))
    writer.stop()
    writer.stop()
    assert beside(out) == ["feats.h5.parts", "feats.h5.parts/part-0001.h5"]
    assert extract(out) == IDS[5:]
    assert beside(out) == ["feats.h5"]


def test_an_error_in_the_loop_stops_and_success_closes(tmp_path):
    out = tmp_path / "feats.h5"
    with pytest.raises(RuntimeError, match="boom"), FeatureWriter(out, SETTINGS, {}) as writer:
        store_item(writer, "b.mp4")
        raise RuntimeError("boom")
    assert not out.exists()
    assert extract(out, ["b.mp4"]) == []
    assert out.exists()


def test_too_little_space_makes_links_and_a_later_run_merges(tmp_path, monkeypatch, caplog):
    out = tmp_path / "here/feats.h5"
    out.parent.mkdir()
    extract(tmp_path / "plain.h5")
    with monkeypatch.context() as patch:
        patch.setattr(fs, "free_bytes", lambda path: 1000)
        extract(out, part_bytes=1)
    assert "merging the parts needs" in caplog.text
    assert "is a file of links" in caplog.text
    assert (out.parent / "feats.h5.parts/part-0001.h5").exists()
    assert contents(out) == contents(tmp_path / "plain.h5")
    assert not verify(out)

    moved = tmp_path / "elsewhere"
    out.parent.rename(moved)
    assert contents(moved / "feats.h5") == contents(tmp_path / "plain.h5")
    link = tmp_path / "symlink.h5"
    link.symlink_to(moved / "feats.h5")
    assert contents(link) == contents(tmp_path / "plain.h5")

    assert extract(moved / "feats.h5") == []
    assert beside(moved / "feats.h5") == ["feats.h5"]
    assert contents(moved / "feats.h5") == contents(tmp_path / "plain.h5")


def test_links_on_request_grow_and_take_an_older_file_among_the_parts(tmp_path, caplog):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:4])
    assert extract(out, IDS[:8], changed=IDS[:1], merge=False, part_bytes=1) == [IDS[0], *IDS[4:8]]
    assert (tmp_path / "feats.h5.parts/part-0000.h5").exists()
    before = out.stat().st_mtime_ns
    assert extract(out, IDS[:8], changed=IDS[:1], merge=False) == []
    assert out.stat().st_mtime_ns == before
    extract(out, changed=IDS[:1], merge=False, part_bytes=1)
    linked = contents(out)
    assert not verify(out)
    assert extract(out, changed=IDS[:1]) == []
    assert contents(out) == linked
    assert beside(out) == ["feats.h5"]
    extract(tmp_path / "plain.h5", changed=IDS[:1])
    assert contents(out) == contents(tmp_path / "plain.h5")


def test_a_link_that_leads_nowhere_is_explained(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:3], merge=False, part_bytes=1)
    (tmp_path / "feats.h5.parts/part-0002.h5").unlink()
    with open_features(out) as file:
        assert len(file) == 3
        with pytest.raises(StorageError, match=r"link to feats.h5.parts/part-0002.h5.*moved together"):
            file[IDS[1]]
    assert [problem.id for problem in verify(out)] == [IDS[1]]
    assert extract(out, IDS[:3]) == IDS[1:2]
    assert not verify(out)


def test_a_quota_met_while_merging_leads_to_links(tmp_path, monkeypatch, caplog):
    out = tmp_path / "feats.h5"
    extract(out, part_bytes=1, close=False)
    real = fs.open_new

    def full(path):
        if path.name == "feats.h5.tmp" and not caplog.text:
            raise OSError(122, "Disk quota exceeded")
        return real(path)

    monkeypatch.setattr(fs, "open_new", full)
    extract(out)
    assert "no room to merge the parts (Disk quota exceeded)" in caplog.text
    assert len(contents(out)["items"]) == len(IDS)
    assert not verify(out)


def test_progress_of_the_store_is_said_through_logging_only(tmp_path, capsys, caplog):
    with caplog.at_level(logging.DEBUG):
        extract(tmp_path / "feats.h5", part_bytes=1)
    assert capsys.readouterr() == ("", "")


def test_shards_of_one_output_do_not_mix(tmp_path):
    out = tmp_path / "feats.h5"
    extract(out, IDS[:2], run={"shard": "0/2"})
    with pytest.raises(UsageError, match=r"holds shard 0/2, this is shard 1/2"):
        extract(out, IDS[2:4], run={"shard": "1/2"})
    with pytest.raises(UsageError, match=r"0 <= i < n.*got '2/2'"):
        extract(tmp_path / "x.h5", run={"shard": "2/2"})
