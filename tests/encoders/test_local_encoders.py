"""The contract of all encoders of local features, and each against plain loops and VLFeat."""

import numpy as np
import pytest
import torch
from oracles import local_codes, vlfeat
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tolerances import FLOAT64, LOCAL_CODES, VLFEAT

from vidfeat.crew import torch_threads
from vidfeat.encoders import VLAD, BagOfWords, FisherVector, TemporalPyramid, fisher, local, vlad
from vidfeat.errors import UsageError

WIDTH = 6
KINDS = {
    "vlad": (VLAD, {"n_words": 5}),
    "vlad-ssr": (VLAD, {"n_words": 5, "norm": "ssr"}),
    "vlad-none": (VLAD, {"n_words": 5, "norm": "none", "normalize": False}),
    "vlad-pca": (VLAD, {"n_words": 5, "n_components": 4}),
    "vlad-raw": (VLAD, {"n_words": 5, "local_norm": False}),
    "bow": (BagOfWords, {"n_words": 5}),
    "bow-none": (BagOfWords, {"n_words": 5, "norm": "none"}),
    "bow-soft": (BagOfWords, {"n_words": 5, "assignment": "soft"}),
    "fv": (FisherVector, {"n_words": 3, "n_components": None}),
    "fv-none": (FisherVector, {"n_words": 3, "n_components": None, "norm": "none"}),
    "fv-pca": (FisherVector, {"n_words": 3, "n_components": 4}),
}
random = np.random.default_rng(0)


def maps(frames=7, side=(3, 4), seed=1, kind=np.float16):
    return np.random.default_rng(seed).normal(size=(frames, WIDTH, *side)).astype(kind)


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    cls, options = KINDS[request.param]
    return cls(**options, seed=3).fit([maps(20, seed=seed) for seed in range(4)])


def plain_rows(encoder, frames):
    """Local features [n, d] as the codebook takes them, by plain loops."""
    frames = np.asarray(frames, np.float64)
    rows = frames if frames.ndim == 2 else np.concatenate([frame.reshape(frame.shape[0], -1).T for frame in frames])
    if encoder.local_norm:
        rows = np.array([local_codes.unit(row) for row in rows])
    if encoder.projection_ is not None:
        rows = (rows - encoder.offset_) @ encoder.projection_.astype(np.float64).T
    return rows


def plain_code(encoder, rows):
    if isinstance(encoder, VLAD):
        code = local_codes.vlad(rows, encoder.centers_.astype(np.float64), encoder.norm)
    elif isinstance(encoder, BagOfWords):
        sigma = encoder.sigma_ if encoder.assignment == "soft" else None
        code = local_codes.bag_of_words(rows, encoder.centers_.astype(np.float64), encoder.norm, sigma)
    else:
        mixture = (np.asarray(part, np.float64) for part in (encoder.weights_, encoder.means_, encoder.variances_))
        code = local_codes.fisher(rows, *mixture, encoder.norm)
    return local_codes.unit(code) if encoder.normalize else code


def close(code, expected):
    return np.abs(code - expected).max() <= LOCAL_CODES * max(1.0, np.abs(expected).max())


def test_plain_loops_give_the_same_code(fitted):
    video = maps()
    (code,) = fitted.transform([video])
    expected = plain_code(fitted, plain_rows(fitted, video))
    assert code.dtype == np.float32 and code.shape == (fitted.code_length,)
    assert close(code, expected)
    assert np.abs(expected).max() > 0.01


def test_vectors_are_local_features_of_their_frames(fitted):
    video = maps(9)[:, :, 0, 0]
    assert close(fitted.transform([video])[0], plain_code(fitted, plain_rows(fitted, video)))


def test_ten_crops_are_as_many_maps(fitted):
    crops = maps(20).reshape(2, 10, WIDTH, 3, 4)
    assert close(fitted.transform([crops])[0], fitted.transform([crops.reshape(20, WIDTH, 3, 4)])[0])


def test_pieces_give_the_code_of_the_whole(fitted):
    video, sums = maps(11), fitted.start()
    for piece in np.split(video, [1, 2, 7]):
        fitted.add(sums, piece)
    assert close(fitted.finish(sums), fitted.transform([video])[0])


def test_blocks_do_not_show(fitted, monkeypatch):
    video = maps(11)
    whole = fitted.transform([video])[0]
    monkeypatch.setitem(local._BLOCK, "cpu", 2 * WIDTH * 12)
    assert close(fitted.transform([video])[0], whole)


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_codes_of_frames_are_pooled(fitted, pool):
    video = maps()
    encoder = clone(fitted).set_params(per="frame", pool=pool).with_learned(fitted.learned())
    codes = np.stack([fitted.transform([frame[None]])[0] for frame in video]).astype(np.float64)
    expected = codes.mean(0) if pool == "avg" else codes.max(0)
    assert close(encoder.transform([video])[0], local_codes.unit(expected) if fitted.normalize else expected)


def test_order_of_the_frames_does_not_matter(fitted):
    video = maps()
    assert close(fitted.transform([video[::-1]])[0], fitted.transform([video])[0])


