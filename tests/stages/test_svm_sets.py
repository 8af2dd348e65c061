"""The set of codes is chosen by cross-validation on the training part, together with the SVM's C."""

import json

import numpy as np
import pytest

from vidfeat.classify.crossval import choose_C
from vidfeat.classify.svm import LibSVC
from vidfeat.errors import UsageError
from vidfeat.kernels import linear_gram
from vidfeat.stages import svm, trials
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.stages.sets import natural_order, rank_pooling_C
from vidfeat.store import CodesWriter, open_codes

CLASSES = ("left", "right", "still")
GROUPS = 8
LABELS = np.tile(np.arange(3), GROUPS)
GROUP_OF = np.repeat(np.arange(GROUPS), 3)


def of_group(group):
    return np.equal(GROUP_OF, group)


def separable(labels=LABELS, noise=0.2, seed=0):
    random = np.random.Generator(np.random.PCG64(seed))
    return np.eye(8)[labels] + noise * random.standard_normal((len(labels), 8))


def noise_only(seed):
    return np.random.Generator(np.random.PCG64(seed)).standard_normal((len(LABELS), 8))


def write_sets(path, sets, labels=LABELS, order_error=None):
    """Codes of three classes in eight groups, the first half of them for training; sets -> ``[24, D]``."""
    provenance = {"features": {}, "features_fingerprint": "f", "feature": "x", "encode": {}, "extraction": None}
    with CodesWriter(path, provenance) as codes:
        for row, (group, label) in enumerate(zip(GROUP_OF, labels, strict=True)):
            code = {name: rows[row] for name, rows in sets.items()}
            split = {"split1": "train" if group < GROUPS // 2 else "test"}
            errors = {name: values[row] for name, values in (order_error or {}).items()}
            codes.append(f"v{row:02d}", code, (CLASSES[label],), f"g{group}", split, order_error=errors)
    return path


def train(path, run, **options):
    return svm.train(SvmTrainConfig(codes=path, output=run, overwrite=True, **options)).as_dict()


def read(run, name):
    return json.loads((run / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """One good set between two of noise; in lexical order C=20 would come before C=3."""
    sets = {"C=0.5": noise_only(1), "C=3": separable(), "C=20": noise_only(2)}
    errors = {
        name: np.where(np.arange(24) == 5, np.nan, share) for name, share in zip(sets, (0.5, 0.25, 0), strict=True)
    }
    return write_sets(tmp_path_factory.mktemp("codes") / "codes.h5", sets, order_error=errors)


def test_names_of_sets():
    assert [rank_pooling_C(name) for name in ("C=0.001", "C=1e+06", "default", "C=x", "C=-1", "C=inf", "C=")] == [
        0.001, 1e6, None, None, None, None, None,
    ]  # fmt: skip
    assert natural_order(["b", "C=20", "C=1e-3", "C=3", "a"]) == ["C=1e-3", "C=3", "C=20", "a", "b"]


@pytest.mark.parametrize("options", [{}, {"C": "1"}, {"leave_one_group_out": True, "C": "1"}])
def test_the_set_that_can_be_learned_is_chosen(three, tmp_path, options):
    results = train(three, tmp_path / "R", **options)
    assert (results["set"], results["accuracy"]) == ("C=3", 1.0)
    scores = {name: entry["score"] for name, entry in results["cross_validation"]["sets"].items()}
    assert list(scores) == ["C=0.5", "C=3", "C=20"]
    assert scores["C=3"] == 1.0 > max(scores["C=0.5"], scores["C=20"])
    meta = read(tmp_path / "R", "model.json")
    assert (meta["set"], meta["cross_validation"]) == ("C=3", results["cross_validation"])
    assert results == read(tmp_path / "R", "results.json")
    if "leave_one_group_out" in options:
        assert results["cross_validation"]["chosen_in_folds"] == {"C=0.5": 0, "C=3": GROUPS, "C=20": 0}
    else:
        assert "chosen_in_folds" not in results["cross_validation"]


def test_the_run_is_that_of_the_chosen_set_alone(three, tmp_path):
    train(three, tmp_path / "auto")
    train(three, tmp_path / "named", set="C=3")
    for name in ("predictions.csv", *(f"class-{number:04d}.libsvm" for number in range(3))):
        assert (tmp_path / "auto" / name).read_bytes() == (tmp_path / "named" / name).read_bytes()
    assert not (tmp_path / "named" / "sensitivity.json").exists()
    assert "sets" not in read(tmp_path / "named", "model.json")["cross_validation"]


def test_scores_per_set_are_those_of_an_oracle(three, tmp_path):
    train(three, tmp_path / "R")
    found = read(tmp_path / "R", "sensitivity.json")
    assert (found["measure"], found["split"], found["chosen"]) == ("accuracy", "split1", "C=3")
    assert [(row["set"], row["C"]) for row in found["sets"]] == [("C=0.5", 0.5), ("C=3", 3.0), ("C=20", 20.0)]
    is_test = GROUP_OF >= GROUPS // 2
    with open_codes(three) as stored:
        for row, order_error in zip(found["sets"], (0.5, 0.25, 0.0), strict=True):
            codes = stored.codes(row["set"]).astype(np.float64)
            chosen = choose_C(linear_gram(codes[~is_test]), LABELS[~is_test], GROUP_OF[~is_test])
            model = LibSVC(C=chosen.C).fit(codes[~is_test], LABELS[~is_test])
            assert (row["svm_C"], row["cv_accuracy"]) == (chosen.C, max(chosen.scores))
            assert row["test_accuracy"] == np.mean(model.predict(codes[is_test]) == LABELS[is_test])
            assert row["interval95"][0] <= row["test_accuracy"] <= row["interval95"][1]
            assert row["order_error_mean"] == order_error
    intervals = svm.evaluate_run(tmp_path / "R", SvmEvalConfig(runs=[])).intervals
    assert found["sets"][1]["interval95"] == list(intervals["accuracy"])


def test_equal_scores_go_to_the_smallest_values(tmp_path):
    sets = {name: separable(noise=0.01) for name in ("C=100", "C=20", "C=3", "default")}
    for options in ({}, {"leave_one_group_out": True}):
        results = train(write_sets(tmp_path / "c.h5", sets), tmp_path / "R", **options)
        facts = results["cross_validation"]
        assert len({(entry["C"], entry["score"]) for entry in facts["sets"].values()}) == 1
        assert results["set"] == "C=3"
        assert results["C"] == facts["grid"][facts["scores"].index(max(facts["scores"]))]
    assert facts["chosen_in_folds"]["C=3"] == GROUPS


def test_labels_of_test_items_do_not_change_the_choice(tmp_path):
    # The test items alone would prefer the other set.
    rows = np.arange(24) >= 12
    good, bad = separable(), noise_only(1)
    sets = {"C=1": np.where(rows[:, None], bad, good), "C=2": np.where(rows[:, None], good, bad)}
    flipped = np.where(rows, 2 - LABELS, LABELS)
    chosen = []
    for labels in (LABELS, flipped):
        chosen.append(train(write_sets(tmp_path / "c.h5", sets, labels), tmp_path / "R"))
    assert [found["set"] for found in chosen] == ["C=1", "C=1"]
    assert chosen[0]["cross_validation"] == chosen[1]["cross_validation"]
    assert chosen[0]["accuracy"] != chosen[1]["accuracy"]
    rows = read(tmp_path / "R", "sensitivity.json")["sets"]
    assert rows[0]["cv_accuracy"] == 1.0


def test_each_fold_chooses_without_the_group_it_leaves_out(tmp_path, monkeypatch):
    """The scores of a held-out group are the same whatever its labels, and come from the set its fold chose."""
    sets = {"C=1": separable(noise=1.2, seed=3), "C=2": separable(noise=1.2, seed=4)}
    picked = []
    choose = trials.choose
    monkeypatch.setattr(trials, "choose", lambda *given: picked.append(choose(*given)) or picked[-1])
    path = write_sets(tmp_path / "c.h5", sets)
    results = train(path, tmp_path / "R", leave_one_group_out=True, C="1")
    _, scores, folds = picked[-1]
    counts = results["cross_validation"]["chosen_in_folds"]
    assert counts == {name: folds.count(name) for name in sets}
    assert min(counts.values()) > 0  # else the test would say nothing
    with open_codes(path) as stored:
        for group in range(GROUPS):
            test = of_group(group)
            validations = {}
            for name in sets:
                codes = stored.codes(name).astype(np.float64)
                gram = linear_gram(codes[~test])
                validations[name] = choose_C(gram, LABELS[~test], GROUP_OF[~test], [1.0])
            best = max(sets, key=lambda name: (validations[name].score, name == "C=1"))
            assert folds[group] == best
            codes = stored.codes(best).astype(np.float64)
            model = LibSVC(C=1.0).fit(codes[~test], LABELS[~test])
            np.testing.assert_allclose(scores[test], model.class_scores(codes[test]), atol=1e-6)
    for group in (0, 5):
        changed = np.where(of_group(group), (LABELS + 1) % 3, LABELS)
        train(write_sets(tmp_path / "c.h5", sets, changed), tmp_path / "R", leave_one_group_out=True, C="1")
        assert picked[-1][2][group] == folds[group]
        np.testing.assert_array_equal(picked[-1][1][of_group(group)], scores[of_group(group)])


@pytest.mark.parametrize("options", [{}, {"C": "1"}, {"leave_one_group_out": True}])
def test_a_file_with_one_set_is_as_before(tmp_path, options):
    path = write_sets(tmp_path / "c.h5", {"default": separable(noise=0.8)})
    auto = train(path, tmp_path / "auto", **options)
    train(path, tmp_path / "named", set="default", **options)
    assert sorted(file.name for file in (tmp_path / "auto").iterdir()) == [
        *(f"class-{number:04d}.libsvm" for number in range(3)), "model.json", "predictions.csv", "results.json",
    ]  # fmt: skip
    for file in (tmp_path / "auto").iterdir():
        if file.name != "results.json":  # which holds the config
            assert file.read_bytes() == (tmp_path / "named" / file.name).read_bytes()
    facts = auto["cross_validation"]
    assert facts is None if "C" in options else set(facts) == {"grid", "scores", "measure", "folds"}
    assert auto["set"] == "default"


def test_predict_uses_the_chosen_set(three, tmp_path):
    train(three, tmp_path / "R")
    svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=three, output=tmp_path / "p.csv"))
    ours = (tmp_path / "p.csv").read_text().splitlines()[13:]
    assert [line.split(",", 2)[2] for line in ours] == [
        line.split(",", 2)[2] for line in (tmp_path / "R" / "predictions.csv").read_text().splitlines()[1:]
    ]


def test_several_labels_are_judged_by_map(tmp_path):
    path = tmp_path / "c.h5"
    with CodesWriter(path, {}) as codes:
        for row in range(24):
            labels = (CLASSES[LABELS[row]], "even" if GROUP_OF[row] % 2 == 0 else "odd")
            code = {"C=1": noise_only(1)[row], "C=2": separable()[row]}
            codes.append(f"v{row:02d}", code, labels, f"g{GROUP_OF[row]}", {"s": "train" if row < 12 else "test"})
    results = train(path, tmp_path / "R")
    found = read(tmp_path / "R", "sensitivity.json")
    assert (results["set"], found["measure"]) == ("C=2", "map")
    assert found["sets"][1]["test_map"] == results["map"]
    assert found["sets"][1]["cv_map"] == results["cross_validation"]["sets"]["C=2"]["score"]
    assert (found["sets"][1]["interval95"], found["sets"][1]["order_error_mean"]) == (None, None)


def test_a_manifest_keeps_items_and_sets_together(three, tmp_path):
    keep = [row for row in range(24) if row % 5]
    lines = [f"v{row:02d},{CLASSES[LABELS[row]]},g{GROUP_OF[row]},{'train' if row < 12 else 'test'}" for row in keep]
    (tmp_path / "m.csv").write_text("id,label,group,split9\n" + "\n".join(lines) + "\n")
    results = train(three, tmp_path / "R", manifest=tmp_path / "m.csv", split="split9")
    assert (results["set"], results["n_train"] + results["n_test"]) == ("C=3", len(keep))
    train(three, tmp_path / "N", manifest=tmp_path / "m.csv", split="split9", set="C=3")
    assert (tmp_path / "R" / "predictions.csv").read_bytes() == (tmp_path / "N" / "predictions.csv").read_bytes()


def test_wrong_sets_are_refused_with_the_list(three, tmp_path):
    with pytest.raises(UsageError, match=r"has no set 'C=2'; it has C=0\.5, C=3, C=20\. Choose one with --set"):
        train(three, tmp_path / "R", set="C=2")
    with CodesWriter(tmp_path / "c.h5", {}):
        pass
    with pytest.raises(UsageError, match="has no codes"):
        train(tmp_path / "c.h5", tmp_path / "R")
