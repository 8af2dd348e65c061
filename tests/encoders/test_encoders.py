import numpy as np
import pytest
from oracles import pyramid as pyramid_oracle
from oracles import rank as rank_oracle
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tolerances import FLOAT32

from vidfeat.encoders import (
    ApproximateRankPool,
    AveragePool,
    HierarchicalRankPool,
    MaxPool,
    RankPool,
    TemporalPyramid,
)
from vidfeat.errors import UsageError

RANDOM = np.random.default_rng(0)
ALL = [
    AveragePool(),
    MaxPool(normalize=False),
    RankPool(),
    RankPool(map="posneg", direction="both"),
    TemporalPyramid(),
    TemporalPyramid(2, pool="max"),
    TemporalPyramid(2, pool=RankPool(map="ssr", direction="reverse"), normalize=False),
    ApproximateRankPool(),
    ApproximateRankPool(map="posneg", direction="both", normalize=False),
    HierarchicalRankPool(window=3, depth=3, map="ssr"),
    TemporalPyramid(2, pool=HierarchicalRankPool(window=2, direction="both")),
]
VECTOR_ONLY = [RankPool(), TemporalPyramid(2, pool="rankpool"), ApproximateRankPool(), HierarchicalRankPool()]


def relu(*shape):
    return np.maximum(RANDOM.normal(size=shape), 0).astype(np.float32)


def unit(x):
    x = np.asarray(x, dtype=np.float64)
    return x / np.linalg.norm(x)


def close(ours, expected):
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, atol=FLOAT32)


def test_average_and_max():
    X = [relu(9, 6), relu(1, 6), relu(40, 6)]
    close(AveragePool(normalize=False).transform(X), [x.mean(0) for x in X])
    close(AveragePool().fit_transform(X), [unit(x.mean(0)) for x in X])
    close(MaxPool().transform(X), [unit(x.max(0)) for x in X])


@pytest.mark.parametrize("encoder", [AveragePool(), MaxPool(), TemporalPyramid(2)])
def test_maps_are_flattened(encoder):
    x = relu(5, 3, 2, 2)
    assert np.array_equal(encoder.transform([x]), encoder.transform([x.reshape(5, 12)]))


@pytest.mark.parametrize("encoder", ALL, ids=str)
def test_ten_crops_are_averaged_first(encoder):
    x = relu(6, 10, 4)
    np.testing.assert_allclose(encoder.transform([x]), encoder.transform([x.mean(axis=1)]), atol=1e-5)
    maps = relu(6, 10, 4, 2, 2)
    close(AveragePool().transform([maps]), AveragePool().transform([maps.mean(axis=1)]))


@pytest.mark.parametrize("kind", ["none", "ssr", "posneg"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "both"])
def test_rank_pool_is_the_optimum_over_prepared_frames(kind, direction):
    x = RANDOM.normal(size=(12, 5)).astype(np.float32)
    x[4:6] = 0
    code = RankPool(map=kind, direction=direction, normalize=False).transform([x])[0].astype(np.float64)
    orders = {"forward": [x], "reverse": [x[::-1]], "both": [x, x[::-1]]}[direction]
    for half, frames in zip(np.split(code, len(orders)), orders, strict=True):
        v = rank_oracle.prepared(frames, kind)
        value = rank_oracle.objective(half, v, 2.0, 0.1)
        assert rank_oracle.newton_decrement(half, v, 2.0, 0.1) <= 1e-9 * value  # the code was rounded to float32
    normalized = RankPool(map=kind, direction=direction).transform([x])[0]
    for half, raw in zip(np.split(normalized, len(orders)), np.split(code, len(orders)), strict=True):
        close(half, unit(raw))


def test_approximate_rank_pool_is_a_sum_over_running_means():
    x = RANDOM.normal(size=(9, 4))
    t = np.arange(1, 10)[:, None]
    means = x.cumsum(axis=0) / t
    close(ApproximateRankPool(normalize=False).transform([x])[0], ((2 * t - 10) * means).sum(axis=0))
    close(ApproximateRankPool(smooth=False, normalize=False).transform([x])[0], ((2 * t - 10) * x).sum(axis=0))
    mapped = np.sign(means) * np.sqrt(np.abs(means))
    close(ApproximateRankPool(map="ssr").transform([x])[0], unit(((2 * t - 10) * mapped).sum(axis=0)))
    both = ApproximateRankPool(direction="both").transform([x])[0]
    close(both[4:], ApproximateRankPool().transform([x[::-1]])[0])


