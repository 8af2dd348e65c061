"""``svm train`` with kernels, several codes files, one-vs-one, LIBLINEAR and probabilities."""

import csv

import numpy as np
import pytest
from tolerances import DECISION_VALUES, LIBSVM_DEFAULT_TOL

from vidfeat.classify.bases import Bases
from vidfeat.classify.crossval import choose_C
from vidfeat.classify.platt import Calibration
from vidfeat.classify.svm import LibSVC
from vidfeat.errors import StorageError, UsageError
from vidfeat.kernels import Centring, kernel_matrix
from vidfeat.stages import fitting, svm
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.store import CodesWriter, open_codes
from vidfeat.store.machines import read_machines

CLASSES = ("left", "right", "still")
Y = np.tile(np.repeat(np.arange(3), 2), 8)
GROUP = np.repeat(np.arange(8), 6)
TRAIN = GROUP < 5


def write(path, D, seed, *, scale=1.0, name="f", items=None, labels=None):
    random = np.random.default_rng(seed)
    X = scale * np.abs(np.eye(3, D)[Y] + 0.5 * random.standard_normal((48, D)))
    provenance = {"features": {}, "features_fingerprint": name, "feature": "x", "encode": {}, "extraction": None}
    with CodesWriter(path, provenance) as codes:
        for row in range(48) if items is None else items:
            own = (CLASSES[Y[row]],) if labels is None else labels(row)
            split = {"split1": "train" if TRAIN[row] else "test"}
            codes.append(f"v{row:02d}", {"default": X[row]}, own, f"g{GROUP[row]}", split)
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Codes of two features of the same items, the second a thousand times as large."""
    folder = tmp_path_factory.mktemp("codes")
    return [write(folder / "a.h5", 9, 0, name="a"), write(folder / "b.h5", 14, 1, scale=1000.0, name="b")]


def codes_of(path):
    with open_codes(path) as stored:
        return stored.codes().astype(np.float64)


def table(path):
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def values(rows, kind, ids):
    return np.array([[float(rows[i][f"{kind}:{name}"]) for name in CLASSES] for i in ids])


def train(codes, run, **options):
    return svm.train(SvmTrainConfig(codes=codes, output=run, overwrite=True, **options)).as_dict()


@pytest.mark.parametrize("multiclass", ["ovr", "ovo"])
@pytest.mark.parametrize("kernel", ["rbf", "chi2", "chi2-additive", "hellinger", "intersection", "linear"])
def test_scores_of_a_run_are_those_of_the_estimator(two, tmp_path, kernel, multiclass):
    results = train(two[0], tmp_path / "R", kernel=kernel, multiclass=multiclass, C="3", class_weights="balanced")
    X = codes_of(two[0])
    exact = LibSVC(C=3.0, kernel=kernel, multiclass=multiclass, class_weights="balanced").fit(X[TRAIN], Y[TRAIN])
    ids, _, scores, _ = svm.runs.read_predictions(tmp_path / "R")
    np.testing.assert_allclose(scores, exact.class_scores(X[~TRAIN]), atol=DECISION_VALUES)
    assert results["gamma"] == pytest.approx(exact.gamma_)
    assert results["accuracy"] == np.mean(exact.predict(X[~TRAIN]) == Y[~TRAIN]) > 0.6
    assert (results["kernel"], results["multiclass"], results["solver"]) == (kernel, multiclass, "libsvm")
    svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=two[0], output=tmp_path / "p.csv"))
    again = values(table(tmp_path / "p.csv"), "score", ids)
    np.testing.assert_allclose(again, scores, atol=DECISION_VALUES)
    assert svm.evaluate(SvmEvalConfig(runs=[tmp_path / "R"], bootstrap=20)).as_dict()["accuracy"] == results["accuracy"]
    assert (tmp_path / "R" / "model.h5").exists() == (kernel != "linear")


def test_the_model_file_holds_support_vectors_alone(two, tmp_path):
    train(two[0], tmp_path / "R", kernel="rbf", C="100")
    found = read_machines(tmp_path / "R" / "model.h5")
    assert 3 < len(found.ids) < 30 and set(found.ids) <= {f"v{row:02d}" for row in np.flatnonzero(TRAIN)}
    assert found.dual.shape == (3, len(found.ids)) and (found.dual != 0).any(axis=0).all()
    rows = [int(item_id[1:]) for item_id in found.ids]
    assert np.array_equal(found.codes[0], codes_of(two[0])[rows])
    # What the file says is enough for anybody: f(x) = Σ dual κ(x, x_i) + intercept.
    K = kernel_matrix("rbf", codes_of(two[0])[~TRAIN], found.codes[0], found.facts["gammas"][0])
    _, _, scores, _ = svm.runs.read_predictions(tmp_path / "R")
    np.testing.assert_allclose(K @ found.dual.T + found.intercepts, scores, atol=DECISION_VALUES)
    content = bytearray((tmp_path / "R" / "model.h5").read_bytes())
    place = content.find(found.dual.tobytes()[:16])
    content[place] ^= 1
    (tmp_path / "R" / "model.h5").write_bytes(content)
    with pytest.raises(StorageError, match=r"model\.h5"):
        svm.runs.read_run(tmp_path / "R")
    (tmp_path / "R" / "model.h5").write_bytes(two[0].read_bytes())
    with pytest.raises(UsageError, match="holds no kernel machines that this vidfeat reads"):
        svm.runs.read_run(tmp_path / "R")


@pytest.mark.parametrize("kernel", ["linear", "chi2"])
def test_several_codes_are_a_sum_of_kernels_of_equal_weight(two, tmp_path, kernel):
    results = train(two, tmp_path / "R", kernel=kernel, C="1")
    K = np.zeros((48, TRAIN.sum()))
    for path in two:
        X = codes_of(path)
        gamma = None
        if kernel == "chi2":
            base = -np.log(kernel_matrix(kernel, X[TRAIN], X[TRAIN], 1e-9)) / 1e-9
            gamma = 1 / (base.sum() / (30 * 29))
        part = kernel_matrix(kernel, X, X[TRAIN], gamma)
        K += part / Centring.fit(part[TRAIN]).scale
    exact = LibSVC(kernel="precomputed").fit(K[TRAIN], Y[TRAIN])
    _, _, scores, _ = svm.runs.read_predictions(tmp_path / "R")
    np.testing.assert_allclose(scores, exact.class_scores(K[~TRAIN]), atol=1e-5)  # γ through a logarithm
    assert results["set"] == "default + default"
    meta = svm.runs.read_json(tmp_path / "R", "model.json")
    assert [source["dimension"] for source in meta["sources"]] == [9, 14] and meta["dimension"] == 23
    svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=two, output=tmp_path / "p.csv"))
    ids = [f"v{row}" for row in range(30, 48)]
    np.testing.assert_allclose(values(table(tmp_path / "p.csv"), "score", ids), scores, atol=DECISION_VALUES)
    with pytest.raises(
        UsageError, match=r"1 codes file came; the run was trained on 2 \(.*\): give as many, in the same order"
    ):
        svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=two[0], output=tmp_path / "p.csv"))
    with pytest.raises(UsageError, match="features_fingerprint: b there, a in the run"):
        svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=two[::-1], output=tmp_path / "p.csv"))


def test_codes_files_with_other_items_are_refused_with_the_ids(two, tmp_path):
    other = write(tmp_path / "other.h5", 5, 2, items=[row for row in range(48) if row not in (3, 40)])
    words = r"not the same: 2 only in .*a\.h5 \('v03', 'v40'\)\. .*or give --manifest"
    with pytest.raises(UsageError, match=words):
        train([two[0], other], tmp_path / "R")
    with pytest.raises(UsageError, match=r"2 only in .*a\.h5 \('v03', 'v40'\)"):
        train([other, two[0]], tmp_path / "R")
    lines = [f"v{row:02d},{CLASSES[Y[row]]},g{GROUP[row]},{'train' if TRAIN[row] else 'test'}" for row in range(4, 40)]
    (tmp_path / "m.csv").write_text("id,label,group,split1\n" + "\n".join(lines) + "\n")
    full = write(tmp_path / "full.h5", 5, 2)
    train([two[0], full], tmp_path / "F", C="1", manifest=tmp_path / "m.csv")
    train([full, two[0]], tmp_path / "S", C="1", manifest=tmp_path / "m.csv")
    for pair, same in (([two[0], other], "F"), ([other, two[0]], "S")):
        assert train(pair, tmp_path / "R", C="1", manifest=tmp_path / "m.csv")["n_train"] == 26
        assert (tmp_path / "R" / "predictions.csv").read_bytes() == (tmp_path / same / "predictions.csv").read_bytes()
    assert not list(tmp_path.glob(".R*"))


def test_sets_of_several_codes(two, tmp_path):
    with CodesWriter(tmp_path / "sets.h5", {}) as codes:
        for row in range(48):
            both = {"C=1": np.eye(3)[Y[row]], "C=2": np.ones(4) * row}
            codes.append(f"v{row:02d}", both, (CLASSES[Y[row]],), f"g{GROUP[row]}")
    given = [two[0], tmp_path / "sets.h5"]
    with pytest.raises(UsageError, match=r"sets\.h5 has the sets C=1, C=2\. With several CODES none is chosen"):
        train(given, tmp_path / "R")
    with pytest.raises(UsageError, match="names 3 sets for 2 CODES"):
        train(given, tmp_path / "R", set="a,b,c")
    with pytest.raises(UsageError, match="has no set 'C=1'; it has default"):
        train(given, tmp_path / "R", set="C=1")
    results = train(given, tmp_path / "R", set="default,C=1", C="1")
    assert (results["set"], results["accuracy"]) == ("default + C=1", 1.0)


def test_gamma_and_c_are_chosen_by_groups(two, tmp_path):
    results = train(two[0], tmp_path / "R", kernel="rbf", gamma="auto")
    X = codes_of(two[0])[TRAIN]
    found = choose_C(Bases.of_codes("rbf", [X]), Y[TRAIN], GROUP[TRAIN], gammas=(0.25, 0.5, 1.0, 2.0, 4.0))
    facts = results["cross_validation"]
    assert (facts["gamma"], facts["gammas"], results["C"]) == (found.gamma, [0.25, 0.5, 1, 2, 4], found.C)
    assert np.array_equal(facts["scores_by_gamma"], found.scores_by_gamma)
    distances = ((X[:, None] - X) ** 2).sum(axis=-1)
    assert results["gamma"] == pytest.approx(found.gamma * 30 * 29 / distances.sum())
    assert train(two[0], tmp_path / "R", kernel="rbf", gamma="0.125", C="1")["gamma"] == 0.125


@pytest.mark.parametrize("solver", ["libsvm", "liblinear"])
def test_probabilities_are_fitted_to_held_out_scores(two, tmp_path, solver):
    train(two[0], tmp_path / "R", C="1", probabilities=True, solver=solver)
    X, true = codes_of(two[0]), Y[:, None] == np.arange(3)
    ids, _, scores, classes = svm.runs.read_predictions(tmp_path / "R")
    assert classes == list(CLASSES) and scores.shape == (18, 3)
    stored = svm.runs.read_json(tmp_path / "R", "model.json")["calibration"]
    if solver == "libsvm":
        held_out = np.empty((30, 3))
        for group in range(5):
            test = GROUP[TRAIN] == group
            model = LibSVC().fit(X[TRAIN][~test], Y[TRAIN][~test])
            held_out[test] = model.class_scores(X[TRAIN][test])
        own = Calibration.fit(held_out, true[TRAIN], True)
        assert stored["A"] == pytest.approx(own.slopes, rel=1e-3) and stored["B"] == pytest.approx(
            own.offsets, abs=1e-3
        )
    probabilities = values(table(tmp_path / "R" / "predictions.csv"), "probability", ids)
    np.testing.assert_allclose(probabilities, Calibration.from_dict(stored).probabilities(scores), atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    svm.predict(SvmPredictConfig(run=tmp_path / "R", codes=two[0], output=tmp_path / "p.csv"))
    again = values(table(tmp_path / "p.csv"), "probability", ids)
    np.testing.assert_allclose(again, probabilities, atol=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_leaving_one_group_out_with_probabilities(two, tmp_path, kernel):
    train(two, tmp_path / "R", C="1", kernel=kernel, leave_one_group_out=True, probabilities=True)
    rows = table(tmp_path / "R" / "predictions.csv")
    ids = sorted(rows)
    scores, found = (values(rows, kind, ids) for kind in ("score", "probability"))
    bases = Bases.of_codes(kernel, [codes_of(path) for path in two])
    for group in (0, 6):
        train_rows, test_rows = np.flatnonzero(group != GROUP), np.flatnonzero(group == GROUP)
        K, blend = bases.train(train_rows)
        model = LibSVC(kernel="precomputed").fit(K, Y[train_rows])
        expected = model.class_scores(bases.cross(test_rows, train_rows, blend))
        np.testing.assert_allclose(scores[test_rows], expected, atol=DECISION_VALUES)
        inner = choose_C(bases.part(train_rows), Y[train_rows], GROUP[train_rows], [1.0])
        own = Calibration.fit(inner.held_out, Y[train_rows, None] == np.arange(3), True)
        np.testing.assert_allclose(found[test_rows], own.probabilities(expected), atol=1e-6)


def test_liblinear_takes_over_beyond_its_number_of_items(two, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fitting, "LIBLINEAR_FROM", 29)
    with caplog.at_level("INFO", logger="vidfeat"):
        results = train(two, tmp_path / "R", C="1")
    assert results["solver"] == "liblinear" and "30 training items: linear SVMs are trained by LIBLINEAR" in caplog.text
    assert results["accuracy"] > 0.8
    assert svm.runs.read_json(tmp_path / "R", "model.json")["centring"] is None
    asked = train(two, tmp_path / "S", C="1", solver="libsvm")
    assert asked["solver"] == "libsvm"
    results = train(two[0], tmp_path / "R", C="1", kernel="rbf")
    assert results["solver"] == "libsvm" and "LIBSVM with a Gram matrix takes about" in caplog.text
    chosen = train(two[0], tmp_path / "R", leave_one_group_out=True, C="1")
    assert chosen["solver"] == "liblinear" and chosen["accuracy"] > 0.6
    train(two[0], tmp_path / "R", C="1e6")
    assert "LIBLINEAR stopped after 5000 passes before its tolerance for" in caplog.text


@pytest.mark.parametrize("kernel", ["linear", "rbf", "intersection"])
def test_a_gram_matrix_in_float32_changes_little(two, tmp_path, kernel, monkeypatch):
    exact = train(two, tmp_path / "R", C="1", kernel=kernel)
    _, _, scores, _ = svm.runs.read_predictions(tmp_path / "R")
    monkeypatch.setattr(fitting, "FLOAT32_FROM", 20)
    seen = []
    real = Bases.of_codes
    monkeypatch.setattr(Bases, "of_codes", lambda *a, **k: seen.append(k["dtype"]) or real(*a, **k))
    single = train(two, tmp_path / "S", C="1", kernel=kernel)
    _, _, found, _ = svm.runs.read_predictions(tmp_path / "S")
    assert seen == [np.float32] and exact["accuracy"] == single["accuracy"]
    np.testing.assert_allclose(found, scores, atol=LIBSVM_DEFAULT_TOL)
    train(two, tmp_path / "S", C="1", kernel=kernel, gram_precision="float64")
    assert seen[-1] == np.float64


def test_edge_cases_of_splits_and_labels(two, tmp_path, caplog):
    def labels(row):
        return (CLASSES[Y[row]],) if Y[row] < 2 or TRAIN[row] else ("left",)

    path = write(tmp_path / "c.h5", 9, 0, labels=labels)  # no test item is "still"
    results = train(path, tmp_path / "R", kernel="rbf", C="1")
    assert results["per_class"]["still"] == {"n": 0, "accuracy": None, "ap": None}
    path = write(tmp_path / "c.h5", 9, 0, labels=lambda row: ("left",))
    with pytest.raises(UsageError, match="All training items have the class 'left'"):
        train(path, tmp_path / "R", kernel="rbf")
    path = write(tmp_path / "c.h5", 9, 0, labels=lambda row: (CLASSES[Y[row]],) if TRAIN[row] else ("new",))
    results = train(path, tmp_path / "R", kernel="chi2", C="1")
    assert results["accuracy"] == 0 and "no training item has count as errors: new" in caplog.text
    with pytest.raises(UsageError, match="--multiclass ovo needs exactly one label for every training item"):
        several = write(tmp_path / "s.h5", 9, 0, labels=lambda row: (CLASSES[Y[row]], f"g{GROUP[row] % 2}"))
        train(several, tmp_path / "R", multiclass="ovo")
    results = train(several, tmp_path / "R", kernel="rbf", C="1", probabilities=True)
    assert results["classes"] == ["g0", "g1", *CLASSES]
    overlap = "\n".join(
        f"v{row:02d},{CLASSES[Y[row]]},g{row % 2},{'train' if row % 3 else 'test'}" for row in range(48)
    )
    (tmp_path / "m.csv").write_text("id,label,group,split1\n" + overlap + "\n")
    with pytest.raises(UsageError, match="Training and test part share 2 groups: 'g0', 'g1'"):
        train(two, tmp_path / "R", manifest=tmp_path / "m.csv")


def test_codes_that_are_not_numbers_or_negative_are_refused(two, tmp_path, monkeypatch):
    path = write(tmp_path / "n.h5", 9, 0, scale=-1.0)
    with pytest.raises(UsageError, match="Negative values in data passed to kernel 'chi2': item 0 has -"):
        train(path, tmp_path / "R", kernel="chi2")
    from vidfeat.store.codes import CodesFile

    real = CodesFile.codes

    def damaged(self, name="default"):
        found = real(self, name)
        if self.path.name == "b.h5":
            found[7, 2] = np.nan
        return found

    monkeypatch.setattr(CodesFile, "codes", damaged)  # a codes file cannot be written with NaN by this package
    with pytest.raises(UsageError, match=r"b\.h5: the code of 'v07' has NaN or infinite values"):
        train(two, tmp_path / "R")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gamma": "2"}, "--gamma 2 has no effect with --kernel linear, only with rbf and chi2"),
        ({"gamma": "x", "kernel": "rbf"}, "--gamma is 'x'; it must be a number above 0, or mean or auto"),
        ({"gamma": "-1", "kernel": "rbf"}, "--gamma is '-1'"),
        ({"probabilities": True, "multiclass": "ovo"}, "does not go with --multiclass ovo"),
        (
            {"solver": "liblinear", "kernel": "rbf"},
            "liblinear knows linear one-vs-rest machines only, not --kernel rbf",
        ),
        ({"solver": "liblinear", "multiclass": "ovo"}, "not --kernel linear --multiclass ovo"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        SvmTrainConfig(codes=[tmp_path], output=tmp_path / "R", **options)


def test_the_device_is_checked_before_anything_is_computed(two, tmp_path):
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        train(two, tmp_path / "R", device="gpu")
    assert fitting.device_of("auto", 100) == "cpu" == fitting.device_of("cpu", 10**6)
