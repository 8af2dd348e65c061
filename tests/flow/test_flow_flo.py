"""The strict reader and writer of .flo files, and the package's names."""

import struct
from pathlib import Path

import numpy as np
import pytest

import vidfeat.flow
from vidfeat.errors import UsageError
from vidfeat.flow import flo_bytes, read_flo
from vidfeat.metrics import known_flow


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3), (31, 17)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", np.float64])
def test_round_trip(tmp_path, size, dtype):
    flow = np.random.default_rng(2).normal(0, 5, (2, *size)).astype(np.float32).astype(dtype)
    path = tmp_path / "a.flo"
    path.write_bytes(flo_bytes(flow[:, ::-1]))
    back = read_flo(path)
    assert back.dtype == np.float32 and back.flags.c_contiguous and back.flags.writeable
    np.testing.assert_array_equal(back, flow[:, ::-1])


def test_the_bytes_by_hand(tmp_path):
    flow = np.array([[[1, 2, 3]], [[-1, -2, 1.7e9]]], np.float32)
    data = flo_bytes(flow)
    assert data == b"PIEH" + struct.pack("<ii6f", 3, 1, 1, -1, 2, -2, 3, 1.7e9)
    (tmp_path / "a.flo").write_bytes(data)
    assert known_flow(read_flo(str(tmp_path / "a.flo"))).tolist() == [[True, True, False]]


def test_rubberwhale_reads_and_writes_back(real_flow):
    path = real_flow / "rubberwhale_flow10.flo"
    flow = read_flo(path)
    assert flow.shape == (2, 388, 584) and flo_bytes(flow) == path.read_bytes()
    known = known_flow(flow)
    assert 0.9 < known.mean() < 1 and np.abs(flow[:, known]).max() < 5


GOOD = flo_bytes(np.zeros((2, 3, 4), np.float32))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "has 0 bytes; the header of a .flo file alone has 12"),
        (GOOD[:11], "has 11 bytes; the header"),
        (b"P6 3 4 255 pixels", r"is no .flo file: it begins with b'P6 3', not with b'PIEH' \(202021.25\)"),
        (GOOD[3::-1] + GOOD[4:], "b'HEIP', which is that of a big-endian machine"),
        (GOOD[:-1], "is cut off: 4x3 pixels take 108 bytes, the file has 107"),
        (GOOD[:12], "is cut off: 4x3 pixels take 108 bytes, the file has 12"),
        (GOOD + b"\n", "has bytes behind its end: 4x3 pixels take 108 bytes, the file has 109"),
        (GOOD[:4] + struct.pack("<ii", 0, 3) + GOOD[12:], "claims 0x3 pixels; 1 to 99999 in each direction"),
        (GOOD[:4] + struct.pack("<ii", 4, -3) + GOOD[12:], "claims 4x-3 pixels"),
        (GOOD[:4] + struct.pack("<ii", 100000, 3) + GOOD[12:], "claims 100000x3 pixels"),
        # A header alone must not make the reader allocate 80 GB.
        (GOOD[:4] + struct.pack("<ii", 99999, 99999) + GOOD[12:], "is cut off: 99999x99999 pixels take 79998400020 b"),
    ],
)
def test_damaged_files_are_refused(tmp_path, data, words):
    (tmp_path / "bad.flo").write_bytes(data)
    with pytest.raises(UsageError, match=words) as error:
        read_flo(tmp_path / "bad.flo")
    assert "bad.flo" in str(error.value)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path / "absent.flo", tmp_path):
        with pytest.raises(UsageError, match=r"cannot be read: .*Give the path of a .flo file"):
            read_flo(path)


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (np.zeros((3, 4, 2), np.float32), r"float32 \[3, 4, 2\]; a .flo file holds one field \[2, H, W\]"),
        (np.zeros((2, 3, 4), np.uint8), "uint8 .*Quantised flow has to be dequantised first"),
        (np.zeros((2, 0, 4), np.float32), "has 4x0 pixels; a .flo file holds 1 to 99999"),
    ],
)
def test_what_cannot_be_written_is_said(flow, words):
    with pytest.raises(UsageError, match=words):
        flo_bytes(flow)


def test_every_name_of_the_package_loads_and_none_is_a_module():
    """A module of a function's name would take its place once it is imported."""
    modules = {path.stem for path in Path(vidfeat.flow.__file__).parent.glob("*.py")}
    for name in vidfeat.flow.__all__:
        assert getattr(vidfeat.flow, name) is not None and name not in modules
    with pytest.raises(AttributeError, match="has no attribute 'brox'"):
        _ = vidfeat.flow.brox
