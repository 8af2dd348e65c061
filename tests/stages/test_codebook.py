"""``codebook train|apply|info``, ``encode`` with codebooks, and ``extract --encode``, through the stages."""

import h5py
import numpy as np
import pytest
from small import run_small, small
from tolerances import SAME_CODE

import vidfeat
from vidfeat.encoders import PCAWhitening
from vidfeat.errors import StorageError, UsageError
from vidfeat.stages import codebook, encode, extract
from vidfeat.stages.config.codebook import CodebookApplyConfig, CodebookInfoConfig, CodebookTrainConfig
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.store import FeatureWriter, open_codes
from vidfeat.store.codebook import read_codebook

LAYER = "features.1"  # maps [64, 15, 15] of SqueezeNet at 32 pixels
WIDTH = 8


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Twelve items of maps, half of them training items of the split; and a vector feature."""
    path = tmp_path_factory.mktemp("maps") / "maps.h5"
    random = np.random.default_rng(0)
    with FeatureWriter(path, {"made": "up"}, {}) as writer:
        for number in range(12):
            item = writer.item(f"v{number:02}.mp4")
            frames = 3 + number % 4
            item.append("conv", random.normal(number % 3, 1, size=(frames, WIDTH, 5, 6)).astype(np.float16))
            item.append("fc", random.normal(size=(frames, 5)).astype(np.float32))
            item.append("time", np.arange(frames) / 10)
            item.append("frame", np.arange(frames))
            splits = {"split": "train" if number % 2 else "test"}
            item.finish({"state": "done"}, labels=[f"class{number % 3}"], group=f"g{number}", splits=splits)
    return path


def train(source, output, kind="vlad", **options):
    given = {"words": 4} if kind != "pca" else {}
    if kind != "pca":
        given |= {"feature": "conv"}
    return codebook.train(CodebookTrainConfig(source=source, output=output, kind=kind, **{**given, **options}))


@pytest.fixture(scope="module")
def book(maps, tmp_path_factory):
    path = tmp_path_factory.mktemp("book") / "book.h5"
    train(maps, path)
    return path


@pytest.mark.parametrize(("kind", "options", "length"), [
    ("vlad", {}, 4 * WIDTH), ("bow", {}, 4), ("fv", {"components": 3}, 2 * 4 * 3), ("vlad", {"components": 3}, 12),
])  # fmt: skip
def test_a_codebook_is_learnt_and_encodes(maps, tmp_path, kind, options, length):
    facts = train(maps, tmp_path / "book.h5", kind, **options).facts
    assert facts["kind"] == kind and facts["provenance"]["items"] == 6  # the training half
    assert codebook.info(CodebookInfoConfig(codebook=tmp_path / "book.h5")).facts["arrays"] == facts["arrays"]
    config = EncodeConfig(
        features=maps, output=tmp_path / "c.h5", feature="conv", method=kind, codebook=[tmp_path / "book.h5"]
    )
    assert encode.run(config).dimension == length
    with open_codes(tmp_path / "c.h5") as codes:
        table = codes.codes()
        assert table.shape == (12, length) and codes.blocks() == [(0, 0, length)]
        assert np.allclose(np.linalg.norm(table, axis=1), 1, atol=1e-5)
        assert codes.provenance["codebooks"] == [read_codebook(tmp_path / "book.h5").fingerprint]
        # Items of one class lie closer than those of others.
        distances = np.linalg.norm(table[:, None] - table[None], axis=-1)
        own = np.equal.outer(np.arange(12) % 3, np.arange(12) % 3)
        assert distances[own & (distances > 0)].mean() < distances[~own].mean()


def test_only_training_items_are_learnt_from(maps, tmp_path):
    train(maps, tmp_path / "train.h5", samples=10**6)
    train(maps, tmp_path / "all.h5", samples=10**6, all_items=True)
    counts = [read_codebook(tmp_path / name).provenance["samples"] for name in ("train.h5", "all.h5")]
    frames = [3 + number % 4 for number in range(12)]
    assert counts == [30 * sum(frames[1::2]), 30 * sum(frames)]


def test_the_same_options_give_the_same_fingerprint(maps, tmp_path, book):
    train(maps, tmp_path / "again.h5")
    train(maps, tmp_path / "other.h5", seed=1)
    same, again, other = (read_codebook(path) for path in (book, tmp_path / "again.h5", tmp_path / "other.h5"))
    assert same.fingerprint == again.fingerprint != other.fingerprint


def test_several_features_side_by_side(maps, tmp_path, book):
    train(maps, tmp_path / "fc.h5", feature="fc", words=3)
    encode.run(EncodeConfig(features=maps, output=tmp_path / "both.h5", feature="conv, fc", method="vlad",
                            codebook=[book, tmp_path / "fc.h5"]))  # fmt: skip
    encode.run(EncodeConfig(features=maps, output=tmp_path / "one.h5", feature="fc", method="vlad",
                            codebook=[tmp_path / "fc.h5"]))  # fmt: skip
    with open_codes(tmp_path / "both.h5") as both, open_codes(tmp_path / "one.h5") as one:
        first, second = both.blocks()
        assert first[1:] == (0, 4 * WIDTH) and second[1:] == (4 * WIDTH, 4 * WIDTH + 15)
        assert np.allclose(both.codes()[:, 4 * WIDTH :] * np.sqrt(2), one.codes(), atol=1e-6)


def test_codes_are_reduced(maps, tmp_path, book):
    encode.run(EncodeConfig(features=maps, output=tmp_path / "c.h5", feature="conv", method="vlad", codebook=[book]))
    facts = train(tmp_path / "c.h5", tmp_path / "pca.h5", "pca", components=3).facts
    assert facts["provenance"]["items"] == 6
    codebook.apply(CodebookApplyConfig(codebook=tmp_path / "pca.h5", codes=tmp_path / "c.h5", output=tmp_path / "r.h5"))
    encode.run(EncodeConfig(features=maps, output=tmp_path / "at-once.h5", feature="conv", method="vlad",
                            codebook=[book], reduce=tmp_path / "pca.h5"))  # fmt: skip
    with open_codes(tmp_path / "c.h5") as whole, open_codes(tmp_path / "r.h5") as reduced:
        expected = PCAWhitening(3).fit(whole.codes()[1::2]).transform(whole.codes())
        assert np.allclose(reduced.codes(), expected, atol=1e-4)
        assert (reduced.ids, reduced.labels, reduced.groups, reduced.splits) == (
            whole.ids, whole.labels, whole.groups, whole.splits,
        )  # fmt: skip
        with open_codes(tmp_path / "at-once.h5") as at_once:
            assert np.allclose(at_once.codes(), reduced.codes(), atol=1e-5)
            assert at_once.provenance["codebooks"] == reduced.provenance["codebooks"]
    with pytest.raises(UsageError, match="is reduced already"):
        codebook.apply(
            CodebookApplyConfig(codebook=tmp_path / "pca.h5", codes=tmp_path / "r.h5", output=tmp_path / "rr.h5")
        )


@pytest.fixture(scope="module")
def real_book(tmp_path_factory, clips):
    """A codebook of maps of real clips, and the maps themselves."""
    folder = tmp_path_factory.mktemp("real")
    run_small([clips], folder / "maps.h5", layers=LAYER)
    train(folder / "maps.h5", folder / "book.h5", feature=LAYER, samples=2000)
    return folder


def test_encoding_while_extracting_is_extracting_then_encoding(real_book, clips, tmp_path):
    options = {"layers": f"{LAYER},avgpool"}
    run_small([clips], tmp_path / "coded.h5", **options, encode=[real_book / "book.h5"])
    run_small([clips], tmp_path / "maps.h5", **options)
    name = f"code.{LAYER}.vlad"
    encode.run(EncodeConfig(features=tmp_path / "maps.h5", output=tmp_path / "c.h5", feature=LAYER, method="vlad",
                            codebook=[real_book / "book.h5"]))  # fmt: skip
    with vidfeat.open_features(tmp_path / "coded.h5") as stored, open_codes(tmp_path / "c.h5") as codes:
        assert stored.ids == codes.ids and len(stored.ids) == 6
        for item_id, code in zip(codes.ids, codes.codes(), strict=True):
            item = stored[item_id]
            assert item.names == ["avgpool", name]
            assert np.abs(item[name][0] - code).max() <= SAME_CODE
            assert len(item["avgpool"]) == len(item.time) > 1 and item["code.frame"].tolist() == [0]
    encode.run(EncodeConfig(features=tmp_path / "coded.h5", output=tmp_path / "again.h5", feature=name))
    with open_codes(tmp_path / "again.h5") as again, open_codes(tmp_path / "c.h5") as codes:
        assert np.abs(again.codes() - codes.codes()).max() <= SAME_CODE


def test_a_run_with_another_codebook_is_refused(real_book, clips, tmp_path):
    run_small([clips / "a"], tmp_path / "f.h5", layers=LAYER, encode=[real_book / "book.h5"])
    train(real_book / "maps.h5", tmp_path / "other.h5", feature=LAYER, samples=2000, seed=5)
    with pytest.raises(UsageError, match="encode"):
        run_small([clips / "a"], tmp_path / "f.h5", layers=LAYER, encode=[tmp_path / "other.h5"])


def test_a_codebook_of_a_layer_that_is_not_extracted(real_book, clips, tmp_path):
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"describes features.1, which is not extracted; there are avgpool"):
            run_small([clips], tmp_path / "f.h5", encode=[real_book / "book.h5"], dry_run=dry_run)


def test_two_scales_in_one_pass(clips, tmp_path):
    options = {"layers": f"{LAYER},avgpool", "warp": True}
    run_small([clips / "a"], tmp_path / "both.h5", **options, input_scales="1,2")
    run_small([clips / "a"], tmp_path / "one.h5", **options)
    run_small([clips / "a"], tmp_path / "two.h5", **{**options, "size": 64})
    with (
        vidfeat.open_features(tmp_path / "both.h5") as both,
        vidfeat.open_features(tmp_path / "one.h5") as one,
        vidfeat.open_features(tmp_path / "two.h5") as two,
    ):
        for item_id in both.ids:
            item = both[item_id]
            assert item.names == ["avgpool", "avgpool@64", LAYER, f"{LAYER}@64"]
            for name in ("avgpool", LAYER):
                assert np.allclose(item[name], one[item_id][name], atol=1e-3)
                assert np.allclose(item[f"{name}@64"], two[item_id][name], atol=1e-3)


@pytest.mark.parametrize("scales", ["0", "1,x", "1,1", ""])
def test_bad_scales(scales, tmp_path):
    with pytest.raises(UsageError, match="must be numbers above 0, such as 1,2, each once"):
        small([tmp_path], tmp_path / "f.h5", input_scales=scales)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "vlad", "regularization": 0.1}, "--regularization has no effect with --kind vlad, only with pca"),
        ({"kind": "pca", "samples": 5}, "--samples has no effect with --kind pca, only with vlad, fv, bow"),
        ({"words": 0}, "--words is 0; it must be above 0"),
        ({"words": 10**6}, "1000000"),
        ({"split": "split9"}, "has no split 'split9'; it has split"),
        ({"feature": "conv9"}, "has no feature 'conv9'; it has conv, fc"),
        ({"split": "split", "all_items": True}, "--split and --all-items contradict each other"),
        ({"kind": "fv", "feature": "fc", "components": 6}, "6"),
    ],
)
def test_bad_training(maps, tmp_path, options, words):
    with pytest.raises(UsageError) as error:
        train(maps, tmp_path / "book.h5", **options)
    assert words in str(error.value)
    assert not (tmp_path / "book.h5").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "vlad"}, "--method vlad needs a codebook: train it with 'vidfeat codebook train"),
        ({"method": "avg", "codebook": ["b.h5"]}, "has no effect with --method avg, only with vlad, fv, bow"),
        ({"method": "fv", "codebook": ["BOOK"]}, "is a codebook of kind vlad, but fv is to be encoded"),
        ({"method": "vlad", "codebook": ["BOOK", "BOOK"]}, "There are 2 codebooks and 1 features"),
        ({"method": "bow", "codebook": ["BOOK"], "norm": "intra"}, "--norm intra is of vlad alone"),
        ({"method": "vlad", "codebook": ["BOOK"], "assignment": "soft"}, "--assignment soft has no effect"),
        ({"method": "vlad", "codebook": ["missing.h5"]}, "missing.h5 does not exist. Make it with 'vidfeat codebook"),
        ({"method": "avg", "reduce": "BOOK"}, "codes are reduced by one of kind pca"),
        ({"method": "vlad", "codebook": ["BOOK"], "device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_bad_encoding(maps, book, tmp_path, options, words):
    options = dict(options)
    for name in ("codebook", "reduce"):
        if name in options:
            given = options[name] if isinstance(options[name], list) else [options[name]]
            paths = [book if path == "BOOK" else tmp_path / path for path in given]
            options[name] = paths if name == "codebook" else paths[0]
    with pytest.raises(UsageError) as error:
        encode.run(EncodeConfig(features=maps, output=tmp_path / "c.h5", feature="conv", **options))
    assert words in str(error.value)
    assert not (tmp_path / "c.h5").exists()


def test_an_item_of_another_width_fails_alone(tmp_path, book):
    with FeatureWriter(tmp_path / "f.h5", {}, {}) as writer:
        for item_id, width in (("a", WIDTH), ("b", WIDTH + 1), ("c", WIDTH)):
            item = writer.item(item_id)
            item.append("conv", np.ones((2, width, 2, 2), np.float32))
            item.append("time", np.arange(2.0))
            item.append("frame", np.arange(2))
            item.finish({"state": "done"})
    summary = encode.run(
        EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", method="vlad", codebook=[book])
    )
    assert (summary.items, summary.exit_code) == (2, 1)
    assert "9 numbers, those of the codebook 8" in summary.failures[0].reason


def test_only_codebooks_are_replaced(maps, tmp_path, book):
    (tmp_path / "c.h5").write_bytes(maps.read_bytes())
    with pytest.raises(UsageError, match="is no codebook that could be replaced"):
        train(maps, tmp_path / "c.h5")
    with pytest.raises(UsageError, match="holds no codebook that this vidfeat reads"):
        read_codebook(tmp_path / "c.h5")


@pytest.mark.parametrize("change", ["array", "parameters"])
def test_a_changed_codebook_is_found_out(tmp_path, book, change):
    path = tmp_path / "book.h5"
    path.write_bytes(book.read_bytes())
    with h5py.File(path, "r+") as h5:
        if change == "array":
            h5["centers"][0, 0] += 1
        else:
            h5.attrs["parameters"] = h5.attrs["parameters"].replace(b"true", b"false")
    with pytest.raises(StorageError, match=r"were written|its fingerprint"):
        read_codebook(path)


def test_predict_goes_the_whole_way(real_book, clips, tmp_path):
    """Extraction with a codebook, encoding, SVM, and a new video."""
    from vidfeat.stages import predict, svm
    from vidfeat.stages.config.files import PredictConfig
    from vidfeat.stages.config.svm import SvmTrainConfig

    encode.run(EncodeConfig(features=real_book / "maps.h5", output=tmp_path / "c.h5", method="vlad",
                            codebook=[real_book / "book.h5"]))  # fmt: skip
    svm.train(SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "run", leave_one_group_out=True, C="1"))
    video = next((clips / "a").iterdir())
    config = PredictConfig(run=tmp_path / "run", inputs=[video], device="cpu")
    assert predict.run(config).predictions[0]["predicted"] in ("a", "b", "c")
    saved = (real_book / "book.h5").read_bytes()
    try:
        train(real_book / "maps.h5", real_book / "book.h5", feature=LAYER, samples=2000, seed=9)
        with pytest.raises(UsageError, match="are not those that the run was trained with"):
            predict.run(config)
    finally:
        (real_book / "book.h5").write_bytes(saved)


def test_items_may_come_from_several_devices(real_book, clips, tmp_path):
    run_small([clips], tmp_path / "one.h5", layers=LAYER, encode=[real_book / "book.h5"])
    extract.run(small([clips], tmp_path / "two.h5", layers=LAYER, encode=[real_book / "book.h5"], device="cpu,cpu"))
    with vidfeat.open_features(tmp_path / "one.h5") as one, vidfeat.open_features(tmp_path / "two.h5") as two:
        for item_id in one.ids:
            name = f"code.{LAYER}.vlad"
            assert np.abs(one[item_id][name] - two[item_id][name]).max() <= SAME_CODE


def test_info_of_a_codebook(book):
    from vidfeat.stages import info
    from vidfeat.stages.config.files import InfoConfig

    facts = info.run(InfoConfig(file=book)).facts
    assert facts["kind"] == "vlad" and facts["arrays"] == {"centers": f"4×{WIDTH}"}
