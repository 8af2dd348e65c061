"""Codebooks where they do not belong, and reductions that are too large: refused, or said, before any work."""

from dataclasses import replace

import numpy as np
import pytest
from small import small

from vidfeat.errors import UsageError
from vidfeat.stages import codebook, encode, extract
from vidfeat.stages.config.codebook import CodebookApplyConfig, CodebookTrainConfig
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.store import CodesWriter, FeatureWriter, open_codes
from vidfeat.store.codebook import read_codebook

SETTINGS = {"backbone": "squeezenet1_1", "weights": "none:seed=0:v1"}


def write_maps(path, settings, large=8):
    random = np.random.default_rng(0)
    with FeatureWriter(path, settings, {}) as writer:
        for number in range(3):
            item = writer.item(f"v{number}.mp4")
            for name, width in (("conv", 8), ("conv@64", large), ("other", 8)):
                item.append(name, random.normal(size=(2, width, 3, 3)).astype(np.float16))
            item.append("time", np.arange(2.0))
            item.append("frame", np.arange(2))
            item.finish({"state": "done"})
    return path


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return write_maps(tmp_path_factory.mktemp("maps") / "maps.h5", SETTINGS)


def train(source, output, feature="conv", **options):
    config = CodebookTrainConfig(source=source, output=output, kind="vlad", words=2, feature=feature, **options)
    codebook.train(config)
    return output


@pytest.fixture(scope="module")
def book(maps, tmp_path_factory):
    return train(maps, tmp_path_factory.mktemp("book") / "book.h5")


def encoded(maps, output, book, feature):
    return encode.run(
        EncodeConfig(features=maps, output=output, method="vlad", codebook=[book], feature=feature)
    )  # fmt: skip


def test_a_codebook_of_another_layer_is_refused(maps, book, tmp_path):
    words = r"book\.h5 was learnt from conv, but is given for other, .* in the order of --feature, or train one with"
    with pytest.raises(UsageError, match=words):
        encoded(maps, tmp_path / "c.h5", book, "other")
    assert not (tmp_path / "c.h5").exists()


def test_codebooks_in_another_order_than_features_are_refused(maps, book, tmp_path):
    other = train(maps, tmp_path / "other.h5", "other")
    options = {"features": maps, "method": "vlad", "feature": "conv,other"}
    with pytest.raises(UsageError, match=r"other\.h5 was learnt from other, but is given for conv"):
        encode.run(EncodeConfig(output=tmp_path / "c.h5", codebook=[other, book], **options))
    assert encode.run(EncodeConfig(output=tmp_path / "c.h5", codebook=[book, other], **options)).items == 3


def test_a_codebook_of_another_input_size_is_said(maps, book, tmp_path, caplog):
    encoded(maps, tmp_path / "c.h5", book, "conv")
    assert "was learnt from" not in caplog.text
    encoded(maps, tmp_path / "c.h5", book, "conv@64")
    assert "book.h5 was learnt from conv, but conv@64 is encoded" in caplog.text


def test_a_codebook_of_another_width_is_refused(maps, book, tmp_path):
    with pytest.raises(
        UsageError, match=r"features of 8 numbers, but those of conv@64 have 6\. It was learnt from conv;"
    ):
        encoded(write_maps(tmp_path / "wide.h5", SETTINGS, 6), tmp_path / "c.h5", book, "conv@64")
    assert not (tmp_path / "c.h5").exists()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_codebook_of_another_network_is_refused(book, tmp_path, name):
    others = write_maps(tmp_path / "others.h5", {**SETTINGS, name: "else"})
    words = f"learnt from conv with {name} {SETTINGS[name]}, but these features are of {name} else"
    with pytest.raises(UsageError, match=words):
        encoded(others, tmp_path / "c.h5", book, "conv")


def test_imported_features_take_any_codebook_of_their_width(book, tmp_path):
    others = write_maps(tmp_path / "others.h5", {"made": "up"})
    assert encoded(others, tmp_path / "c.h5", book, "conv").items == 3


