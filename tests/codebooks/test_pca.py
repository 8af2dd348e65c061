import numpy as np
import pytest
from sklearn import decomposition
from tolerances import FLOAT32, FLOAT64, SAME_PROJECTION

from vidfeat.codebooks import pca
from vidfeat.errors import UsageError

SHAPES = ((200, 12), (30, 100), (25, 25), (26, 25), (25, 26), (40, 3))
MEMORY = 4000  # bytes: a few rows at a time


def items(N, D, seed=0, offset=3.0):
    """Items whose directions differ in variance, float64."""
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(D, D)))[0]
    return (random.normal(size=(N, D)) * np.geomspace(1.0, 0.05, D)) @ rotation + offset


class Stored:
    """Rows by slices and nothing else, as an HDF5 dataset has them; keeps count of them."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most = self.total = 0

    def __getitem__(self, place):
        rows = self.array[place]
        self.most, self.total = max(self.most, len(rows)), self.total + len(rows)
        return rows


@pytest.mark.parametrize("memory", [MEMORY, 1 << 30])
@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_sklearn_agrees(shape, whiten, memory):
    x = items(*shape)
    n = min(shape[0] - 1, shape[1], 10)
    found = pca(x, n, whiten=whiten, epsilon=0.0, memory=memory)
    theirs = decomposition.PCA(n, whiten=whiten, svd_solver="full").fit(x)
    np.testing.assert_allclose(found.variances, theirs.explained_variance_, rtol=FLOAT64)
    np.testing.assert_allclose(found.components, theirs.components_, atol=FLOAT32)
    np.testing.assert_allclose(found.mean, theirs.mean_, rtol=FLOAT32)
    np.testing.assert_allclose(found.project(x), theirs.transform(x), atol=SAME_PROJECTION * max(1, x.std()))
    assert {value.dtype for value in (found.mean, found.components, found.project(x))} == {np.dtype(np.float32)}
    assert found.regularisation == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_components_are_orthonormal_and_point_one_way(shape):
    x = items(*shape)
    n = min(shape[0] - 1, shape[1])
    found = pca(x, n)
    components = found.components.astype(np.float64)
    np.testing.assert_allclose(components @ components.T, np.eye(n), atol=10 * FLOAT32)
    assert (components[np.arange(n), np.abs(components).argmax(axis=1)] > 0).all()
    assert (np.diff(found.variances) <= 0).all() and found.variances[-1] > 0
    np.testing.assert_allclose(pca(x[::-1], n).components, found.components, atol=10 * FLOAT32)


@pytest.mark.parametrize("shape", [(200, 12), (30, 100)])
def test_whitening_gives_every_direction_the_same_spread(shape):
    x = items(*shape)
    code = pca(x, 8, epsilon=0.0).project(x).astype(np.float64)
    np.testing.assert_allclose(np.cov(code.T), np.eye(8), atol=SAME_PROJECTION)
    found = pca(x, 8, epsilon=0.01)
    assert found.regularisation == pytest.approx(0.01 * found.variances[0])
    expected = np.diag(found.variances / (found.variances + found.regularisation))
    np.testing.assert_allclose(np.cov(found.project(x).T.astype(np.float64)), expected, atol=SAME_PROJECTION)
    plain = pca(x, 8, whiten=False, epsilon=0.01)
    assert plain.regularisation == 0.0
    np.testing.assert_allclose(
        np.cov(plain.project(x).T.astype(np.float64)), np.diag(plain.variances), atol=SAME_PROJECTION
    )


@pytest.mark.parametrize(("shape", "readings"), [((300, 20), 1), ((60, 500), None)])
def test_rows_are_read_a_few_at_a_time(shape, readings):
    x = items(*shape).astype(np.float32)
    source = Stored(x)
    found = pca(source, 5, memory=20_000)
    assert source.most * x[0].nbytes <= 10_000
    if readings:
        assert source.total <= (readings + 1) * shape[0]  # and the first block twice
    np.testing.assert_allclose(found.components, pca(x, 5).components, atol=FLOAT32)
    source.most = 0
    np.testing.assert_allclose(found.project(source), found.project(x))


@pytest.mark.parametrize("shape", [(300, 20), (30, 90)])
@pytest.mark.parametrize("kind", ["float16", "float32", "memmap", "int"])
def test_every_kind_of_items(tmp_path, shape, kind):
    x = np.round(items(*shape) * 8)
    given = x.astype({"memmap": "float32"}.get(kind, kind))
    if kind == "memmap":
        np.save(tmp_path / "x.npy", given)
        given = np.load(tmp_path / "x.npy", mmap_mode="r")
    found, expected = pca(given, 4, memory=MEMORY), pca(x, 4)
    np.testing.assert_allclose(found.components, expected.components, atol=FLOAT32)
    np.testing.assert_allclose(found.project(given), expected.project(x), atol=SAME_PROJECTION)


def test_a_large_mean_costs_nothing():
    for shape in ((200, 12), (30, 100)):
        x = items(*shape, offset=0.0)
        moved = pca(x + 1e5, 6)
        np.testing.assert_allclose(moved.variances, pca(x, 6).variances, rtol=FLOAT32)


def test_directions_without_variance():
    x = items(100, 6)
    x[:, 4:] = 1.0
    found = pca(x, 6)
    assert (found.variances[4:] < FLOAT64).all()
    np.testing.assert_allclose(found.project(x)[:, 4:], 0.0, atol=SAME_PROJECTION)
    with pytest.raises(UsageError, match="6 components were asked for, but the items vary in only 4 directions"):
        pca(x, 6, epsilon=0.0)
    repeated = np.repeat(items(5, 40), 4, axis=0)
    with pytest.raises(UsageError, match="8 components were asked for, but the items vary in only 4 directions"):
        pca(repeated, 8)
    assert pca(repeated, 4).variances[-1] > 0
    with pytest.raises(UsageError, match="vary in only 0 directions"):
        pca(np.full((10, 20), 0.1), 1)


def with_nan(shape):
    x = items(*shape)
    x[17, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((items(100, 300), 128), "128 components were asked for, but 100 items of 300 dimensions have at most 99"),
        ((items(100, 30), 31), "31 components were asked for, but 100 items of 30 dimensions have at most 30"),
        ((items(1, 5), 1), "1 components were asked for, but 1 items of 5 dimensions have at most 0"),
        ((items(10, 5), 0), "n_components=0 is not allowed: it is the number of components"),
        ((items(10, 5)[0], 1), r"Items have shape \[5\]; allowed is \[items, dimensions\]"),
        (([[1.0, 2.0]], 1), r"Items have shape \[\]; allowed"),
        ((with_nan((30, 4)), 2), "Row 17 of the items holds NaN or infinite values"),
        ((with_nan((30, 50)), 2), "Row 17 of the items holds NaN or infinite values"),
    ],
)
def test_errors(arguments, words):
    with pytest.raises(UsageError, match=words):
        pca(*arguments, memory=MEMORY)


@pytest.mark.parametrize("epsilon", [-1.0, np.nan])
def test_epsilon_out_of_range(epsilon):
    with pytest.raises(UsageError, match=f"epsilon={epsilon} is not allowed"):
        pca(items(10, 5), 2, epsilon=epsilon)


def test_errors_of_project():
    found = pca(items(30, 4), 2)
    with pytest.raises(UsageError, match="Items have 5 dimensions, the components 4"):
        found.project(items(3, 5))
    with pytest.raises(UsageError, match="Row 17 of the items holds NaN"):
        found.project(with_nan((30, 4)))
