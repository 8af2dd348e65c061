import csv

import h5py
import numpy as np
import pytest
from storing import IDS, extract, rows

from vidfeat.errors import UsageError
from vidfeat.store import export_features, import_features, open_features, verify
from vidfeat.store.exporting import safe_name


def test_folders_of_npy_come_in_with_row_numbers_as_frames(tmp_path):
    source = tmp_path / "npy"
    (source / "run/a b").mkdir(parents=True)
    clip, image = np.random.default_rng(0).standard_normal((7, 5)).astype(">f4"), np.arange(4.0)
    np.save(source / "run/a b/é.mp4.npy", clip)
    np.save(source / "image.npy", image)
    (source / "notes.txt").write_text("ignored")
    result = import_features([source], tmp_path / "feats.h5", "npy", feature="rgb", fps=12.5)
    assert result.ids == ["image", "run/a b/é.mp4"]
    assert result.failed == {}
    with open_features(tmp_path / "feats.h5") as file:
        item = file["run/a b/é.mp4"]
        np.testing.assert_array_equal(item["rgb"], clip)
        np.testing.assert_array_equal(item.frame, np.arange(7))
        np.testing.assert_array_equal(item.time, np.arange(7) / 12.5)
        assert item.attrs["path"].endswith("é.mp4.npy")
        assert item.attrs["state"] == "done"
        assert item.labels == ()
        np.testing.assert_array_equal(file["image"]["rgb"], image[None])
    assert verify(tmp_path / "feats.h5") == []