def test_extract_refuses_a_codebook_of_another_network(clips, tmp_path):
    settings = {"layers": "features.1", "encode": []}
    extract.run(small([clips / "c"], tmp_path / "f.h5", **settings))
    book = train(tmp_path / "f.h5", tmp_path / "b.h5", "features.1")
    given = {**settings, "encode": [book]}
    with pytest.raises(UsageError, match=r"learnt from features\.1 with weights none:seed=0.* of weights none:seed=1"):
        extract.run(small([clips / "c"], tmp_path / "g.h5", **given, seed=1))
    assert extract.run(small([clips / "c"], tmp_path / "g.h5", **given)).exit_code == 0


def write_codes(path, count):
    random = np.random.default_rng(0)
    with CodesWriter(path, {}) as writer:
        for number in range(count):
            writer.append(f"i{number:03}", {"default": random.standard_normal(40)})
    return path


def reduce(source, output, **options):
    codebook.train(CodebookTrainConfig(source=source, output=output, kind="pca", **options))


def test_more_components_than_there_can_be_are_refused(tmp_path):
    codes = write_codes(tmp_path / "codes.h5", 12)
    with pytest.raises(UsageError, match=r"--components is 128 by default, but 12 items of 40 numbers have at most 11"):
        reduce(codes, tmp_path / "p.h5")
    with pytest.raises(UsageError, match=r"--components is 12, but 12 items of 40 numbers have at most 11"):
        reduce(codes, tmp_path / "p.h5", components=12)
    assert not (tmp_path / "p.h5").exists()


def test_whitening_that_spoils_its_own_items_is_said(tmp_path, caplog):
    codes = write_codes(tmp_path / "codes.h5", 12)
    caplog.set_level("INFO", logger="vidfeat")
    reduce(codes, tmp_path / "p.h5", components=4)
    reduce(codes, tmp_path / "p.h5", components=11, no_whiten=True)
    assert "almost equally far" not in caplog.text
    reduce(codes, tmp_path / "p.h5", components=5)
    assert "5 whitened components of 12 items" in caplog.text and "--components 4 or fewer" in caplog.text


def test_codebooks_without_effect_are_named_in_words():
    with pytest.raises(UsageError, match=r"--codebook a b\.h5 c\.h5 has no effect with --method avg"):
        EncodeConfig(features="f", output="o", codebook=["a b.h5", "c.h5"])
    with pytest.raises(UsageError, match=r"'vidfeat codebook train f --feature conv5 --kind fv -o book\.h5'"):
        EncodeConfig(features="f", output="o", feature="conv5", method="fv")


@pytest.fixture(scope="module")
def pca(maps, book, tmp_path_factory):
    """Principal components of VLAD codes of conv."""
    folder = tmp_path_factory.mktemp("pca")
    encoded(maps, folder / "codes.h5", book, "conv")
    reduce(folder / "codes.h5", folder / "pca.h5", components=2)
    return folder / "pca.h5"


@pytest.mark.parametrize(
    ("feature", "options", "words"),
    [
        ("other", {}, "feature: conv there, other here; with other codebooks"),
        ("conv", {"seed": 1}, "with other codebooks"),
        ("conv", {"no_normalize": True}, "--no-normalize: False there, True here"),
        ("conv", {"per": "frame"}, "--per: item there, frame here"),
    ],
)
def test_a_reduction_of_other_codes_is_refused(maps, pca, tmp_path, feature, options, words):
    """Codes of the same length whose numbers mean something else."""
    own = train(maps, tmp_path / "own.h5", feature, seed=options.pop("seed", 0))
    config = EncodeConfig(
        features=maps, output=tmp_path / "codes.h5", feature=feature, method="vlad", codebook=[own], **options
    )
    encode.run(config)
    with pytest.raises(UsageError, match="learnt from codes that were not made as these are") as applied:
        codebook.apply(CodebookApplyConfig(pca, tmp_path / "codes.h5", tmp_path / "reduced.h5"))
    with pytest.raises(UsageError) as at_once:
        encode.run(replace(config, output=tmp_path / "reduced.h5", reduce=pca))
    assert words in str(applied.value) and str(applied.value) == str(at_once.value)
    assert not (tmp_path / "reduced.h5").exists()


