"""The function ``tvl1``: what it takes and gives back, with OpenCV's backend, and what it refuses."""

import sys

import cv2
import numpy as np
import pytest
import torch
from tolerances import KNOWN_MOTION, RUBBERWHALE

from vidfeat.errors import UsageError
from vidfeat.flow import TVL1Parameters, cv, read_flo, tvl1, tvl1_flow
from vidfeat.metrics import endpoint_error

FAST = {"scales": 2, "warps": 2, "outer_iterations": 1}


def waves(height=48, width=56, dx=0.0, dy=0.0, count=None):
    """uint8 grey pictures of waves moved by (dx, dy) pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = x - dx, y - dy
    picture = 128 + 50 * np.sin(0.31 * x + 0.12 * y) + 50 * np.cos(0.17 * x - 0.29 * y)
    picture = np.rint(picture).astype(np.uint8)
    return picture if count is None else np.stack([np.roll(picture, 7 * k, 1) for k in range(count)])


def flow_of(prev, next, **options):
    return tvl1(prev, next, **{"backend": "opencv", "threads": 1, **options})


def test_the_field_is_opencvs():
    prev, next = waves(), waves(dx=1.5, dy=-0.5)
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(prev, next, None)
    flow = flow_of(prev, next)
    assert flow.shape == (2, 48, 56) and flow.dtype == np.float32
    np.testing.assert_array_equal(flow, expected.transpose(2, 0, 1))
    inside = flow[:, 8:-8, 8:-8]
    assert np.abs(inside - np.array([1.5, -0.5])[:, None, None]).mean() < KNOWN_MOTION


def test_every_parameter_reaches_opencv():
    prev, next = waves(), waves(dx=3, dy=1)
    changes = {
        "tau": 0.1, "lambda_": 0.05, "theta": 0.6, "scales": 1, "scale_step": 0.6, "warps": 1, "epsilon": 0.2,
        "inner_iterations": 3, "outer_iterations": 1, "median_filter": 1,
    }  # fmt: skip
    assert set(changes) == set(TVL1Parameters.__dataclass_fields__)
    plain = flow_of(prev, next)
    for name, value in changes.items():
        assert not np.array_equal(flow_of(prev, next, **{name: value}), plain), name


def test_arrays_and_tensors_of_all_types_give_the_same():
    prev, next = waves(count=3), waves(dx=1, count=3)
    expected = flow_of(prev, next, **FAST)
    assert expected.shape == (3, 2, 48, 56)
    np.testing.assert_array_equal(flow_of(prev[1], next[1], **FAST), expected[1])
    tensors = torch.from_numpy(prev), torch.from_numpy(next)
    found = flow_of(*tensors, **FAST)
    assert isinstance(found, torch.Tensor) and found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)
    # Other strides, and memory that may not be written to.
    prev.setflags(write=False)
    np.testing.assert_array_equal(flow_of(prev[:, ::-1], next[:, ::-1], **FAST)[0].shape, expected[0].shape)
    np.testing.assert_array_equal(flow_of(np.asfortranarray(prev), next, **FAST), expected)
    for kind in (np.float32, np.float64, ">f4"):
        np.testing.assert_array_equal(flow_of((prev / 255).astype(kind), (next / 255).astype(kind), **FAST), expected)
    floats = [tensor.double().requires_grad_() / 255 for tensor in tensors]
    np.testing.assert_array_equal(flow_of(*floats, **FAST).numpy(), expected)
    half = flow_of(*((tensor / 255).bfloat16() for tensor in tensors), **FAST)
    assert half.dtype == torch.float32 and torch.isfinite(half).all()


def test_floats_between_the_levels_are_kept():
    prev, next = (waves() / 255).astype(np.float32) ** 1.1, (waves(dx=1) / 255).astype(np.float32) ** 1.1
    expected = cv2.optflow.DualTVL1OpticalFlow_create().calc(prev, next, None).transpose(2, 0, 1)
    assert np.abs(flow_of(prev, next) - expected).mean() < KNOWN_MOTION


def test_info_tells_what_was_done():
    flow, info = flow_of(waves(), waves(), return_info=True, warps=2)
    assert (info.backend, info.device, info.iterations) == ("opencv", "cpu", None)
    assert info.parameters == TVL1Parameters(warps=2)
    assert np.abs(flow).max() == 0  # nothing moves


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (5, 90), (1, 1)])
def test_small_and_odd_sizes(size):
    assert np.isfinite(flow_of(waves(*size), waves(*size, dx=0.5), **FAST)).all()


def test_opencvs_threads_are_set_and_put_back():
    before = cv2.getNumThreads()
    with cv.cv_threads(3):
        with cv.cv_threads(1):
            assert cv2.getNumThreads() == 1
        with cv.cv_threads(None):
            pass
        with pytest.raises(KeyError), cv.cv_threads(2):
            raise KeyError
    assert cv2.getNumThreads() == before
    flow_of(waves(), waves(), **FAST)
    assert cv2.getNumThreads() == before


def test_rubberwhale(real_flow):
    images = [cv2.imread(str(real_flow / f"rubberwhale_frame1{i}.png"), cv2.IMREAD_GRAYSCALE) for i in (0, 1)]
    truth = read_flo(real_flow / "rubberwhale_flow10.flo")
    assert endpoint_error(flow_of(*images, threads=2), truth) < RUBBERWHALE["tvl1"]


A = np.zeros((20, 24), np.uint8)
F = np.zeros((3, 20, 24), np.float32)


def with_value(value, pair=1):
    array = F.copy()
    array[pair, 3, 4] = value
    return array


@pytest.mark.parametrize(
    ("prev", "next", "options", "words"),
    [
        (
            [[1]],
            A,
            {},
            r"prev is a list; allowed are two arrays or tensors \[H, W\] or \[N, H, W\] of one size",
        ),
        (A, torch.zeros(20, 24), {}, r"one is a NumPy array, the other a tensor; give both as the same kind"),
        (
            A,
            A[:, :20],
            {},
            r"prev is \[20, 24\] uint8 and next \[20, 20\] uint8: they differ in shape.*Resize",
        ),
        (F[:2], F, {}, r"prev is \[2, 20, 24\] float32 and next \[3, 20, 24\] float32: they differ in shape"),
        (A, A.astype(np.float32), {}, r"they differ in type"),
        (A.astype(np.int32), A.astype(np.int32), {}, r"prev is \[20, 24\] int32 .*16-bit images divided by 65535 are"),
        (A.astype(bool), A.astype(bool), {}, r"\[20, 24\] bool .*allowed are two arrays"),
        (torch.zeros(20, 24).int(), torch.zeros(20, 24).int(), {}, r"prev is \[20, 24\] int32"),
        (A[0], A[0], {}, r"prev is \[24\] uint8 .*allowed are two arrays"),
        (A[:0], A[:0], {}, r"\[0, 24\] .*there is no pixel in that"),
        (F[:0], F[:0], {}, r"\[0, 20, 24\] .*there is no pixel in that"),
        (np.zeros((20, 24, 1), np.uint8),) * 2 + ({}, r"\[20, 24, 1\] .*looks like \[H, W, 1\].*Give image\[..., 0\]"),
        (np.zeros((20, 24, 3), np.uint8),) * 2 + ({}, r"\[20, 24, 3\] .*looks like colour.*Convert the images to grey"),
        (np.zeros((2, 20, 24, 3), np.uint8),) * 2 + ({}, r"looks like colour"),
        (with_value(np.nan), F, {}, r"prev of pair 1 holds NaN or infinite values \(1 of 3 pairs do\)"),
        (F, with_value(-np.inf, 2), {}, r"next of pair 2 holds NaN or infinite values"),
        (F, torch.from_numpy(with_value(np.nan, 0)), {}, r"one is a NumPy array"),
        (
            with_value(1.6),
            F,
            {},
            r"prev of pair 1 holds floats from 0 to 1.6; floats must lie in 0…1, .*above 1.5",
        ),
        (F, with_value(-1), {}, r"next of pair 1 holds floats from -1 to 0; .*Give levels 0…255 as uint8, or divide"),
        (A, A, {"backend": "cuda"}, r"unknown TV-L1 backend 'cuda'; allowed are numba, triton, opencv, or None"),
        (
            A,
            A,
            {"backend": "triton"},
            r"'triton' computes on cuda, not on cpu; for that use numba or opencv",
        ),
        (A, A, {"device": "gpu"}, r"unknown device 'gpu'; allowed are cpu, cuda and cuda:N"),
        (A, A, {"threads": 0}, r"threads is 0; it must be a whole number, 1 or more, or None to leave it open"),
        (A, A, {"lambda": 1}, r"unknown TV-L1 parameter lambda"),
    ],
)
def test_what_is_wrong_is_said(prev, next, options, words):
    with pytest.raises(UsageError, match=words):
        flow_of(prev, next, **options)


def test_tensors_are_checked_as_arrays_are():
    good = torch.from_numpy(F)
    for bad, words in ((np.nan, "next of pair 1 holds NaN"), (2, "next of pair 1 holds floats from 0 to 2")):
        with pytest.raises(UsageError, match=words):
            flow_of(good, torch.from_numpy(with_value(bad)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_no_cpu():
    with pytest.raises(UsageError, match=r"device 'cuda:1' was asked for, but torch .* sees no CUDA GPU here"):
        tvl1(A, A, device="cuda:1")


def test_pairs_as_tensors_for_a_gpu():
    """What is handed to a GPU's backend equals what a CPU's gets, wherever it comes from."""
    from vidfeat.flow.pairs import grey_levels, grey_tensors

    device = torch.device("cpu")
    prev, next = waves(count=2), waves(dx=1, count=2)
    for made in (lambda a: a, lambda a: (a / 255).astype(">f4"), lambda a: (a / 255).astype(np.float16)):
        expected = grey_levels(made(prev), made(next))
        found = grey_tensors(made(prev), made(next), device)
        from_tensors = grey_tensors(*(torch.from_numpy(made(a).astype("=f4" if made(a).dtype.kind == "f" else "u1"))
                                      for a in (prev, next)), device)  # fmt: skip
        for a, b, c in zip(expected, found, from_tensors, strict=True):
            assert b.dtype == torch.float32 and b.is_contiguous()
            np.testing.assert_array_equal(b.numpy(), a)
            np.testing.assert_array_equal(c.numpy(), a)
    with pytest.raises(UsageError, match="prev of pair 1 holds NaN"):
        grey_tensors(with_value(np.nan), F, device)


def test_a_backend_that_is_not_installed_is_said(monkeypatch):
    def without_numba(module):
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr(tvl1_flow, "import_module", without_numba)
    with pytest.raises(UsageError, match=r"'numba' cannot be loaded \(No module named 'numba'\); install numba"):
        tvl1(A, A)


def test_a_backend_gets_grey_levels_and_its_iterations_are_told(monkeypatch):
    class Fake:
        @staticmethod
        def flow_fields(prev, next, parameters, threads=None):
            assert prev.dtype == next.dtype == np.float32 and prev.shape == next.shape == (3, 48, 56)
            assert prev.flags.c_contiguous and prev.max() > 2 and parameters == TVL1Parameters(warps=3) and threads == 2
            return np.stack([prev, next], axis=1), np.array([5, 6, 7], np.int32)

    monkeypatch.setattr(tvl1_flow, "import_module", lambda module: Fake if module.endswith("tvl1_numba") else None)
    prev, next = waves(count=3), waves(dx=1, count=3)
    flow, info = tvl1(prev, next, return_info=True, threads=2, warps=3)
    np.testing.assert_array_equal(flow, np.stack([prev, next], axis=1))
    assert info.backend == "numba" and info.iterations.dtype == np.int64 and info.iterations.tolist() == [5, 6, 7]


@pytest.mark.parametrize("found", [None, object()])
def test_opencv_without_its_contributed_modules_is_said(monkeypatch, found):
    monkeypatch.setattr(sys.modules["cv2"], "optflow", found)
    with pytest.raises(UsageError, match=r"no cv2.optflow.*pip install .* opencv-contrib-python-headless"):
        flow_of(A, A)
