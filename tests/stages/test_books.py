"""Codebooks where they do not belong, and reductions that are too large: refused, or said, before any work."""

import numpy as np
import pytest
from small import small

from vidfeat.errors import UsageError
from vidfeat.stages import codebook, encode, extract
from vidfeat.stages.config.codebook import CodebookTrainConfig
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.store import CodesWriter, FeatureWriter

SETTINGS = {"backbone": "squeezenet1_1", "weights": "none:seed=0:v1"}


def write_maps(path, settings):
    random = np.random.default_rng(0)
    with FeatureWriter(path, settings, {}) as writer:
        for number in range(3):
            item = writer.item(f"v{number}.mp4")
            for name, width in (("conv", 8), ("other", 8), ("wide", 6)):
                item.append(name, random.normal(size=(2, width, 3, 3)).astype(np.float16))
            item.append("time", np.arange(2.0))
            item.append("frame", np.arange(2))
            item.finish({"state": "done"})
    return path


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    return write_maps(tmp_path_factory.mktemp("maps") / "maps.h5", SETTINGS)


def train(source, output, feature="conv"):
    codebook.train(CodebookTrainConfig(source=source, output=output, kind="vlad", words=2, feature=feature))
    return output


@pytest.fixture(scope="module")
def book(maps, tmp_path_factory):
    return train(maps, tmp_path_factory.mktemp("book") / "book.h5")


def encoded(maps, output, book, feature):
    return encode.run(
        EncodeConfig(features=maps, output=output, method="vlad", codebook=[book], feature=feature)
    )  # fmt: skip


def test_a_codebook_of_another_layer_is_said(maps, book, tmp_path, caplog):
    encoded(maps, tmp_path / "c.h5", book, "conv")
    assert "was learnt from" not in caplog.text
    encoded(maps, tmp_path / "c.h5", book, "other")
    assert "book.h5 was learnt from conv, but other is encoded" in caplog.text


def test_a_codebook_of_another_width_is_refused(maps, book, tmp_path):
    with pytest.raises(UsageError, match=r"features of 8 numbers, but those of wide have 6\. It was learnt from conv;"):
        encoded(maps, tmp_path / "c.h5", book, "wide")
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
