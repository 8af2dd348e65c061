"""From features to codes, through the stage."""

import h5py
import numpy as np
import pytest
from damage import flip
from small import run_small

import vidfeat
from vidfeat.errors import UsageError
from vidfeat.stages import encode
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.store import FeatureWriter, open_codes


def test_encode_of_an_average_is_the_normalised_mean(features, tmp_path):
    encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5"))
    with vidfeat.open_features(features) as stored, open_codes(tmp_path / "c.h5") as codes:
        assert list(codes.ids) == stored.ids
        assert [tuple(own) for own in codes.labels] == [stored[i].labels for i in stored.ids]
        for row, item_id in zip(codes.codes("default"), stored.ids, strict=True):
            mean = stored[item_id]["avgpool"].astype(np.float64).mean(0)
            np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5, atol=1e-7)
        assert codes.provenance["features_fingerprint"] == stored.fingerprint


@pytest.mark.parametrize(
    ("options", "width", "nodes"),
    [({"method": "max"}, 1, 1), ({"method": "rankpool", "direction": "both"}, 2, 1), ({"pyramid": 3}, 7, 7),
     ({"method": "rankpool", "map": "posneg", "pyramid": 2}, 6, 3)],
)  # fmt: skip
def test_encode_writes_codes_of_the_right_width_and_blocks(features, tmp_path, options, width, nodes):
    summary = encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", **options))
    with open_codes(tmp_path / "c.h5") as codes:
        table = codes.codes("default")
        assert table.shape == (6, summary.dimension) == (6, width * 1000)
        assert [block[0] for block in codes.blocks("default")] == list(range(nodes))
        assert codes.blocks("default")[-1][2] == summary.dimension
        assert np.isfinite(table).all()


def test_rank_pooling_of_maps_says_how_to_get_vectors(clips, tmp_path):
    run_small([clips / "b"], tmp_path / "f.h5", layers="features.1")
    with pytest.raises(UsageError, match="--map-pool"):
        encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", method="rankpool"))
    assert not (tmp_path / "c.h5").exists()


def test_an_item_without_the_feature_fails_alone(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", {}, {}) as writer:
        for item_id, name in (("a", "fc7"), ("b", "fc6"), ("c", "fc7")):
            item = writer.item(item_id)
            item.append(name, np.ones((3, 4), np.float32))
            item.append("time", np.arange(3.0))
            item.append("frame", np.arange(3))
            item.finish({"state": "done"})
    summary = encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", feature="fc7"))
    assert (summary.items, summary.exit_code) == (2, 1)
    assert summary.failures[0].id == "b"
    assert "fc6" in (tmp_path / "c.h5.failures.csv").read_text()


@pytest.mark.parametrize("last", ["c", "b"])
def test_the_last_item_may_fail_with_another_width(tmp_path, last):
    with FeatureWriter(tmp_path / "f.h5", {}, {}) as writer:
        for item_id in ("a", "b", "c"):
            item = writer.item(item_id)
            item.append("fc7", np.ones((3, 6 if item_id == last else 4), np.float32))
            item.append("time", np.arange(3.0))
            item.append("frame", np.arange(3))
            item.finish({"state": "done"})
    summary = encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", pyramid=2))
    assert (summary.dimension, [failure.id for failure in summary.failures]) == (12, [last])
    with open_codes(tmp_path / "c.h5") as codes:
        assert codes.blocks() == [(0, 0, 4), (1, 4, 8), (2, 8, 12)]


def test_encode_replaces_nothing_but_codes(features, tmp_path):
    own = tmp_path / "f.h5"
    own.write_bytes(features.read_bytes())
    (tmp_path / "link.h5").symlink_to(own)
    (tmp_path / "hard.h5").hardlink_to(own)
    (tmp_path / "thesis.tex").write_text("precious")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, words in [
        ("f.h5", "is the file that is read"),
        ("link.h5", "is the file that is read"),
        ("hard.h5", "is the file that is read"),
        ("thesis.tex", "is not a codes file"),
    ]:
        with pytest.raises(UsageError, match=words):
            encode.run(EncodeConfig(features=own, output=tmp_path / name))
    with pytest.raises(UsageError, match="is not a codes file"):
        encode.run(EncodeConfig(features=features, output=own))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    encode.run(EncodeConfig(features=own, output=tmp_path / "c.h5"))
    assert encode.run(EncodeConfig(features=own, output=tmp_path / "c.h5", pyramid=2)).dimension == 3000


def test_a_manifest_replaces_only_the_columns_it_has(features, tmp_path):
    manifest = tmp_path / "labels.csv"
    manifest.write_text("id,label\na/v0.mp4,new\nb/v2.mp4,old|new\nnot/there.mp4,x\n")
    encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", manifest=manifest))
    with open_codes(tmp_path / "c.h5") as codes:
        assert list(codes.ids) == ["a/v0.mp4", "b/v2.mp4"]
        assert [tuple(own) for own in codes.labels] == [("new",), ("old", "new")]
        assert list(codes.groups) == ["a/v0.mp4", "b/v2.mp4"]


@pytest.mark.parametrize("options", [{}, {"method": "rankpool", "C": "1,2"}])
def test_a_damaged_item_fails_alone(tmp_path, options):
    path = tmp_path / "f.h5"
    with FeatureWriter(path, {}, {}) as writer:
        for number, item_id in enumerate(("a", "b", "c")):
            item = writer.item(item_id)
            item.append("x", np.random.default_rng(number).normal(size=(5, 8)).astype(np.float32))
            item.append("time", np.arange(5))
            item.append("frame", np.arange(5))
            item.finish({"path": "/v"}, labels=("l",), group=item_id)
    with h5py.File(path) as h5:
        chunk = h5["items/b/x"].id.get_chunk_info(0)
    flip(path, chunk.byte_offset + chunk.size // 2)
    summary = encode.run(EncodeConfig(features=path, output=tmp_path / "c.h5", **options))
    assert summary.exit_code == 1 and summary.items == 2
    assert [failure.id for failure in summary.failures] == ["b"]
    assert summary.failures[0].reason.startswith("Cannot read 'x' of item 'b'")
    with open_codes(tmp_path / "c.h5") as codes:
        assert list(codes.ids) == ["a", "c"]
