"""Options of 'vidfeat encode' that a method would ignore are refused, and no others."""

import json

import pytest
from typer.testing import CliRunner

from vidfeat.cli.main import app
from vidfeat.errors import UsageError
from vidfeat.stages import encode, encoding, predict, runs, svm
from vidfeat.stages.config.encode import METHODS_OF, EncodeConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.svm import SvmTrainConfig

METHODS = ("avg", "max", "rankpool", "approx-rankpool", "hier-rankpool")
OTHERS = {
    "C": "5", "epsilon": 0.5, "direction": "both", "map": "ssr", "no_smooth": True, "window": 9, "window_stride": 3,
    "depth": 3, "no_normalize": True,
}  # fmt: skip


def config_of(tmp_path, **options):
    return EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", **options)


def encoder_of(config, **unchecked):
    """Parameters of the estimator for a config, with options that the config itself may refuse."""
    config.__dict__.pop("C_values", None)
    for name, value in unchecked.items():
        object.__setattr__(config, name, value)
    return {name: value for name, value in encoding.build_encoder(config).get_params().items() if name != "pool"}


@pytest.mark.parametrize("pyramid", [1, 2])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", OTHERS)
def test_an_option_is_taken_just_where_it_changes_the_encoder(tmp_path, name, method, pyramid):
    common, option = {"method": method, "pyramid": pyramid}, {name: OTHERS[name]}
    changes = encoder_of(config_of(tmp_path, **common), **option) != encoder_of(config_of(tmp_path, **common))
    if changes:
        config_of(tmp_path, **common, **option)
    else:
        with pytest.raises(UsageError, match="has no effect"):
            config_of(tmp_path, **common, **option)
    assert changes == (method in METHODS_OF.get(name, METHODS))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"method": "max", "direction": "both"},
            r"^--direction both has no effect with --method max, only with rankpool, approx-rankpool, hier-rankpool\. "
            r"Leave it out, on the command line or in the --config file, or change --method\.$",
        ),
        ({"method": "approx-rankpool", "C": "10"}, r"--C 10 has no effect .*, only with rankpool, hier-rankpool\."),
        ({"C": "1,2"}, "--C 1,2 has no effect with --method avg"),
        ({"no_smooth": True}, "--no-smooth has no effect with --method avg"),
        ({"method": "rankpool", "window_stride": 2}, "--window-stride 2 .* --method rankpool, only with hier-rankpool"),
        (
            {"method": "hier-rankpool", "depth": 1, "window": 30},
            r"--window 30 has no effect with --depth 1, only with 2 or more\. .* or change --depth\.",
        ),
        ({"method": "hier-rankpool", "depth": 1, "map": "ssr"}, "--map ssr has no effect with --depth 1"),
    ],
)
def test_the_words_say_what_came_where_it_belongs_and_what_to_do(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        config_of(tmp_path, **options)


def test_defaults_may_be_given_to_any_method(tmp_path):
    for method in METHODS:
        given = {"C": "2.0", "epsilon": 0.1, "direction": "forward", "map": "none", "no_smooth": False, "window": 20}
        assert config_of(tmp_path, method=method, **given).C_values == [2.0]


def test_on_the_command_line_and_from_a_config_file(features, tmp_path):
    def run(*flags):
        arguments = ["encode", str(features), "-o", str(tmp_path / "c.h5"), *flags, "--json"]
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})

    refused = run("--method", "max", "--direction", "both")
    assert refused.exit_code == 2
    assert "--direction both has no effect with --method max" in refused.stderr
    file = tmp_path / "c.toml"
    file.write_text('[encode]\nmethod = "rankpool"\nC = 2.0\nmap = "ssr"\n')
    assert json.loads(run("--config", str(file)).stdout)["items"] == 6
    refused = run("--config", str(file), "--method", "avg")
    assert refused.exit_code == 2
    assert "--map ssr has no effect with --method avg" in refused.stderr
    assert run("--config", str(file), "--method", "avg", "--map", "none").exit_code == 0


def test_predict_takes_runs_of_earlier_versions_which_ignored_options(clips, features, tmp_path):
    encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", method="max"))
    svm.train(SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "R", leave_one_group_out=True, C="1"))
    video = PredictConfig(run=tmp_path / "R", inputs=[clips / "a" / "v0.mp4"], device="cpu")
    answer = predict.run(video).predictions
    meta = runs.read_json(tmp_path / "R", "model.json")
    meta["provenance"]["encode"] |= {"direction": "both", "C": "10"}
    (tmp_path / "R" / "model.json").write_text(json.dumps(meta))
    assert predict.run(video).predictions == answer
