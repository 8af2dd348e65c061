"""``vidfeat fuse``: from runs to a run, clean choice of weights, and the words of errors."""

import csv
import json

import numpy as np
import pytest
from judged_runs import CLASSES, make_scores, names, write_judged
from tolerances import FLOAT64

from vidfeat.classify import fusion
from vidfeat.errors import UsageError
from vidfeat.stages import fuse, runs, svm
from vidfeat.stages.config.fusion import FuseConfig
from vidfeat.stages.config.svm import SvmEvalConfig
from vidfeat.stages.tested import read_tested

TRUTH = np.random.Generator(np.random.PCG64(1)).permutation(48) % 3
LOGO = {"split": "leave-one-group-out"}
SCORES = [make_scores(TRUTH, 1.0, 1), 10 * make_scores(TRUTH, 0.9, 11)]


def two(folder, labels=None, **more):
    labels = names(TRUTH) if labels is None else labels
    return [write_judged(folder / name, s, labels, **more) for name, s in zip("xy", SCORES, strict=True)]


def fused(folders, output, **options):
    fuse.run(FuseConfig(runs=folders, output=output, **options))
    return read_tested(output)


def test_a_fused_run_is_a_run(tmp_path):
    folders = two(tmp_path)
    summary = fuse.run(FuseConfig(runs=folders, output=tmp_path / "F", weights="1,1.5")).as_dict()
    expected = fusion.fuse_scores(SCORES, [1, 1.5])
    ids, labels, found, classes = runs.read_predictions(tmp_path / "F")
    np.testing.assert_allclose(found, expected, rtol=FLOAT64)
    assert (labels, tuple(classes)) == ([(name,) for name in names(TRUTH)], CLASSES)
    with (tmp_path / "F" / "predictions.csv").open(newline="") as file:
        assert [row["predicted"] for row in csv.DictReader(file)] == names(expected.argmax(axis=1))
    results = json.loads((tmp_path / "F" / "results.json").read_text())
    assert results["accuracy"] == np.mean(expected.argmax(axis=1) == TRUTH)
    assert (results["split"], results["n_test"], results["train_ids_sha256"]) == ("split1", 48, "same")
    assert results["fusion"] == {"runs": [str(f) for f in folders], "normalize": "l1", "weights": [0.4, 0.6]}
    assert [row["run"] for row in summary["runs"]] == ["x", "y"]
    assert summary["runs"][0]["accuracy"] == np.mean(SCORES[0].argmax(axis=1) == TRUTH)
    again = svm.evaluate(SvmEvalConfig(runs=[tmp_path / "F"], bootstrap=20)).as_dict()
    assert again["accuracy"] == results["accuracy"] and set(again["intervals"]) >= {"accuracy", "map"}
    # It can be fused again, and a run of weight 0 does not count.
    assert fused([tmp_path / "F", folders[0]], tmp_path / "G", weights="0,1", normalize="none").ids == ids
    np.testing.assert_allclose(read_tested(tmp_path / "G").scores, SCORES[0])


def test_items_and_classes_in_another_order_are_put_in_order(tmp_path):
    first, second = two(tmp_path)
    expected = fused([first, second], tmp_path / "F").scores
    order, columns = np.arange(48)[::-1], [2, 0, 1]
    ids, groups = [f"v{i:03d}" for i in order], [f"g{i // 4}" for i in order]
    other = write_judged(
        tmp_path / "z", SCORES[1][np.ix_(order, columns)], names(TRUTH[order]), ids=ids, groups=groups,
        classes=[CLASSES[c] for c in columns],
    )  # fmt: skip
    np.testing.assert_allclose(fused([first, other], tmp_path / "G").scores, expected, rtol=FLOAT64)


def test_leaving_one_group_out_each_group_has_the_weights_of_the_others(tmp_path):
    folders = two(tmp_path, **LOGO)
    run = fused(folders, tmp_path / "F", weights="auto")
    facts = run.results["fusion"]
    chosen = fusion.choose_weights(SCORES, run.outcome().relevant, run.groups)
    assert facts["weights_of_groups"] == dict(zip(chosen.groups, chosen.group_weights.tolist(), strict=True))
    assert len({tuple(weights) for weights in facts["weights_of_groups"].values()}) > 1
    assert facts["chosen_by"] == {"measure": "accuracy", "score": chosen.score}
    for row in range(48):
        own = fusion.fuse_scores([s[row : row + 1] for s in SCORES], facts["weights_of_groups"][run.groups[row]])
        np.testing.assert_allclose(run.scores[row], own[0], rtol=FLOAT64)