def test_hierarchical_rank_pool_in_both_directions():
    x = RANDOM.normal(size=(30, 6)).cumsum(axis=0)
    both = HierarchicalRankPool(window=5, direction="both").transform([x])[0]
    close(both[:6], HierarchicalRankPool(window=5).transform([x])[0])
    close(both[6:], HierarchicalRankPool(window=5).transform([x[::-1]])[0])


@pytest.mark.parametrize("encoder", [RankPool(direction="both"), TemporalPyramid(3, pool=RankPool(map="ssr"))], ids=str)
def test_a_path_of_values_ends_where_each_value_alone_does(encoder):
    x = RANDOM.normal(size=(30, 12)).cumsum(axis=0)
    codes, errors = encoder.path(x, [0.01, 2.0, 300.0])
    assert codes.dtype == np.float32 and errors.shape == (3,)
    for C, code in zip([0.01, 2.0, 300.0], codes, strict=True):
        pool = clone(encoder.pool if isinstance(encoder, TemporalPyramid) else encoder).set_params(C=C)
        close(code, (TemporalPyramid(3, pool=pool) if isinstance(encoder, TemporalPyramid) else pool).transform([x])[0])
    assert errors[2] < errors[0]


def test_a_path_needs_rank_pooling_and_names_bad_videos():
    with pytest.raises(UsageError, match="pool='avg' has no weight C"):
        TemporalPyramid(2).path(relu(3, 4), [1.0])
    with pytest.raises(UsageError, match="The video cannot be encoded: its features have shape"):
        RankPool().path(relu(4), [1.0])


def test_rank_pool_without_preparation():
    x = RANDOM.normal(size=(8, 5))
    code = RankPool(C=1.0, epsilon=1.0, smooth=False, normalize_frames=False, normalize=False).transform([x])[0]
    value = rank_oracle.objective(code.astype(np.float64), x, 1.0, 1.0)
    assert rank_oracle.newton_decrement(code.astype(np.float64), x, 1.0, 1.0) <= 1e-9 * value


def test_order_matters_to_rank_pooling_only():
    x = relu(20, 8)
    assert np.allclose(AveragePool().transform([x]), AveragePool().transform([x[::-1]]), atol=FLOAT32)
    forward, backward = RankPool().transform([x, x[::-1]])
    assert forward @ backward < 0.9
    assert np.array_equal(RankPool(direction="reverse").transform([x[::-1]])[0], forward)


@pytest.mark.parametrize("T", [1, 2, 3, 30])
@pytest.mark.parametrize(
    ("pool", "plain"),
    [
        ("avg", lambda x: unit(x.mean(0))),
        ("max", lambda x: unit(x.max(0))),
        (AveragePool(normalize=False), lambda x: x.mean(0)),
        (RankPool(direction="both"), lambda x: RankPool(direction="both").transform([x])[0]),
    ],
    ids=str,
)
def test_pyramid_holds_the_code_of_every_node(T, pool, plain):
    x = relu(T, 6) + np.float32(0.1)
    encoder = TemporalPyramid(3, pool=pool, normalize=False).fit([x])
    code = encoder.transform([x])[0]
    expected = [plain(x[frames]) for frames in pyramid_oracle.nodes(T, 3)]
    assert encoder.blocks_.shape == (7, 3) and encoder.blocks_[:, 0].tolist() == list(range(7))
    assert encoder.blocks_[-1, 2] == len(code)
    for node, start, stop in encoder.blocks_:
        close(code[start:stop], expected[node])
    close(TemporalPyramid(3, pool=pool).transform([x])[0], unit(np.concatenate(expected)))


@pytest.mark.parametrize("encoder", ALL, ids=str)
def test_a_code_does_not_depend_on_its_list(encoder):
    X = [relu(T, 7) for T in (3, 18, 33)]
    alone = np.vstack([encoder.transform([x]) for x in X])
    assert np.array_equal(encoder.transform(X), alone)
    assert np.array_equal(encoder.transform(X[::-1])[::-1], alone)


