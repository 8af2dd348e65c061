"""``svm --kernel precomputed``: Gram matrices with ids, from NumPy or HDF5, through training to prediction."""

import csv
import json

import h5py
import numpy as np
import pytest
from tolerances import DECISION_VALUES

from vidfeat.errors import UsageError
from vidfeat.kernels import kernel_matrix
from vidfeat.stages import predict, svm
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.svm import SvmEvalConfig, SvmPredictConfig, SvmTrainConfig
from vidfeat.store import CodesWriter
from vidfeat.store.grams import read_gram

N = 36
IDS = [f"v{n:02d}" for n in range(N)]
RANDOM = np.random.Generator(np.random.PCG64(0))
CODES = (RANDOM.random((N, 6)) + 1.2 * np.eye(6)[np.arange(N) % 3]).astype(np.float32)
OTHERS = RANDOM.random((N, 4)).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    """Codes and their intersection kernel, rows and columns in another order than the ids; and a manifest."""
    rows = [f"{i},{'abc'[n % 3]},g{n // 3},{'train' if n < 24 else 'test'}" for n, i in enumerate(IDS)]
    (tmp_path / "m.csv").write_text("id,label,group,split1\n" + "\n".join(rows) + "\n")
    order = RANDOM.permutation(N)
    for name, X in (("x", CODES), ("y", OTHERS)):
        with CodesWriter(tmp_path / f"{name}.h5", {}) as codes:
            for item_id, code in zip(IDS, X, strict=True):
                codes.append(item_id, {"default": code})
        K = kernel_matrix("intersection", X)[np.ix_(order, order)]
        np.savez(tmp_path / f"{name}.npz", gram=K, ids=np.array(IDS)[order])
    return tmp_path


def rows_of(path):
    with path.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def train(folder, names, output, **options):
    given = {"manifest": folder / "m.csv", "output": folder / output, **options}
    return svm.train(SvmTrainConfig(codes=[folder / name for name in names], **given)).as_dict()


def assert_same_scores(first, second):
    assert first.keys() == second.keys() and first
    for item_id, row in first.items():
        for column in (name for name in row if name.startswith(("score:", "probability:"))):
            assert float(row[column]) == pytest.approx(float(second[item_id][column]), abs=DECISION_VALUES)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"leave_one_group_out": True, "C": "1"},
        {"multiclass": "ovo"},
        {"probabilities": True},
        {"merge_labels": "d=a,b"},
    ],
    ids=str,
)
@pytest.mark.parametrize("names", ["x", "xy"])
def test_a_gram_matrix_gives_what_its_codes_give(files, options, names):
    ours = train(files, [f"{name}.npz" for name in names], "K", kernel="precomputed", **options)
    theirs = train(files, [f"{name}.h5" for name in names], "C", kernel="intersection", **options)
    assert (ours["accuracy"], ours["C"], ours["n_train"]) == (theirs["accuracy"], theirs["C"], theirs["n_train"])
    assert_same_scores(rows_of(files / "K" / "predictions.csv"), rows_of(files / "C" / "predictions.csv"))


