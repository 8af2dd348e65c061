"""``vidfeat dataset``: what is written, what is said, and the exit codes."""

import csv
import logging

import pytest

from vidfeat.datasets.manifest import read_manifest
from vidfeat.errors import UsageError
from vidfeat.stages import dataset
from vidfeat.stages.config.dataset import DatasetConfig

CLIPS = ["#1_climb_f_cm_np1_ba_med_0.avi", "-x_climb_f_cm_np1_ba_med_0.avi", "café, film_climb_f_cm_np1_ba_med_1.avi"]


@pytest.fixture
def root(tmp_path):
    """Three clips of HMDB51, one of each flag."""
    (tmp_path / "splits").mkdir()
    (tmp_path / "videos" / "climb").mkdir(parents=True)
    lines = "".join(f"{clip} {flag} \n" for clip, flag in zip(CLIPS, "120", strict=True))
    (tmp_path / "splits" / "climb_test_split1.txt").write_text(lines)
    for clip in CLIPS:
        (tmp_path / "videos" / "climb" / clip).touch()
    return tmp_path / "videos"


def run(root, name="hmdb51", output="set.csv", **more):
    return dataset.run(DatasetConfig(name, root, root.parent / output, **more))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_manifest_reads_back_and_nothing_else_is_left(root):
    summary = run(root)
    assert summary.exit_code == 0
    items = read_manifest(root.parent / "set.csv")
    assert [item.id for item in items] == [f"climb/{clip}" for clip in CLIPS]
    assert [item.splits for item in items] == [{"split1": "train"}, {"split1": "test"}, {}]
    assert all(item.path.is_file() and item.group and item.labels == ("climb",) for item in items)
    assert sorted(path.name for path in root.parent.iterdir()) == ["set.csv", "set.csv.classes.csv", "splits", "videos"]
    assert rows(root.parent / "set.csv.classes.csv") == [["number", "label"], ["0", "climb"]]


def test_the_summary_counts(root):
    (root / "other.avi").touch()
    facts = run(root).as_dict()
    assert {key: facts[key] for key in ("listed", "items", "missing", "classes", "groups", "unlisted_videos")} == {
        "listed": 3, "items": 3, "missing": 0, "classes": 1, "groups": 3, "unlisted_videos": 1
    }  # fmt: skip
    assert facts["splits"] == {"split1": {"test": {"listed": 1, "items": 1}, "train": {"listed": 1, "items": 1}}}
    assert facts["missing_list"] is None


def test_missing_files_are_listed_and_exit_1(root):
    (root / "climb" / CLIPS[1]).unlink()
    summary = run(root)
    assert summary.exit_code == 1
    lists = root.parent / "splits" / "climb_test_split1.txt"
    assert rows(root.parent / "set.csv.missing.csv") == [
        ["id", "path", "reason", "listed_in"],
        [f"climb/{CLIPS[1]}", f"climb/{CLIPS[1]}", "not found", f"{lists}, line 2"],
    ]
    facts = summary.as_dict()
    assert (facts["missing"], facts["reasons"], facts["items"]) == (1, {"not found": 1}, 2)
    assert facts["splits"]["split1"]["test"] == {"listed": 1, "items": 0}


def test_missing_files_may_be_allowed_but_are_listed_all_the_same(root):
    (root / "climb" / CLIPS[1]).unlink()
    assert run(root, allow_missing=True).exit_code == 0
    assert len(rows(root.parent / "set.csv.missing.csv")) == 2


def test_a_list_of_what_was_missing_before_does_not_stay(root):
    (root / "climb" / CLIPS[1]).rename(root.parent / "away.avi")
    run(root)
    (root.parent / "away.avi").rename(root / "climb" / CLIPS[1])
    assert run(root, overwrite=True).exit_code == 0
    assert not (root.parent / "set.csv.missing.csv").exists()


def test_the_sorts_of_reasons_are_counted(root):
    for clip in CLIPS[:2]:
        (root / "climb" / clip).unlink()
    for folder in ("a", "b"):
        (root / folder).mkdir()
        (root / folder / CLIPS[0]).touch()
    (root / "frames" / "climb" / CLIPS[1][:-4]).mkdir(parents=True)
    (root / "frames" / "climb" / CLIPS[1][:-4] / "1.jpg").touch()
    assert run(root).as_dict()["reasons"] == {"several files could be it": 1, "only pictures": 1}


def test_if_all_are_missing_nothing_is_written(root):
    for clip in CLIPS:
        (root / "climb" / clip).unlink()
    with pytest.raises(UsageError, match=r"None of the 3 items of hmdb51 can be used; .* has 0 videos below it"):
        run(root, allow_missing=True)
    assert sorted(path.name for path in root.parent.iterdir()) == ["splits", "videos"]


def test_lists_that_are_shorter_than_the_data_set_are_said(root, caplog):
    with caplog.at_level(logging.WARNING, "vidfeat"):
        run(root)
    assert caplog.messages == [
        "The lists have 1 train items in split1; the full data set has 3570.",
        "The lists have 1 test items in split1; the full data set has 1530.",
    ]


def test_an_existing_manifest_is_kept_unless_told_otherwise(root):
    (root.parent / "set.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"set.csv exists already. Choose another name, or give --overwrite"):
        run(root)
    assert (root.parent / "set.csv").read_text() == "mine"
    run(root, overwrite=True)
    assert len(read_manifest(root.parent / "set.csv")) == 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"output": "set.txt"}, r"set.txt must end in .csv: by that, other commands know a manifest"),
        ({"output": "none/set.csv"}, r"The folder .*none of the output set.csv does not exist"),
        ({"name": "ucf-101"}, r"There is no data set 'ucf-101'; there are ucf101, hmdb51, jhmdb, ucf-sports, "),
        ({"whole_videos": True}, r"--whole-videos has no effect with hmdb51, only with activitynet"),
    ],
)
def test_wrong_options_are_refused(root, given, words):
    with pytest.raises(UsageError, match=words):
        run(root, **given)