@pytest.mark.parametrize("group", range(0, 12, 3))
def test_the_labels_of_a_group_have_no_part_in_its_scores(tmp_path, group):
    """Every label of one group is changed: its weights and scores must stay, those of others may not all."""
    before = fused(two(tmp_path / "before", **LOGO), tmp_path / "F", weights="auto")
    own = np.array(before.groups) == f"g{group}"
    labels = names(np.where(own, SCORES[1].argmin(axis=1), TRUTH))
    after = fused(two(tmp_path / "after", labels, **LOGO), tmp_path / "G", weights="auto")
    np.testing.assert_array_equal(after.scores[own], before.scores[own])
    assert after.results["accuracy"] != before.results["accuracy"]


def test_with_a_split_weights_are_chosen_on_runs_over_the_training_items(tmp_path):
    folders = two(tmp_path)
    truth = np.arange(60) % 3
    scores = [make_scores(truth, 5.0, 3), make_scores(truth, 0.1, 4)]  # here the second is much better
    ids, groups = [f"t{i:03d}" for i in range(60)], [f"h{i // 5}" for i in range(60)]
    given = {"ids": ids, "groups": groups, "sha": "training", **LOGO}
    validation = [write_judged(tmp_path / f"cv{i}", s, names(truth), **given) for i, s in enumerate(scores)]
    run = fused(folders, tmp_path / "F", weights="auto", validation=validation)
    facts = run.results["fusion"]
    assert facts["weights"][1] > 0.5
    assert facts["validation"] == [str(folder) for folder in validation]
    np.testing.assert_allclose(run.scores, fusion.fuse_scores(SCORES, facts["weights"]), rtol=FLOAT64)
    with pytest.raises(UsageError, match=r"cv0 was trained with the split 'split1'; --validation takes runs with"):
        by_split = [write_judged(tmp_path / f"s/cv{i}", s, names(truth), ids=ids) for i, s in enumerate(scores)]
        fused(folders, tmp_path / "G", weights="auto", validation=by_split)
    with pytest.raises(UsageError, match="share 12 groups: 'g0'"):
        leaking = {**given, "groups": [f"g{i % 12}" for i in range(60)]}
        shared = [write_judged(tmp_path / f"l/cv{i}", s, names(truth), **leaking) for i, s in enumerate(scores)]
        fused(folders, tmp_path / "G", weights="auto", validation=shared)
    with pytest.raises(UsageError, match="share 48 items"):
        fused(folders, tmp_path / "G", weights="auto", validation=two(tmp_path / "same", **LOGO))
    with pytest.raises(UsageError, match=r"has the classes a, b, d; .* They must be the same, in one order"):
        others = {**given, "classes": ("a", "b", "d")}
        other = [
            write_judged(tmp_path / f"o/cv{i}", s, names(truth, ("a", "b", "d")), **others)
            for i, s in enumerate(scores)
        ]
        fused(folders, tmp_path / "G", weights="auto", validation=other)
    assert not (tmp_path / "G").exists()


def test_chosen_weights_without_clean_scores_are_refused(tmp_path):
    folders = two(tmp_path)
    with pytest.raises(UsageError, match=r"these runs of 'split1' have scores of test items alone.*--validation CV"):
        fused(folders, tmp_path / "F", weights="auto")
    logo = two(tmp_path / "logo", **LOGO)
    with pytest.raises(UsageError, match="--validation is for runs with a split"):
        fused(logo, tmp_path / "F", weights="auto", validation=logo)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": [f"v{i:03d}" for i in range(47)] + ["w"]}, r"different test items: 'v047' is in .*x, not in .*z"),
        ({"classes": ("a", "b", "d")}, r"different classes: 'c' is in .*x, not in .*z \(1 such of 3\)"),
        ({"labels": ["b", *names(TRUTH)[1:]]}, r"do not agree on the label of 'v000': [ac] there, b here"),
        ({"groups": ["q"] + [f"g{i // 4}" for i in range(1, 48)]}, "on the group of 'v000': g0 there, q here"),
        ({"sha": "other", "split": "split2"}, r"not trained on the same items: .*x on 20 items of 'split1', .*split2"),
        ({"split": "leave-one-group-out"}, "not trained on the same items"),
    ],
)  # fmt: skip
def test_runs_that_do_not_fit_together_are_refused(tmp_path, change, words):
    assert names(TRUTH)[0] != "b"
    first = write_judged(tmp_path / "x", SCORES[0], names(TRUTH))
    given = {"labels": names(TRUTH), "scores": SCORES[1], **change}
    second = write_judged(tmp_path / "z", **given)
    with pytest.raises(UsageError, match=words):
        fused([first, second], tmp_path / "F")
    assert not (tmp_path / "F").exists()