def test_new_items_need_the_support_vectors_alone(files):
    train(files, ["x.npz"], "K", kernel="precomputed", C="1000")
    meta = json.loads((files / "K" / "model.json").read_text())
    support = [IDS.index(item_id) for item_id in meta["support_ids"]]
    assert 0 < len(support) < 24 and meta["support_vectors"] == len(support)
    K = kernel_matrix("intersection", CODES[24:], CODES[support[::-1]])
    with h5py.File(files / "new.h5", "w") as h5:
        h5["gram"], h5["ids"], h5["columns"] = K, IDS[24:], meta["support_ids"][::-1]
    svm.predict(SvmPredictConfig(run=files / "K", codes=files / "new.h5", output=files / "p.csv"))
    assert_same_scores(rows_of(files / "p.csv"), rows_of(files / "K" / "predictions.csv"))
    assert svm.evaluate(SvmEvalConfig(runs=[files / "K"], bootstrap=20)).as_dict()["n_test"] == 12
    np.savez(files / "few.npz", gram=K[:, 1:], ids=IDS[24:], columns=meta["support_ids"][::-1][1:])
    with pytest.raises(UsageError, match=rf"few\.npz has no column of '{meta['support_ids'][-1]}' \(1 such of"):
        svm.predict(SvmPredictConfig(run=files / "K", codes=files / "few.npz", output=files / "p.csv"))
    with pytest.raises(UsageError, match=r"trained on a Gram matrix, and nobody knows .* use 'vidfeat svm predict"):
        predict.run(PredictConfig(run=files / "K", inputs=[files]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": IDS[1:]}, r"gram is float64 of shape \(36, 36\), with 35 ids and 35 columns"),
        ({"ids": [*IDS[1:], "v01"]}, "'v01' occurs twice"),
        ({"gram": np.where(np.eye(N) > 0, np.nan, 1)}, "the row of 'v00' has NaN or infinite values"),
        ({"gram": np.tri(N)}, r"is no kernel: it is not symmetric \(differences up to 1\)"),
        ({"gram": -np.eye(N)}, "or has negative numbers in its diagonal"),
        ({"columns": IDS[::-1]}, "of other items in its columns than in its rows"),
        ({"ids": None}, "has no 'ids', so it is no Gram matrix with ids. Write it with numpy.savez"),
    ],
)
def test_gram_matrices_that_are_none_are_refused(files, change, words):
    arrays = {"gram": np.eye(N), "ids": IDS, **change}
    np.savez(files / "bad.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(UsageError, match=words):
        train(files, ["bad.npz"], "K", kernel="precomputed")
    assert not (files / "K").exists()


def test_other_files_and_options_are_refused(files):
    np.savez(files / "few.npz", gram=np.eye(N - 1), ids=IDS[1:])
    with pytest.raises(UsageError, match=r"must hold the same items; 'v00' is in one of them only \(1 such\)"):
        train(files, ["x.npz", "few.npz"], "K", kernel="precomputed")
    (files / "text.npz").write_text("no archive")
    with pytest.raises(UsageError, match=r"Cannot read .*text\.npz"):
        read_gram(files / "text.npz")
    with pytest.raises(UsageError, match=r"has no 'gram', so it is no Gram matrix with ids"):
        train(files, ["x.h5"], "K", kernel="precomputed")
    with pytest.raises(UsageError, match="--kernel precomputed needs --manifest"):
        SvmTrainConfig(codes=files / "x.npz", output=files / "K", kernel="precomputed")
    with pytest.raises(UsageError, match="--gram-precision float32 has no effect with --kernel precomputed"):
        train(files, ["x.npz"], "K", kernel="precomputed", gram_precision="float32")


def test_one_file_or_run_given_twice_is_refused(files):
    from vidfeat.stages import compare, fuse, mkl
    from vidfeat.stages.config.fusion import CompareConfig, FuseConfig
    from vidfeat.stages.config.mkl import MklTrainConfig

    with pytest.raises(UsageError, match=r"x\.h5 came 2 times with the same set of codes"):
        train(files, ["x.h5", "x.h5"], "C")
    with pytest.raises(UsageError, match=r"x\.npz came 2 times"):
        train(files, ["x.npz", "x.npz"], "C", kernel="precomputed")
    with pytest.raises(UsageError, match="A file came twice among"):
        mkl.train(MklTrainConfig(codes=[files / "x.h5"] * 2, output=files / "M"))
    train(files, ["x.h5"], "C", C="1")
    with pytest.raises(UsageError, match=r"The run .*C came 2 times\. Give each run once"):
        compare.run(CompareConfig(runs=[files / "C"] * 2))
    with pytest.raises(UsageError, match=r"The run .*C came 2 times"):
        fuse.run(FuseConfig(runs=[files / "C"] * 2, output=files / "F"))