def test_a_reduction_takes_codes_that_were_made_while_extracting(maps, book, pca, tmp_path):
    """Their feature has another name, but the codebook is the same."""
    encoded(maps, tmp_path / "codes.h5", book, "conv")
    name = "code.conv.vlad"
    with (
        open_codes(tmp_path / "codes.h5") as codes,
        FeatureWriter(tmp_path / "f.h5", {**SETTINGS, "encode": {name: read_codebook(book).fingerprint}}, {}) as writer,
    ):
        for item_id, code in zip(codes.ids, codes.codes(), strict=True):
            item = writer.item(item_id)
            item.append(name, code[None])
            item.append("code.time", np.zeros(1))
            item.append("code.frame", np.zeros(1, np.int64))
            item.finish({"state": "done"})
    config = EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "r.h5", feature=name, reduce=pca)
    assert encode.run(config).dimension == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"words": 60},
            "--words is 60, but only 54 local features of 8 numbers were drawn. Lower --words, raise --sam",
        ),
        ({"samples": 50}, "--words is 100 by default, but only 50 local features of 8 numbers were drawn"),
        (
            {"words": 2, "components": 9},
            "--components is 9, but 54 local features of 8 numbers were drawn, which have at most 8",
        ),
        ({"kind": "fv", "words": 2}, "--components is 64 by default, but 54 local features"),
        ({"seed": -1}, "--seed is -1; it must be 0 or more"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"output": "nowhere/b.h5"}, "of the output"),
        ({"kind": "pca", "feature": None, "seed": 3}, "--seed has no effect with --kind pca, only with vlad, fv, bow"),
    ],
)
def test_options_that_cannot_be_are_refused_by_their_names(maps, tmp_path, monkeypatch, options, words):
    monkeypatch.setattr("vidfeat.encoders.local.LocalEncoder.fit_samples", lambda *_, **__: pytest.fail("has begun"))
    output = tmp_path / options.pop("output", "b.h5")
    with pytest.raises(UsageError) as error:
        codebook.train(
            CodebookTrainConfig(**{"source": maps, "output": output, "kind": "vlad", "feature": "conv", **options})
        )
    assert words in str(error.value)


def test_a_feature_that_the_first_item_lacks(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", SETTINGS, {}) as writer:
        for item_id, name in (("a", "fc"), ("b", "conv"), ("c", "conv")):
            item = writer.item(item_id)
            item.append(name, np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32))
            item.append("time", np.arange(2.0))
            item.append("frame", np.arange(2))
            item.finish({"state": "done"})
    summary = encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", feature="conv"))
    assert (summary.items, [failure.id for failure in summary.failures]) == (2, ["a"])


def test_a_file_without_items_is_said(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", SETTINGS, {}):
        pass
    for config in (
        EncodeConfig(tmp_path / "f.h5", tmp_path / "c.h5"),
        CodebookTrainConfig(tmp_path / "f.h5", tmp_path / "b.h5", "vlad"),
    ):
        with pytest.raises(UsageError, match="has no items, so there is nothing to encode"):
            (encode.run if isinstance(config, EncodeConfig) else codebook.train)(config)


def test_pooling_of_frames_without_frames_has_no_effect():
    with pytest.raises(UsageError, match="--pool max has no effect with --per item, only with frame"):
        EncodeConfig(features="f", output="o", method="vlad", codebook=["b.h5"], pool="max")
    assert (
        EncodeConfig(features="f", output="o", method="vlad", codebook=["b.h5"], pool="max", per="frame").pool == "max"
    )