def test_what_was_learnt_can_be_handed_on(fitted):
    other = clone(fitted).with_learned(fitted.learned())
    assert np.array_equal(other.transform([maps()]), fitted.transform([maps()]))
    with pytest.raises(UsageError, match="The codebook has no"):
        clone(fitted).with_learned({"offset": np.zeros(3)})


def test_the_same_seed_learns_the_same(fitted):
    again = clone(fitted).fit([maps(20, seed=seed) for seed in range(4)])
    for name, array in fitted.learned().items():
        assert np.array_equal(array, again.learned()[name]), name


def test_a_pyramid_of_local_codes(fitted):
    video = maps(8)
    pyramid = TemporalPyramid(2, pool=fitted, normalize=False).fit([video])
    parts = [fitted.transform([part])[0] for part in (video, video[:4], video[4:])]
    assert close(pyramid.transform([video])[0], np.concatenate(parts))


def test_a_zero_local_feature_stays_zero():
    encoder = VLAD(n_words=2)
    encoder.centers_ = np.array([[1, 0], [0, 1]], np.float32)
    video = np.array([[0, 0], [0, 2]], np.float32)
    assert np.allclose(encoder.transform([video])[0], [-1, 0, 0, 0])  # the zero goes to the first word: 0 − c


def test_an_empty_word_stays_zero():
    encoder = VLAD(n_words=2)
    encoder.centers_ = np.array([[1, 0], [0, 1]], np.float32)
    (code,) = encoder.transform([np.array([[0.8, 0.6]], np.float32)])
    assert np.array_equal(code[2:], [0, 0]) and np.isclose(np.linalg.norm(code), 1)


@pytest.mark.parametrize("norm", ["intra", "ssr", "none"])
def test_features_that_are_all_equal_have_no_residual(norm):
    """What rounding leaves of a sum over 50,000 features must not be scaled up to a code of length 1."""
    column = np.random.default_rng(0).normal(size=64).astype(np.float32)
    video = np.broadcast_to(column[None, :, None, None], (4, 64, 112, 112))
    encoder = VLAD(n_words=1, norm=norm, samples=500).fit([video[:1]])
    assert (encoder.transform([video]) == 0).all()


def shifted(encoder_class, **options):
    """An encoder whose words are far from zero, compared with their distances, and features around them."""
    rng = np.random.default_rng(2)
    encoder = encoder_class(n_words=20, local_norm=False, **options)
    encoder.centers_ = (1000 + rng.normal(size=(20, 32))).astype(np.float32)
    return encoder, (1000 + rng.normal(size=(3000, 32))).astype(np.float32)


def test_words_far_from_zero_keep_their_residuals():
    encoder, rows = shifted(VLAD)
    assert close(encoder.transform([rows])[0], plain_code(encoder, rows.astype(np.float64)))


@pytest.mark.parametrize("assignment", ["hard", "soft"])
def test_words_far_from_zero_keep_their_features(assignment):
    encoder, rows = shifted(BagOfWords, assignment=assignment)
    encoder.sigma_ = np.float64(2.0)
    assert close(encoder.transform([rows])[0], plain_code(encoder, rows.astype(np.float64)))


@pytest.mark.parametrize("size", [1e-42, 1e-25, 1e25])
def test_local_features_of_any_size_are_normalised(size):
    encoder = VLAD(n_words=2).fit([np.random.default_rng(1).random((50, 8))])
    rows = (np.random.default_rng(0).random((40, 8)) * size).astype(np.float32)
    assert close(encoder.transform([rows])[0], plain_code(encoder, plain_rows(encoder, rows)))


def test_sums_on_a_gpu_are_those_of_the_compiled_ones():
    rng = np.random.default_rng(4)
    rows = torch.from_numpy(rng.normal(size=(500, 8)).astype(np.float32))
    words = torch.from_numpy(rng.integers(0, 6, 500))
    for mine, theirs in zip(vlad._sums_compiled(words, rows, 7), vlad._sums_torch(words, rows, 7), strict=True):
        assert mine.dtype == theirs.dtype and torch.allclose(mine, theirs, rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (np.full((2, WIDTH, 2, 2), np.nan, np.float32), "Video 0 cannot be encoded: it holds NaN or infinite"),
        (np.zeros((2, WIDTH + 1), np.float32), f"{WIDTH + 1} numbers, those of the codebook {WIDTH}"),
        (np.zeros((0, WIDTH), np.float32), "there is nothing in it"),
        (np.zeros((2, 3, WIDTH), np.float32), "allowed are vectors"),
        (np.zeros((2, WIDTH), complex), "dtype complex128"),
        (torch.zeros(0, WIDTH), "there is nothing in it"),
        (torch.zeros(WIDTH), "allowed are vectors"),
        (torch.zeros(2, WIDTH, dtype=torch.complex64), "dtype torch.complex64"),
    ],
    ids=["nan", "width", "empty", "shape", "complex", "empty tensor", "tensor of another shape", "complex tensor"],
)
def test_bad_videos(fitted, video, words):
    with pytest.raises(UsageError, match=words.replace("[", r"\[")):
        fitted.transform([video, maps()])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_words": 0}, "n_words=0; it must be a whole number, 1 or more"),
        ({"norm": "l3"}, "norm='l3' is unknown. Allowed: "),
        ({"per": "crop"}, "per='crop' is unknown. Allowed: item, frame"),
        ({"pool": "sum"}, "pool='sum' is unknown. Allowed: avg, max"),
        ({"samples": 0}, "samples=0; it must be"),
    ],
)
@pytest.mark.parametrize("cls", [VLAD, BagOfWords, FisherVector])
def test_bad_parameters(cls, options, words):
    with pytest.raises(UsageError) as error:
        cls(**options).fit([maps()])
    assert words in str(error.value)


