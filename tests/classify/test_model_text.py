import numpy as np
import pytest
from libsvm import svmutil
from tolerances import FLOAT64

from vidfeat.classify import linear_model_text, parse_linear_model
from vidfeat.errors import UsageError

RANDOM = np.random.default_rng(0)


def load(path, text):
    path.write_text(text)
    model = svmutil.svm_load_model(str(path))
    assert model is not None
    return model


@pytest.mark.parametrize("labels", [(1, -1), (-1, 1), (3, 8)])
def test_libsvm_reads_it_and_predicts_the_same(tmp_path, labels):
    w, b = RANDOM.normal(size=300) * 10.0 ** RANDOM.integers(-8, 8, size=300), 0.1
    w[::7] = 0
    model = load(tmp_path / "class.model", linear_model_text(w, b, labels))
    X = RANDOM.normal(size=(20, 300))
    predicted, _, values = svmutil.svm_predict([], X, model, "-q")
    np.testing.assert_allclose(np.ravel(values), X @ w + b, rtol=FLOAT64)
    assert predicted == [labels[0] if value > 0 else labels[1] for value in X @ w + b]


def test_the_text_gives_the_numbers_back_exactly():
    w, b = RANDOM.normal(size=50), 1 / 3
    again, intercept, labels = parse_linear_model(linear_model_text(w, b, (5, 2)), 50)
    assert np.array_equal(again, w) and intercept == b and labels == (5, 2)


def test_zero_weights(tmp_path):
    text = linear_model_text(np.zeros(3), -0.5)
    model = load(tmp_path / "zero.model", text)
    assert svmutil.svm_predict([], np.ones((1, 3)), model, "-q")[2] == [[-0.5]]
    w, b, _ = parse_linear_model(text, 3)
    assert not w.any() and b == -0.5


def test_a_model_trained_by_libsvm_is_read(tmp_path):
    X, y = RANDOM.normal(size=(30, 5)), np.where(RANDOM.random(30) < 0.5, 1, -1)
    model = svmutil.svm_train(y, X, "-t 0 -q")
    svmutil.svm_save_model(str(tmp_path / "m"), model)
    w, b, labels = parse_linear_model((tmp_path / "m").read_text(), 5)
    values = np.ravel(svmutil.svm_predict([], X, model, "-q")[2])
    np.testing.assert_allclose(X @ w + b, values, atol=1e-5)  # LIBSVM writes support vectors with 8 digits
    assert sorted(labels) == [-1, 1]


GOOD = linear_model_text(np.ones(3), 0.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: linear_model_text(np.array([1, np.nan]), 0.0), "finite weights"),
        (lambda: linear_model_text(np.ones(2), np.inf), "finite intercept"),
        (lambda: linear_model_text(np.ones((2, 2)), 0.0), r"not shape \(2, 2\)"),
        (lambda: linear_model_text(np.ones(2), 0.0, (1, 1)), r"labels=\(1, 1\) are not allowed"),
        (lambda: parse_linear_model("", 3), "no two-class LIBSVM model with a linear kernel"),
        (lambda: parse_linear_model(GOOD.replace("linear", "rbf"), 3), "kernel_type rbf"),
        (lambda: parse_linear_model(GOOD.replace("nr_class 2", "nr_class 3"), 3), "nr_class 3"),
        (lambda: parse_linear_model(GOOD, 2), "has a feature 3, but the codes have 2 dimensions"),
        (lambda: parse_linear_model(GOOD.replace("rho", "rh"), 3), "damaged"),
        (lambda: parse_linear_model(GOOD.replace("2:1", "2:x"), 3), "damaged"),
    ],
)
def test_refused_input_is_named(call, words):
    with pytest.raises(UsageError, match=words):
        call()
