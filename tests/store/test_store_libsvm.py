"""Codes as LIBSVM text and back, read by LIBSVM's package and scikit-learn as well."""

import numpy as np
import pytest
from libsvm import svmutil
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from vidfeat.errors import UsageError
from vidfeat.store import CodesWriter, export_libsvm, import_libsvm, open_codes
from vidfeat.store.libsvm_text import items_file

LABELS = [("b",), ("a", "c"), (), ("b",)]


@pytest.fixture
def codes(tmp_path):
    X = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    X[0, 5:] = X[:, 6] = 0  # the last dimension is zero everywhere
    X[2] = 0
    with CodesWriter(tmp_path / "c.h5", {}) as writer:
        for row, own in enumerate(LABELS):
            split = {"split1": "train"} if row else {}
            writer.append(f'v"{row}, é', {"default": X[row], "C=1": -X[row]}, own, f"g{row % 2}", split)
    return tmp_path / "c.h5"


def test_a_round_trip_changes_nothing(codes, tmp_path):
    for name in ("default", "C=1"):
        assert export_libsvm(codes, tmp_path / "c.txt", set_name=name, overwrite=True) == 4
        ids = import_libsvm(tmp_path / "c.txt", tmp_path / "back.h5", overwrite=True)
        with open_codes(codes) as before, open_codes(tmp_path / "back.h5") as after:
            assert ids == after.ids == before.ids
            assert np.array_equal(after.codes(), before.codes(name))
            assert (after.labels, after.groups, after.splits) == (before.labels, before.groups, before.splits)
            assert after.provenance["features_fingerprint"] == "libsvm text of 7 dimensions"


def test_other_tools_read_what_is_written(codes, tmp_path):
    export_libsvm(codes, tmp_path / "c.txt", set_name="default")
    first = (tmp_path / "c.txt").read_text().splitlines()
    assert [line.partition(" ")[0] for line in first] == ["2", "1,3", "0", "2"]
    with open_codes(codes) as stored:
        X = stored.codes("default")
    read, labels = load_svmlight_file(str(tmp_path / "c.txt"), multilabel=True, zero_based=False, dtype=np.float32)
    assert np.array_equal(read.toarray(), X)
    assert labels == [(2.0,), (1.0, 3.0), (0.0,), (2.0,)]
    (tmp_path / "one.txt").write_text("\n".join(line for line in first if "," not in line) + "\n")
    theirs, rows = svmutil.svm_read_problem(str(tmp_path / "one.txt"))
    assert list(theirs) == [2, 0, 2]
    assert {d: v for d, v in rows[2].items() if v} == {d + 1: float(f"{X[3, d]:.9g}") for d in np.flatnonzero(X[3])}


def test_files_of_other_tools_are_read(tmp_path):
    X = np.array([[0.5, 0, 2], [1, 1, 0]])
    dump_svmlight_file(X, [3, -1], str(tmp_path / "o.txt"), zero_based=False, comment="made elsewhere")
    assert import_libsvm(tmp_path / "o.txt", tmp_path / "o.h5") == ["line-000001", "line-000002"]
    with open_codes(tmp_path / "o.h5") as stored:
        assert np.array_equal(stored.codes(), X)
        assert stored.labels == [("3",), ("-1",)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 0:2 3:1\n", "line 1: dimension 0; LIBSVM counts from 1. Write the file with zero_based=False"),
        ("1 1:2\n2 2:1 1:3\n", "line 2: dimensions must be ascending"),
        ("1 1:2\n\n2 1:nan\n", "line 3 holds NaN or infinite values"),
        ("1 qid:3 1:2\n", "'qid:3' is not <dimension>:<value>"),
        ("1 one\n", "'one' is not <dimension>:<value>"),
        ("# nothing\n", "holds no codes: lines of LIBSVM text"),
    ],
)
def test_lines_that_cannot_be_are_named(tmp_path, text, words):
    (tmp_path / "o.txt").write_text(text)
    with pytest.raises(UsageError, match=words):
        import_libsvm(tmp_path / "o.txt", tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()


def test_wrong_places_are_refused(codes, tmp_path):
    with pytest.raises(UsageError, match=r"has C=1, default; a LIBSVM file holds one set\. Choose it with --feature"):
        export_libsvm(codes, tmp_path / "c.txt")
    with pytest.raises(UsageError, match=r"has no set 'x'"):
        export_libsvm(codes, tmp_path / "c.txt", set_name="x")
    with pytest.raises(UsageError, match="is both the source and the target"):
        export_libsvm(codes, codes, set_name="C=1", overwrite=True)
    with pytest.raises(UsageError, match="is a folder"):
        export_libsvm(codes, tmp_path, set_name="C=1")
    with pytest.raises(UsageError, match=r"does not exist\. Create it first"):
        export_libsvm(codes, tmp_path / "no" / "c.txt", set_name="C=1")
    export_libsvm(codes, tmp_path / "c.txt", set_name="C=1")
    with pytest.raises(UsageError, match="exists already"):
        export_libsvm(codes, tmp_path / "c.txt", set_name="C=1")
    (tmp_path / "c.txt").unlink()
    with pytest.raises(UsageError, match=r"c\.txt\.items\.csv exists already"):
        export_libsvm(codes, tmp_path / "c.txt", set_name="C=1")
    with pytest.raises(UsageError, match=r"Cannot read .*c\.txt"):
        import_libsvm(tmp_path / "c.txt", tmp_path / "o.h5")
    (tmp_path / "c.txt").write_text("1 1:2\n")
    with pytest.raises(UsageError, match=r"does not fit .*and 1 rows, found id,label,group,… and 4"):
        import_libsvm(tmp_path / "c.txt", tmp_path / "o.h5")
    items_file(tmp_path / "c.txt").unlink()
    with pytest.raises(UsageError, match="exists already"):
        import_libsvm(tmp_path / "c.txt", codes)