@pytest.mark.parametrize("encoder", ALL, ids=str)
def test_estimator_rules(encoder):
    X = [relu(4, 6), relu(9, 6)]
    copy = clone(encoder)
    assert copy is not encoder and str(copy) == str(encoder)
    assert copy.fit(X) is copy
    before = [x.copy() for x in X]
    codes = make_pipeline(copy, FunctionTransformer(np.negative)).fit_transform(X)
    assert np.array_equal(-codes, encoder.transform(X))
    assert all(np.array_equal(x, old) for x, old in zip(X, before, strict=True))


@pytest.mark.parametrize("encoder", ALL, ids=str)
def test_zero_video_gives_a_zero_code(encoder):
    assert not encoder.transform([np.zeros((5, 4), np.float32)]).any()


@pytest.mark.parametrize("encoder", ALL, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, ">f4"])
def test_any_number_type_and_layout(encoder, dtype):
    x = np.round(relu(6, 4) * 8)
    expected = encoder.transform([x])
    for given in (x.astype(dtype), np.asfortranarray(x.astype(dtype)), x.astype(dtype)[::-1][::-1]):
        given.flags.writeable = False
        np.testing.assert_allclose(encoder.transform([given]), expected, atol=1e-5)


@pytest.mark.parametrize("encoder", VECTOR_ONLY, ids=str)
def test_temporal_methods_on_maps_name_the_way_out(encoder):
    with pytest.raises(UsageError, match=r"maps of shape \[\d, 3, 2, 2\], and .*rank pooling takes .*--map-pool avg"):
        encoder.transform([relu(5, 3, 2, 2)])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([], "the list is empty"),
        ([relu(0, 4)], r"^The video cannot be encoded: its features have shape \(0, 4\).*Leave empty videos out"),
        ([relu(3, 4), relu(4)], r"^Video 1 cannot be encoded: its features have shape \(4,\); allowed are vectors"),
        (relu(3, 4), r"^Video 0 cannot be encoded.*list of one array"),
        ([relu(3, 9, 4)], r"ten crops of them \[T, 10, …\]"),
        ([relu(3, 4), relu(3, 5)], "Video 1 gives a code of .* numbers, video 0 one of"),
        ([relu(3, 4), np.full((3, 4), np.nan)], "^Video 1 cannot be encoded: .*NaN or infinite values"),
        ([np.array([["a", "b"]])], "dtype <U1; allowed are real numbers"),
        ([np.ones((2, 2), dtype=complex)], "dtype complex128"),
    ],
)
@pytest.mark.parametrize("encoder", ALL, ids=str)
def test_refused_input_is_named(encoder, X, words):
    with pytest.raises(UsageError, match=words):
        encoder.transform(X)


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (RankPool(C=-1), "C=-1 is not allowed"),
        (RankPool(epsilon=-1), "epsilon=-1 is not allowed"),
        (RankPool(map="cube"), r"map='cube' is unknown\. Allowed: none, ssr, posneg"),
        (RankPool(direction="up"), r"direction='up' is unknown\. Allowed: forward, reverse, both"),
        (HierarchicalRankPool(window=1), "window=1 is not allowed"),
        (ApproximateRankPool(map="cube"), "map='cube' is unknown"),
        (TemporalPyramid(0), "levels=0 is not allowed"),
        (TemporalPyramid(2, pool="sum"), r"pool='sum' is unknown\. Allowed: avg, max, rankpool"),
        (TemporalPyramid(2, pool=RankPool(C=0)), "C=0 is not allowed"),
    ],
)
def test_refused_parameters_are_named(encoder, words):
    with pytest.raises(UsageError, match=words):
        encoder.fit([relu(3, 4)])
    with pytest.raises(UsageError, match=words):
        encoder.transform([relu(3, 4)])


def test_node_normalisation_makes_nodes_weigh_the_same():
    x = relu(16, 6) * np.arange(1, 17, dtype=np.float32)[:, None]
    encoder = TemporalPyramid(2).fit([x])
    norms = [np.linalg.norm(encoder.transform([x])[0][start:stop]) for _, start, stop in encoder.blocks_]
    assert norms == pytest.approx([3**-0.5] * 3, rel=FLOAT32)
