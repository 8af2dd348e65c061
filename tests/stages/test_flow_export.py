"""Flow for other tools: pictures of its levels, and .flo files, a folder for each item."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from small import run_flow

import vidfeat
from vidfeat.errors import StorageError, UsageError
from vidfeat.flow import dequantise, quantise, read_flo
from vidfeat.stages import export
from vidfeat.stages.config.files import ExportConfig


def write(features, output, form, **options) -> int:
    return export.run(ExportConfig(features=features, output=output, form=form, **options)).as_dict()["written"]


@pytest.fixture(scope="module")
def fields(clips, tmp_path_factory):
    output = tmp_path_factory.mktemp("flow") / "flow.h5"
    run_flow([clips / "b"], output, bound=10.0)
    return output


@pytest.fixture(scope="module")
def halves(clips, tmp_path_factory):
    output = tmp_path_factory.mktemp("flow") / "flow16.h5"
    run_flow([clips / "b"], output, dtype="float16")
    return output


def stored(path, item_id) -> np.ndarray:
    with vidfeat.open_features(path) as file:
        return file[item_id]["flow"]


def test_pictures_of_the_levels(fields, tmp_path):
    assert write(fields, tmp_path / "out", "jpg") == 8 + 16
    levels = stored(fields, "v2.mp4")
    folder = tmp_path / "out" / "v2.mp4"
    names = [f"flow_{axis}_{k:05d}.jpg" for axis in "xy" for k in range(8)]
    assert sorted(path.name for path in folder.iterdir()) == ["flow.json", *names]
    for channel, axis in enumerate("xy"):
        read = np.stack([cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for name in names if f"_{axis}_" in name])
        assert read.shape == levels[:, channel].shape
        # JPEG at quality 95: a few levels at the edges, well under one on the average.
        assert np.abs(read.astype(int) - levels[:, channel]).mean() < 1
    facts = json.loads((folder / "flow.json").read_text())
    assert (facts["bound"], facts["start_index"], facts["frame"]) == (10.0, 0, list(range(8)))
    assert facts["time"][3] == 3 / 25
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["v2.mp4", "v3.mp4"]


def test_flo_files_hold_pixels(fields, halves, tmp_path):
    assert write(fields, tmp_path / "a", "flo", start_index=1) == 8 + 16
    levels = stored(fields, "v3.mp4")
    facts, *files = sorted((tmp_path / "a" / "v3.mp4").iterdir())
    facts = json.loads(facts.read_text())
    assert {**facts, "time": facts["time"][:2]} == {
        "id": "v3.mp4", "bound": 10.0, "start_index": 1, "time": [0, 1 / 25], "frame": list(range(16)),
    }  # fmt: skip
    assert [path.name for path in files] == [f"flow_{k:05d}.flo" for k in range(1, 17)]
    assert np.array_equal(np.stack([read_flo(path) for path in files]), dequantise(levels, 10.0))
    write(halves, tmp_path / "b", "flo")
    facts, *files = sorted((tmp_path / "b" / "v3.mp4").iterdir())
    assert "bound" not in json.loads(facts.read_text())
    read = [read_flo(path) for path in files]
    assert np.array_equal(np.stack(read), stored(halves, "v3.mp4").astype(np.float32))


def test_flow_without_a_bound_is_given_one(halves, tmp_path):
    with pytest.raises(UsageError, match=r"is float16, which has no bound\. Give --bound"):
        write(halves, tmp_path / "out", "jpg")
    assert not (tmp_path / "out").exists()
    write(halves, tmp_path / "out", "jpg", bound=8.0)
    expected = quantise(stored(halves, "v2.mp4")[0].astype(np.float32), 8.0)[0]
    read = cv2.imread(str(tmp_path / "out" / "v2.mp4" / "flow_x_00000.jpg"), cv2.IMREAD_UNCHANGED)
    assert np.abs(read.astype(int) - expected).mean() < 1


def test_what_is_there_is_replaced_only_if_asked_and_if_it_is_ours(fields, tmp_path):
    write(fields, tmp_path / "out", "flo")
    with pytest.raises(UsageError, match=r"v2\.mp4 exists already.*--overwrite"):
        write(fields, tmp_path / "out", "jpg")
    write(fields, tmp_path / "out", "jpg", overwrite=True)
    assert not list((tmp_path / "out" / "v2.mp4").glob("*.flo"))
    (tmp_path / "out" / "v3.mp4" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"v3\.mp4 is there and holds 'notes\.txt', which vidfeat does not write"):
        write(fields, tmp_path / "out", "flo", overwrite=True)
    assert (tmp_path / "out" / "v2.mp4" / "flow.json").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_full_disk_leaves_no_half_folder(fields, tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def full(self, data):
        if self.name == "flow_00005.flo":
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        write(fields, tmp_path / "out", "flo")
    assert list((tmp_path / "out").iterdir()) == []


def test_names_that_file_systems_trip_over(clips, tmp_path):
    manifest = tmp_path / "set.csv"
    manifest.write_text(f'id,path\n"a/-b c: é?",{clips / "b" / "v2.mp4"}\n')
    run_flow([manifest], tmp_path / "f.h5")
    write(tmp_path / "f.h5", tmp_path / "o ut", "flo")
    assert [path.name for path in (tmp_path / "o ut" / "a").iterdir()] == ["%2Db c%3A é%3F"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "jpg", "bound": 20.0}, "stored with bound 10, which cannot be changed without loss"),
        ({"form": "flo", "bound": 10.0}, "--bound 10 has no effect with --form flo, only with jpg"),
        ({"form": "npy", "start_index": 1}, "--start-index 1 has no effect with --form npy, only with jpg and flo"),
        ({"form": "jpg", "start_index": -1}, "--start-index is -1; it must be 0 or more"),
        ({"form": "jpg", "feature": "fc7"}, "--form jpg writes flow, not 'fc7'"),
    ],
)
def test_wrong_requests_are_refused(fields, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        write(fields, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_flow_says_so(features, tmp_path):
    with pytest.raises(UsageError, match="has no flow; 'vidfeat flow' writes files that have"):
        write(features, tmp_path / "out", "jpg")


def test_the_other_forms_take_flow_as_they_take_features(fields, tmp_path):
    assert write(fields, tmp_path / "out", "npy") == 2
    assert np.array_equal(np.load(tmp_path / "out" / "flow" / "v2.mp4.npy"), stored(fields, "v2.mp4"))
    with pytest.raises(UsageError, match="a table needs vectors"):
        write(fields, tmp_path / "t.csv", "csv")
