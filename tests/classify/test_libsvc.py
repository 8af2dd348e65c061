import numpy as np
import pytest
from oracles.kernels import centred_codes
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from tolerances import DECISION_VALUES, FLOAT64

from vidfeat.classify import LibSVC
from vidfeat.errors import UsageError
from vidfeat.kernels import linear_gram


def data(n=60, D=15, classes=3, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    X = (0.1 * random.normal(size=(classes, D))[y] + 0.1 * random.normal(size=(n, D)) + 5).astype(np.float32)
    return X, np.array(["walk", "run", "sit", "jump"])[y]


@pytest.mark.parametrize("kernel", ["linear", "precomputed"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("centre", [True, False])
def test_scores_are_those_of_libsvm_class_by_class(kernel, classes, centre):
    X, y = data(classes=classes)
    Z, _ = data(seed=1)
    seen, unseen = (centred_codes(X, A) if centre else A.astype(np.float64) for A in (X, Z))
    given = (X, Z) if kernel == "linear" else (linear_gram(X), linear_gram(Z, X))
    model = LibSVC(C=2.0, kernel=kernel, centre=centre, tol=1e-9).fit(given[0], y)
    scores = model.class_scores(given[1])
    assert model.classes_.tolist() == sorted(set(y)) and scores.shape == (60, classes)
    for c, name in enumerate(model.classes_):
        peer = SVC(kernel="precomputed", C=2.0, tol=1e-9).fit(seen @ seen.T, y == name)
        expected = peer.decision_function(unseen @ seen.T)
        np.testing.assert_allclose(scores[:, c], expected, atol=DECISION_VALUES * max(1, np.abs(expected).max()))
    assert (model.predict(given[1]) == model.classes_[scores.argmax(axis=1)]).all()
    decision = model.decision_function(given[1])
    assert np.array_equal(decision, scores[:, 1] if classes == 2 else scores)


def test_the_linear_model_works_on_codes_as_they_came():
    for classes in (2, 3):
        X, y = data(classes=classes)
        model = LibSVC().fit(X, y)
        W, b = model.linear_model()
        assert W.shape == (classes, 15) and b.shape == (classes,)
        np.testing.assert_allclose(X.astype(np.float64) @ W.T + b, model.class_scores(X), atol=DECISION_VALUES)
        K = LibSVC(kernel="precomputed").fit(linear_gram(X), y).class_scores(linear_gram(X))
        np.testing.assert_allclose(model.class_scores(X), K, atol=DECISION_VALUES)


def test_scale_and_offset_of_codes_do_not_matter():
    X, y = data()
    X = X.astype(np.float64)
    far = 1e-3 * X + 1.0  # what codes of random networks look like: nearly the same for all items
    settings = {"C": 2.0, "tol": 1e-9}
    expected = LibSVC(**settings).fit(X, y).class_scores(X)
    np.testing.assert_allclose(LibSVC(**settings).fit(far, y).class_scores(far), expected, atol=DECISION_VALUES)
    left_alone = LibSVC(centre=False, **settings).fit(far, y).class_scores(far)
    assert expected.std(axis=0).min() > 0.5 and left_alone.std(axis=0).max() < 1e-3


def test_indicator_matrix():
    X, y = data()
    Y = np.column_stack([y == "walk", y != "sit"]).astype(int)
    model = LibSVC().fit(X, Y)
    single = LibSVC(tol=1e-3).fit(X, y == "walk")
    assert model.class_scores(X).shape == model.decision_function(X).shape == (60, 2)
    np.testing.assert_allclose(model.class_scores(X)[:, 0], single.decision_function(X), atol=FLOAT64)
    assert np.array_equal(model.predict(X), (model.class_scores(X) > 0).astype(int))
    assert model.linear_model()[0].shape == (2, 15)
    with pytest.warns(DataConversionWarning):
        one_column = LibSVC().fit(X, Y[:, :1])
    np.testing.assert_allclose(one_column.class_scores(X)[:, 1], model.class_scores(X)[:, 0], atol=FLOAT64)


def test_a_known_gram_matrix_and_threads_change_nothing():
    X, y = data()
    plain = LibSVC(n_jobs=1).fit(X, y)
    for other in (LibSVC(n_jobs=3).fit(X, y, gram=linear_gram(X)), LibSVC(n_jobs=None).fit(X, y)):
        assert np.array_equal(plain.coef_, other.coef_)
        assert np.array_equal(plain.raw_intercept_, other.raw_intercept_)


def test_estimator_rules():
    X, y = data()
    model = LibSVC(C=3.0, kernel="precomputed")
    before = dict(vars(model))
    assert vars(clone(model)) == before
    K = linear_gram(X)
    copy, labels = K.copy(), y.copy()
    assert model.fit(K, y) is model
    assert {name: vars(model)[name] for name in before} == before
    assert np.array_equal(K, copy) and np.array_equal(y, labels)
    # Slicing both axes of a kernel takes the pairwise tag.
    assert cross_val_score(model, K, y, cv=3).mean() == pytest.approx(cross_val_score(LibSVC(C=3.0), X, y, cv=3).mean())


def bad(row=3, value=np.nan):
    X, y = data()
    X[row, 2] = value
    return X, y


@pytest.mark.parametrize(
    ("model", "X", "y", "words"),
    [
        (LibSVC(), *bad(), "1 of 60 items have NaN or inf .*first is item 3.*vidfeat verify"),
        (LibSVC(), *bad(5, -np.inf), "first is item 5"),
        (LibSVC(), data()[0], np.full(60, "run"), "All 60 training items have one class, 'run'"),
        (LibSVC(C=0), *data(), "C=0 is not allowed"),
        (LibSVC(kernel="rbfs"), *data(), r"kernel='rbfs' is unknown\. Allowed: linear, rbf, .*, precomputed"),
        (LibSVC(n_jobs=0), *data(), "n_jobs=0 is not allowed"),
        (LibSVC(kernel="precomputed"), *data(), r"Gram matrix of 60 training items has shape \(60, 15\)"),
        (LibSVC(), data()[0], data()[1][:5], "5 labels came with 60 items"),
        (LibSVC(), data()[0], np.zeros((60, 2)), "Class 0 has no positive training items"),
        (LibSVC(), data()[0], np.ones((60, 2)), "Class 0 has nothing but positive training items"),
        (LibSVC(), data()[0], np.full((60, 2), 3), "indicator matrix"),
        (LibSVC(), np.ones((60, 15)), data()[1], "All 60 training items have the same code"),
    ],
)
def test_refused_input_is_named(model, X, y, words):
    with pytest.raises(UsageError, match=words):
        model.fit(X, y)


def test_refused_after_training():
    X, y = data()
    with pytest.raises(UsageError, match="first is item 3"):
        LibSVC().fit(X, y).predict(bad()[0])
    with pytest.raises(UsageError, match=r"Gram matrix of 60 training items has shape \(3, 3\)"):
        LibSVC().fit(X, y, gram=np.eye(3))
    with pytest.raises(UsageError, match="gram= belongs to kernel='linear'"):
        LibSVC(kernel="precomputed").fit(linear_gram(X), y, gram=linear_gram(X))
    with pytest.raises(UsageError, match="has no weights on codes"):
        LibSVC(kernel="precomputed").fit(linear_gram(X), y).linear_model()
