"""``vidfeat dataset`` on the command line, and the way from official lists to figures."""

import json

import pytest
from invoke import vidfeat
from small import SMALL_FLAGS
from videos import write_video

from vidfeat.datasets.manifest import read_manifest
from vidfeat.store import open_features


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory):
    """Two classes of three videos, two splits; in each class a group lies on both sides of split 2."""
    folder = tmp_path_factory.mktemp("ucf101")
    names = {
        label: [f"{label}/v_{label}_g{g:02d}_c0{c}.avi" for g, c in ((1, 1), (2, 1), (2, 2))]
        for label in ("Bow", "Run")
    }
    for label, videos in names.items():
        (folder / "UCF-101" / label).mkdir(parents=True)
        for number, video in enumerate(videos):
            write_video(folder / "UCF-101" / video, 6 + number, codec="mpeg4", width=48, height=48)
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_bytes(b"1 Bow\r\n2 Run\r\n")
    for split, tested in enumerate((0, 1), start=1):
        train = [
            f"{video} {k}"
            for k, label in enumerate(names, 1)
            for video in names[label]
            if video != names[label][tested]
        ]
        (lists / f"trainlist0{split}.txt").write_bytes("\r\n".join(train).encode())
        (lists / f"testlist0{split}.txt").write_bytes("\r\n".join(names[label][tested] for label in names).encode())
    return folder


def test_from_official_lists_to_a_table_of_splits(ucf101, tmp_path):
    """Both splits train, although split 2 has a group on both sides."""
    done = vidfeat("dataset", "ucf101", ucf101 / "UCF-101", "-o", tmp_path / "set.csv")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("set.csv: 6 items of 6 listed, 2 classes, 6 groups.")
    assert "2 groups lie on both sides of an official split" in done.stderr
    assert vidfeat("extract", tmp_path / "set.csv", "-o", tmp_path / "f.h5", *SMALL_FLAGS, "-q").exit_code == 0
    assert vidfeat("encode", tmp_path / "f.h5", "-o", tmp_path / "c.h5", "--method", "rankpool").exit_code == 0
    for split in ("split1", "split2"):
        options = ["-o", tmp_path / split, "--split", split, "--C", "1", "-q"]
        trained = vidfeat("svm", "train", tmp_path / "c.h5", *options)
        assert trained.exit_code == 0, trained.stderr
    table = vidfeat("svm", "eval", tmp_path / "split1", tmp_path / "split2", "--bootstrap", "0").stdout
    assert [line.split()[0] for line in table.splitlines()[1:3]] == ["split1", "split2"]


def test_missing_files_exit_1_and_are_in_the_summary(ucf101, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for path in sorted((ucf101 / "UCF-101").rglob("*.avi"))[1:]:
        (videos / path.name).symlink_to(path)
    given = ["dataset", "ucf101", videos, "--splits", ucf101 / "ucfTrainTestlist", "-o", tmp_path / "set.csv"]
    done = vidfeat(*given)
    assert done.exit_code == 1
    assert f"1 left out (1 not found): {tmp_path / 'set.csv.missing.csv'}" in done.stdout
    allowed = vidfeat(*given, "--overwrite", "--allow-missing", "--json")
    assert allowed.exit_code == 0
    facts = json.loads(allowed.stdout)
    assert (facts["listed"], facts["items"], facts["missing"]) == (6, 5, 1)


def test_if_none_is_there_it_is_wrong_usage(ucf101, tmp_path):
    done = vidfeat("dataset", "ucf101", tmp_path, "--splits", ucf101 / "ucfTrainTestlist", "-o", tmp_path / "set.csv")
    assert done.exit_code == 2
    assert "None of the 6 items of ucf101 can be used" in done.stderr


def test_segments_reach_the_decoder(tmp_path):
    """Two seconds at 25 fps; the annotated second is [0.4, 1.2)."""
    (tmp_path / "v").mkdir()
    write_video(tmp_path / "v" / "v_-id.mp4", 50)
    annotations = [{"label": "a", "segment": [0.4, 1.2]}, {"label": "b", "segment": [1.2, 9]}]
    database = {"-id": {"subset": "training", "annotations": annotations}}
    (tmp_path / "activity_net.v1-3.min.json").write_text(json.dumps({"database": database}))
    done = vidfeat("dataset", "activitynet", tmp_path / "v", "-o", tmp_path / "set.csv")
    assert done.exit_code == 0, done.stderr
    assert "2 segments" in done.stdout
    assert [(item.start, item.end) for item in read_manifest(tmp_path / "set.csv")] == [(0.4, 1.2), (1.2, 9.0)]
    assert vidfeat("extract", tmp_path / "set.csv", "-o", tmp_path / "f.h5", *SMALL_FLAGS, "-q").exit_code == 0
    with open_features(tmp_path / "f.h5") as features:
        frames = [features[f"v_-id/{number:03d}"].frame.tolist() for number in (0, 1)]
    assert frames == [list(range(10, 30)), list(range(30, 50))]


def test_an_unknown_data_set_is_refused(tmp_path):
    done = vidfeat("dataset", "ucf-101", tmp_path, "-o", tmp_path / "set.csv")
    assert done.exit_code == 2
    assert "ucf-101" in done.stderr and "ucf-sports" in done.stderr