def test_without_a_rate_the_time_is_the_row_number(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    import_features([tmp_path / "x.npy"], tmp_path / "feats.h5", "npy")
    with open_features(tmp_path / "feats.h5") as file:
        np.testing.assert_array_equal(file["x"].time, [0, 1, 2])
        assert "fps" not in file["x"].attrs


def test_what_cannot_be_taken_is_listed_and_the_rest_kept(tmp_path):
    source = tmp_path / "npy"
    source.mkdir()
    np.save(source / "good.npy", np.ones((3, 2)))
    np.save(source / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.save(source / "nan.npy", np.array([[np.nan]]))
    np.save(source / "empty.npy", np.zeros((0, 3)))
    np.save(source / "text.npy", np.array([["a"]]))
    (source / "broken.npy").write_bytes(b"\x93NUMPY")
    result = import_features([source], tmp_path / "feats.h5", "npy")
    assert result.ids == ["good"]
    assert sorted(result.failed) == ["broken", "empty", "nan", "pickled", "text"]
    assert "Python objects" in result.failed["pickled"]
    assert "not finite" in result.failed["nan"]
    assert "at least one" in result.failed["empty"]
    assert "number arrays" in result.failed["text"]


def test_importing_again_takes_only_what_changed(tmp_path, caplog):
    source, out = tmp_path / "npy", tmp_path / "feats.h5"
    source.mkdir()
    np.save(source / "a.npy", np.ones((3, 2)))
    np.save(source / "b.npy", np.ones((3, 2)))
    import_features([source], out, "npy")
    before = out.stat().st_mtime_ns
    assert import_features([source], out, "npy").ids == ["a", "b"]
    assert out.stat().st_mtime_ns == before
    np.save(source / "b.npy", np.zeros((4, 2)))
    assert import_features([source], out, "npy").ids == ["a", "b"]
    assert "b: its source has changed" in caplog.text
    with open_features(out) as file:
        assert file["b"].shape("feature") == (4, 2)
    with pytest.raises(UsageError, match=r"fps: not set there, 2\.0 here"):
        import_features([source], out, "npy", fps=2.0)


def test_activitynet_files_in_both_layouts(tmp_path):
    source = tmp_path / "c3d.hdf5"
    with h5py.File(source, "w") as h5:
        h5["v_-abc/c3d_features"] = np.arange(12.0).reshape(3, 4)
        h5["v_bare"] = np.ones((2, 4), "f4")
        h5["v_bad/x"] = np.ones(3)
        h5["v_bad/y"] = np.ones(4)
    result = import_features([source], tmp_path / "feats.h5", "activitynet", feature="c3d")
    assert result.ids == ["v_-abc", "v_bare"]
    assert "same number of rows" in result.failed["v_bad"]
    with open_features(tmp_path / "feats.h5") as file:
        np.testing.assert_array_equal(file["v_-abc"]["c3d_features"], np.arange(12.0).reshape(3, 4))
        np.testing.assert_array_equal(file["v_bare"]["c3d"], np.ones((2, 4)))


def test_hloc_files_become_images_of_one_frame(tmp_path):
    source = tmp_path / "global.h5"
    with h5py.File(source, "w") as h5:
        for k, name in enumerate(("db/1.jpg", "query/day/2.jpg")):
            h5[f"{name}/global_descriptor"] = np.full(8, k, "f2")
            h5[f"{name}/keypoints"] = np.ones((5 + k, 2), "f4")
    assert import_features([source], tmp_path / "feats.h5", "hloc").ids == ["db/1.jpg", "query/day/2.jpg"]
    with open_features(tmp_path / "feats.h5") as file:
        item = file["query/day/2.jpg"]
        np.testing.assert_array_equal(item["global_descriptor"], np.ones((1, 8)))
        assert item.shape("keypoints") == (1, 6, 2)
        assert item["global_descriptor"].dtype == np.float16
    assert verify(tmp_path / "feats.h5") == []


def test_wrong_requests_for_import_are_refused_in_words(tmp_path):
    out = tmp_path / "feats.h5"
    with pytest.raises(UsageError, match="Unknown kind of features 'mat'; allowed are npy, activitynet, hloc"):
        import_features([tmp_path], out, "mat")
    with pytest.raises(UsageError, match="positive number"):
        import_features([tmp_path], out, "npy", fps=0)
    with pytest.raises(UsageError, match="Nothing to import"):
        import_features([], out, "npy")
    with pytest.raises(UsageError, match="no features of kind 'npy' found"):
        import_features([tmp_path], out, "npy")
    with pytest.raises(UsageError, match=r"neither a folder nor a \.npy file"):
        import_features([tmp_path / "nope"], out, "npy")
    (tmp_path / "text.h5").write_text("x")
    with pytest.raises(UsageError, match="is not an HDF5 file"):
        import_features([tmp_path / "text.h5"], out, "hloc")
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "same.npy", np.ones((1, 1)))
    with pytest.raises(UsageError, match="'same' occurs twice"):
        import_features([tmp_path / "p", tmp_path / "q"], out, "npy")
    assert not out.exists()


def test_npy_export_comes_back_by_import(tmp_path):
    feats, target = tmp_path / "feats.h5", tmp_path / "out"
    extract(feats)
    assert export_features(feats, target, "npy", features=["fc7"]) == len(IDS)
    files = sorted(p.relative_to(target).as_posix() for p in target.rglob("*.npy"))
    assert "fc7/a/é.mp4.npy" in files
    assert "fc7/%2Ddash.mp4.npy" in files
    assert "fc7/a b/it's %22quoted%22.avi.npy" in files
    assert not list(target.rglob("*.tmp"))
    back = import_features([target / "fc7"], tmp_path / "back.h5", "npy", feature="fc7")
    assert len(back.ids) == len(IDS)
    np.testing.assert_array_equal(np.load(target / "fc7/a/é.mp4.npy"), rows("a/é.mp4")["fc7"])
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        export_features(feats, target, "npy", features=["fc7"])
    assert export_features(feats, target, "npy", features=["fc7"], overwrite=True) == len(IDS)


def test_names_of_files_are_safe_and_different(tmp_path):
    assert safe_name("plain é #1.mp4") == "plain é #1.mp4"
    assert safe_name("-x") == "%2Dx"
    assert safe_name("a\\b:c*\n%") == "a%5Cb%3Ac%2A%0A%25"
    long = [safe_name("é" * 200 + end) for end in "ab"]
    assert all(len(name.encode()) <= 200 for name in long)
    assert long[0] != long[1]


def test_csv_export_holds_every_row_exactly(tmp_path):
    feats, target = tmp_path / "feats.h5", tmp_path / "fc7.csv"
    extract(feats, ['a,"b"', "x"])
    export_features(feats, target, "csv", features=["fc7"])
    with target.open(newline="", encoding="utf-8") as stream:
        header, *table = csv.reader(stream)
    assert header == ["id", "time", "frame", *map(str, range(8))]
    for item_id in ('a,"b"', "x"):
        own = [row for row in table if row[0] == item_id]
        columns = rows(item_id)
        np.testing.assert_array_equal(np.array([row[3:] for row in own], np.float32), columns["fc7"])
        np.testing.assert_array_equal([float(row[1]) for row in own], columns["time"])
        np.testing.assert_array_equal([int(row[2]) for row in own], columns["frame"])
    with pytest.raises(UsageError, match=r"rows of shape \(2, 3, 3\).*--map-pool"):
        export_features(feats, tmp_path / "maps.csv", "csv", features=["conv5"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fc7.csv", "feats.h5"]


def test_hdf5_export_in_both_layouts(tmp_path):
    feats = tmp_path / "feats.h5"
    extract(feats)
    with_maps = [i for i in IDS if i.startswith("a")]
    assert export_features(feats, tmp_path / "named.h5", "hdf5") == len(IDS) + len(with_maps)
    assert export_features(feats, tmp_path / "bare.h5", "hdf5-bare", features=["fc7"]) == len(IDS)
    with h5py.File(tmp_path / "named.h5") as named, h5py.File(tmp_path / "bare.h5") as bare:
        for item_id in IDS:
            np.testing.assert_array_equal(named[item_id]["fc7"][:], rows(item_id)["fc7"])
            np.testing.assert_array_equal(bare[item_id][:], rows(item_id)["fc7"])
    back = import_features([tmp_path / "named.h5"], tmp_path / "back.h5", "activitynet")
    assert back.ids == sorted(IDS)


def test_wrong_requests_for_export_are_refused_in_words(tmp_path):
    feats = tmp_path / "feats.h5"
    extract(feats, IDS[:3])
    with pytest.raises(UsageError, match="Unknown form 'mat'; allowed are npy, csv, hdf5, hdf5-bare"):
        export_features(feats, tmp_path / "x", "mat")
    with pytest.raises(UsageError, match="has no feature 'fc9'; it has conv5, fc7"):
        export_features(feats, tmp_path / "x", "npy", features=["fc9"])
    with pytest.raises(UsageError, match="holds one feature; choose one of conv5, fc7"):
        export_features(feats, tmp_path / "x", "csv")
    with pytest.raises(UsageError, match="exists already"):
        export_features(feats, tmp_path, "hdf5")
    with pytest.raises(UsageError, match="both the source and the target"):
        export_features(feats, feats, "hdf5", overwrite=True)
    with pytest.raises(UsageError, match=r"does not exist\. Create"):
        export_features(feats, tmp_path / "no/x.h5", "hdf5")