def test_a_run_that_held_training_items_back_fits_to_one_that_did_not(tmp_path, caplog):
    folders = two(tmp_path)
    (folders[1] / "results.json").write_text(json.dumps({"split": "split1", "n_train": 3, "train_ids_sha256": "less"}))

    def trained_on(*each):
        for folder, ids in zip(folders, each, strict=True):
            meta = json.loads((folder / "model.json").read_text())
            (folder / "model.json").write_text(json.dumps({**meta, "train_ids": ids}))

    trained_on(["a", "b", "c", "d"], ["a", "b", "d"])
    assert fused(folders, tmp_path / "F").meta["train_ids"] == ["a", "b", "c", "d"]
    assert "y on 3 items of 'split1': one held items back." in caplog.text
    for other in (["a", "b", "x"], []):
        trained_on(["a", "b", "c", "d"], other)
        with pytest.raises(UsageError, match="not trained on the same items"):
            fused(folders, tmp_path / "G")


def test_runs_that_are_none_are_refused(tmp_path, caplog):
    first, second = two(tmp_path)
    with pytest.raises(UsageError, match=r"is not a run: it has no results\.json"):
        fused([first, tmp_path], tmp_path / "F")
    double = write_judged(tmp_path / "d", SCORES[0], names(TRUTH), ids=["v000"] * 48)
    with pytest.raises(UsageError, match=r"has 48 rows \(1 different ids\) and scores of 3 classes"):
        fused([first, double], tmp_path / "F")
    broken = write_judged(tmp_path / "n", np.where(np.arange(48)[:, None] == 5, np.nan, SCORES[0]), names(TRUTH))
    with pytest.raises(UsageError, match="a score of 'v005' is NaN"):
        fused([first, broken], tmp_path / "F")
    bare = write_judged(tmp_path / "u", SCORES[0], ["", *names(TRUTH)[1:]])
    with pytest.raises(UsageError, match="1 of 48 items have no label to judge them by"):
        fused([first, bare], tmp_path / "F")
    (second / "model.json").write_text('{"test_groups": ["g"]}')
    with pytest.raises(UsageError, match=r"has 1 test groups, but predictions\.csv has 48 rows"):
        fused([first, second], tmp_path / "F")
    (second / "model.json").unlink()
    assert read_tested(second).groups == [f"v{i:03d}" for i in range(48)]
    assert "does not say the groups of its test items; each counts as its own" in caplog.text


def test_only_fused_runs_are_replaced(tmp_path):
    first, second = two(tmp_path)
    fused([first, second], tmp_path / "F")
    with pytest.raises(UsageError, match="F exists already"):
        fused([first, second], tmp_path / "F")
    assert fused([first, second], tmp_path / "F", weights="1,0", overwrite=True).results["fusion"]["weights"] == [1, 0]
    with pytest.raises(UsageError, match="x is a run, but none of vidfeat fuse"):
        fused([second, tmp_path / "F"], first, overwrite=True)
    with pytest.raises(UsageError, match="F is one of the runs to fuse"):
        fused([second, tmp_path / "F"], tmp_path / "F", overwrite=True)
    (tmp_path / "F" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"F holds 'notes\.txt', which is no part of a run of svm, mkl or fuse"):
        fused([first, second], tmp_path / "F", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["F", "x", "y"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "1,x"}, "--weights is '1,x'; allowed are equal, auto, or numbers of 0 or more"),
        ({"weights": "1,-1"}, "not all of them 0"),
        ({"weights": "0,0"}, "not all of them 0"),
        ({"weights": "1,inf"}, "--weights is '1,inf'"),
        ({"weights": "1,2,3"}, "has 3 numbers for 2 runs; give one of each"),
        ({"validation": ["a", "b"]}, "--validation is for --weights auto"),
        ({"validation": ["a"], "weights": "auto"}, "--validation came 1 times for 2 runs"),
        ({"runs": ["a"]}, "Fusion needs two runs or more; 1 came"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        FuseConfig(**{"runs": ["a", "b"], "output": "F", **options})