@pytest.mark.parametrize("cls", [VLAD, BagOfWords, FisherVector])
def test_videos_of_several_features_teach_nothing(cls):
    with pytest.raises(
        UsageError, match=f"Local features of video 1 have {WIDTH - 1} numbers, those of video 0 {WIDTH}"
    ):
        cls().fit([maps(), maps()[:, 1:]])
    with pytest.raises(UsageError, match="Video 1 cannot be encoded: its features have dtype bool"):
        cls().fit([maps(), maps() > 0])


@pytest.mark.parametrize("cls", [VLAD, BagOfWords, FisherVector])
def test_without_a_codebook(cls):
    with pytest.raises(NotFittedError, match="has no codebook: fit it first"):
        cls().transform([maps()])


def narrow():
    """A fitted Fisher vector one of whose Gaussians is a thousandth as wide as its distance from the others."""
    rng = np.random.default_rng(7)
    encoder = FisherVector(n_words=3, local_norm=False, n_components=None)
    encoder.weights_ = np.array([0.5, 0.3, 0.2])
    encoder.means_ = rng.normal(size=(3, 8))
    encoder.variances_ = np.stack([np.full(8, 0.5), np.full(8, 1e-7), np.full(8, 0.2)])
    rows = encoder.means_[rng.choice(3, 500)] + rng.normal(size=(500, 8)) * 3e-4
    return encoder, rows.astype(np.float32)


def test_narrow_gaussians_keep_their_digits():
    encoder, rows = narrow()
    assert close(encoder.transform([rows])[0], plain_code(encoder, rows))


@pytest.mark.parametrize("cls", [VLAD, BagOfWords, FisherVector])
def test_codes_are_the_same_on_any_number_of_threads(cls, monkeypatch):
    monkeypatch.setitem(local._BLOCK, "cpu", 2 * WIDTH * 12)
    encoder = cls(n_words=3, n_components=None).fit([maps(20)] if cls is not FisherVector else [maps(40)])
    codes = []
    for threads in (1, 2, 3):
        with torch_threads(threads):
            codes.append(encoder.transform([maps(33)])[0])
    assert np.array_equal(codes[0], codes[1]) and np.array_equal(codes[0], codes[2])


def test_what_a_gpu_does_gives_the_same_sums():
    encoder, rows = narrow()
    rows = torch.from_numpy(rows).view(5, 100, 8)
    mine = encoder._statistics(rows, encoder._codebook(torch.device("cpu")))
    theirs = fisher._sums_by_products(rows, *encoder._mixture("cpu"), encoder._middle())
    assert torch.allclose(mine, theirs, rtol=1e-6, atol=1e-5)


needs_vlfeat = pytest.mark.skipif(vlfeat.library() is None, reason="needs VLFeat: apt-get install libvlfeat1")


@needs_vlfeat
@pytest.mark.parametrize(
    ("norm", "flags"),
    [
        ("intra", vlfeat.NORMALIZE_COMPONENTS),
        ("ssr", vlfeat.SQUARE_ROOT),
        ("none", 0),
    ],
)
def test_vlad_is_that_of_vlfeat(norm, flags):
    rows = np.random.default_rng(5).normal(size=(3000, 32)).astype(np.float32)
    encoder = VLAD(n_words=20, norm=norm, local_norm=False)
    encoder.centers_ = rows[:20]
    expected = vlfeat.vlad(vlfeat.library(), rows, rows[:20], flags)
    assert np.abs(encoder.transform([rows])[0] - expected).max() <= VLFEAT


@needs_vlfeat
@pytest.mark.parametrize(("norm", "flags"), [("ssr", vlfeat.FISHER_SQUARE_ROOT), ("none", 0)])
def test_fisher_vectors_are_those_of_vlfeat(norm, flags):
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(3000, 16)).astype(np.float32)
    encoder = FisherVector(n_words=8, norm=norm, local_norm=False, n_components=None)
    encoder.weights_ = np.float32(rng.dirichlet(np.ones(8) * 5))
    encoder.means_ = rng.normal(size=(8, 16)).astype(np.float32)
    encoder.variances_ = rng.uniform(0.5, 2, size=(8, 16)).astype(np.float32)
    mixture = (encoder.weights_, encoder.means_, encoder.variances_)
    expected = vlfeat.fisher(vlfeat.library(), rows, *mixture, flags | vlfeat.FISHER_NORMALIZED)
    assert np.abs(encoder.transform([rows])[0] - expected).max() <= VLFEAT
