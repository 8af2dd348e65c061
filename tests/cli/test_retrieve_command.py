"""``vidfeat retrieve`` on the command line: tables, JSON, words, exit codes."""

import dataclasses
import json

import numpy as np
import pytest
from invoke import vidfeat

from vidfeat.stages.config.options import flag_of
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.store import CodesWriter


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Sixty labelled codes in pairs."""
    path = tmp_path_factory.mktemp("codes") / "codes.h5"
    random = np.random.default_rng(0)
    with CodesWriter(path, {"feature": "fc7"}) as writer:
        for number in range(60):
            code = np.eye(30)[number // 2] + 0.1 * random.standard_normal(30)
            writer.append(f"v{number:02d}", {"default": code}, (f"c{number // 2}",))
    return path


def test_figures_and_queries_as_tables(codes):
    done = vidfeat("retrieve", codes, "--protocol", "labels")
    assert done.exit_code == 0, done.stderr
    head, queries = done.stdout.strip().split("\n\n")
    assert head.startswith("6 queries against 6 items, protocol labels, metric l2\nfigure")
    assert [line.split("  ")[0] for line in head.splitlines()[2:]] == [
        "map", "map stepwise", "recall@1", "recall@5", "recall@10", "recall@100", "hit@1", "hit@5", "hit@10", "hit@100",
    ]  # fmt: skip
    assert queries.splitlines()[0].split() == ["query", "ap", "positives", "first", "found", "at"]
    assert [line.split()[0] for line in queries.splitlines()[1:]] == [
        "a/v0.mp4", "a/v1.mp4", "b/v2.mp4", "b/v3.mp4", "c/v4.mp4", "c/v5.mp4",
    ]  # fmt: skip


def test_json_has_everything(codes):
    facts = json.loads(vidfeat("retrieve", codes, "--protocol", "labels", "--json").stdout)
    assert {"map", "map_stepwise", "recall", "hit", "queries", "config", "provenance", "counts"} <= facts.keys()
    assert len(facts["queries"]) == 6
    assert facts["output"] is None


def test_of_many_queries_the_worst_are_listed(many, tmp_path):
    done = vidfeat("retrieve", many, "--protocol", "labels", "--metric", "cosine", "-o", tmp_path / "OUT")
    assert done.exit_code == 0, done.stderr
    assert "The 10 of 60 queries that went worst:" in done.stdout
    assert done.stdout.rstrip().endswith(f"Results are in {tmp_path / 'OUT'}.")
    again = vidfeat("retrieve", many, "--protocol", "labels", "-o", tmp_path / "OUT")
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_a_sheet_of_videos_by_their_features_file(codes, features, tmp_path):
    sheet = tmp_path / "sheet.png"
    command = ["retrieve", codes, "--protocol", "labels", "--contact-sheet", sheet, "--images", features]
    done = vidfeat(*command, "--show", "a/v0.mp4", "--show", "b/v2.mp4")
    assert done.exit_code == 0, done.stderr
    assert f"The contact sheet is {sheet}." in done.stdout
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_help_names_every_option():
    text = vidfeat("retrieve", "--help").stdout
    for field in dataclasses.fields(RetrieveConfig):
        if not field.metadata["argument"]:
            assert flag_of(field.name) in text


def test_a_config_file_may_name_queries(codes, features, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(
        f'[retrieve]\nprotocol = "labels"\nimages = "{features}"\ncontact-sheet = "{tmp_path / "s.png"}"\n'
        'show = ["a/v0.mp4"]\n'
    )
    done = vidfeat("retrieve", codes, "--config", config)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retrieve"], "Missing CODES, --protocol: 'vidfeat retrieve --help' shows"),
        (["retrieve", "nowhere.h5", "--protocol", "labels"], "nowhere.h5 does not exist. Make it with 'vidfeat encode"),
        (["retrieve", "{codes}", "--protocol", "oxford"], "--protocol oxford needs --ground-truth"),
        (["retrieve", "{codes}", "--protocol", "holidays"], "is named like a picture of Holidays, such as 100000.jpg"),
        (["retrieve", "{codes}", "--protocol", "labels", "--device", "cuda:99"], "device 'cuda:99' was asked for"),
        (["retrieve", "{codes}", "--protocol", "copydays"], "copydays"),
    ],
)
def test_wrong_usage_exits_2_with_words(codes, arguments, words):
    result = vidfeat(*(part.format(codes=codes) for part in arguments))
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
