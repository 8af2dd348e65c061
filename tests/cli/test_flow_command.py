"""``vidfeat flow``, ``export`` and ``report flow`` on the command line, and the real command killed and stopped."""

import contextlib
import json
import os
import signal
import time

import pytest
import torch
from invoke import vidfeat
from videos import write_video

from vidfeat.flow.methods import METHODS
from vidfeat.flow.opencv_methods import PRESETS, FarnebackParameters
from vidfeat.flow.parameters import TVL1Parameters
from vidfeat.flow.raft import _DEFAULTS, MODELS
from vidfeat.flow.tvl1_flow import BACKENDS
from vidfeat.stages.config.flow import SETTINGS, MethodOptions
from vidfeat.store import diff, open_features, verify

FAST = ["--method", "dis", "--device", "cpu"]
CLIPS = 12
PART_BYTES = 15_000  # a few of the clips, so that a run of half a second has several parts
KILLS = 3


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many clips")
    for number in range(CLIPS):
        write_video(folder / f"v{number:02d}.mp4", 9 + number, width=96, height=72)
    return folder


@pytest.fixture(scope="module")
def reference(many, zygote, tmp_path_factory):
    output = tmp_path_factory.mktemp("reference") / "f.h5"
    assert zygote.run(command(many, output)) == 0
    return output


def command(folder, output) -> list[str]:
    return ["flow", str(folder), "-o", str(output), *FAST, "--workers", "1", "--threads", "1"]


def wait_for_part(output, pid) -> None:
    folder = output.with_name(output.name + ".parts")
    while not any(folder.glob("part-*.h5")) and not output.exists() and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.001)


def test_kill_9_and_resume(many, zygote, reference, tmp_path):
    killed = 0
    for number in range(KILLS):
        output = tmp_path / f"{number}.h5"
        pid = zygote.start(command(many, output), part_bytes=PART_BYTES)
        wait_for_part(output, pid)
        time.sleep(0.02 * number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed += zygote.wait() == -signal.SIGKILL
        if output.exists() or list(output.with_name(output.name + ".parts").glob("part-*.h5")):
            assert verify(output) == []
        assert zygote.run(command(many, output), part_bytes=PART_BYTES) == 0, zygote.stderr.read_text()
        assert diff(reference, output).equal()
        assert verify(output) == []
    assert killed >= KILLS // 2


def test_ctrl_c_keeps_what_is_finished(many, zygote, reference, tmp_path):
    output = tmp_path / "f.h5"
    pid = zygote.start(command(many, output), part_bytes=PART_BYTES)
    wait_for_part(output, pid)
    os.kill(pid, signal.SIGINT)
    assert zygote.wait() == 130
    words = zygote.stderr.read_text()
    assert "Everything finished is kept" in words
    assert "Traceback" not in words
    assert 0 < len(open_features(output)) < CLIPS
    assert zygote.run(command(many, output)) == 0
    assert diff(reference, output).equal()


def test_facts_words_and_exit_codes(clips, tmp_path):
    one = write_video(tmp_path / "one.mp4", 1)
    result = vidfeat("flow", clips, one, "-o", tmp_path / "f.h5", *FAST)
    assert result.exit_code == 1
    assert "6 done, 1 empty; 0 finished before. 98 fields in" in result.stdout
    assert "Reasons of the 1 without flow" in result.stdout
    again = vidfeat("flow", clips, one, "-o", tmp_path / "f.h5", *FAST)
    assert "f.h5: 1 empty; 6 finished before.\nReasons of the 1 without flow" in again.stdout
    again = vidfeat("flow", clips, one, "-o", tmp_path / "f.h5", *FAST, "--json")
    facts = json.loads(again.stdout)
    assert (facts["skipped"], facts["empty"], facts["fields"]) == (6, 1, 0)
    plan = vidfeat("flow", clips, "-o", tmp_path / "g.h5", *FAST, "--dry-run")
    assert "Would compute the flow of 6 items (0 finished, 0 unreadable), about 98 fields, 1.0 MB" in plan.stdout
    info = vidfeat("info", tmp_path / "f.h5").stdout.splitlines()
    assert "fields: 98" in info and not [line for line in info if line.startswith(("frames", "flow_rows"))]
    assert "nothing wrong" in vidfeat("verify", tmp_path / "f.h5").stdout
    exported = vidfeat("export", tmp_path / "f.h5", "--form", "jpg", "-o", tmp_path / "out", "--start-index", "1")
    assert exported.stdout.endswith("out: 98 fields.\n")
    assert len(list((tmp_path / "out").rglob("flow_x_00001.jpg"))) == 6


def test_lambda_is_an_option_like_others(clips, tmp_path):
    flags = ["--backend", "opencv", "--scales", "1", "--warps", "1", "--max-seconds", "0.09", "--json"]
    video = clips / "b" / "v2.mp4"
    assert vidfeat("flow", video, "-o", tmp_path / "f.h5", "--lambda", "0.3", *flags).exit_code == 0
    assert json.loads(vidfeat("info", tmp_path / "f.h5", "--json").stdout)["settings"]["lambda"] == 0.3
    config = tmp_path / "c.toml"
    config.write_text("[flow]\nlambda = 0.3\n")
    result = vidfeat("flow", video, "-o", tmp_path / "f.h5", "--config", config, *flags)
    assert json.loads(result.stdout)["skipped"] == 1
    config.write_text("[flow]\nlamda = 0.3\n")
    result = vidfeat("flow", video, "-o", tmp_path / "f.h5", "--config", config, *flags)
    assert result.exit_code == 2
    assert "no option 'lamda'; allowed are inputs, output, fps" in result.stderr
    assert " lambda," in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flow"], "Missing IN..., --output"),
        (["flow", "nowhere.mp4", "-o", "f.h5"], "Input 'nowhere.mp4' does not exist"),
        (["flow", "README.md", "-o", "f.h5", "--tau", "0.1", "--method", "raft"], "--tau 0.1 has no effect with"),
        (["flow", "README.md", "-o", "f.h5", "--bound", "-1"], "--bound is -1; it must be a number of pixels above 0"),
        (["flow", "README.md", "-o", "f.h5", "--tau", "-1"], "error: --tau is -1.0; it must be above 0 (default 0.25)"),
        (["report", "flow", "README.md", "-o", "f.gif"], "films are written as .mp4"),
        (["extract", "README.md", "-o", "f.h5", "--bound", "5"], "--bound 5.0 has no effect with --stream rgb"),
        (["export", "nowhere.h5", "--form", "flo", "-o", "out"], "nowhere.h5 does not exist"),
    ],
)
def test_wrong_usage_exits_2_with_words(arguments, words):
    result = vidfeat(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_numbers_of_things_and_what_is_said_when_there_is_nothing_to_do(clips, tmp_path):
    video, output = clips / "b" / "v2.mp4", tmp_path / "f.h5"
    short = [*FAST, "--max-seconds", "0.05"]
    assert "Would compute the flow of 1 item (" in vidfeat("flow", video, "-o", output, *short, "--dry-run").stdout
    first = vidfeat("flow", video, "-o", output, *short)
    assert "1 item: 1 to do" in first.stderr
    assert "f.h5: 1 done; 0 finished before. 1 field in" in first.stdout
    assert vidfeat("flow", video, "-o", output, *short).stdout.endswith("f.h5: nothing to do, its one item is there.\n")
    vidfeat("flow", clips / "b", "-o", tmp_path / "two.h5", *FAST)
    again = vidfeat("flow", clips / "b", "-o", tmp_path / "two.h5", *FAST)
    assert again.stdout.endswith("two.h5: nothing to do, all 2 items are there.\n")
    assert vidfeat("verify", output).stdout == "1 item in 1 file: all read, nothing wrong.\n"
    assert vidfeat("export", output, "--form", "flo", "-o", tmp_path / "out").stdout.endswith("out: 1 field.\n")
    shown = vidfeat("report", "flow", video, "-o", tmp_path / "f.mp4", *short)
    assert "f.mp4: 1 done. 1 field in" in shown.stdout and "vidfeat: 1 item.\n" in shown.stderr


NETWORK = "--backbone squeezenet1_1 --layers avgpool --weights none".split()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
@pytest.mark.parametrize(
    "command", [["flow"], ["extract", *NETWORK, "--stream", "flow"], ["extract", *NETWORK, "--stream", "rgb,flow"]]
)
@pytest.mark.parametrize("option", ["--backend triton", "--device cuda", "--tau -1"])
def test_a_dry_run_refuses_what_the_run_refuses(clips, tmp_path, command, option):
    plan, real = (
        vidfeat(*command, clips / "b" / "v2.mp4", "-o", tmp_path / "f.h5", *option.split(), *dry)
        for dry in (["--dry-run"], [])
    )
    assert (plan.exit_code, real.exit_code) == (2, 2)
    assert plan.stderr == real.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
@pytest.mark.parametrize("command", [["flow"], ["report", "flow"], ["extract", "--stream", "flow"]])
def test_cuda_without_a_gpu_is_refused(clips, tmp_path, command):
    result = vidfeat(*command, clips, "-o", tmp_path / "f", "--device", "cuda")
    assert result.exit_code == 2
    assert "0 CUDA devices" in result.stderr and "Use --device cpu" in result.stderr


def test_options_name_what_the_methods_have():
    """The config cannot import the methods (``--help`` must be fast), so it repeats their names and defaults."""
    fields = MethodOptions.__dataclass_fields__
    hints = {name: str(field.type) for name, field in fields.items()}
    for name, values in [
        ("method", METHODS), ("backend", BACKENDS), ("dis_preset", PRESETS), ("raft_model", MODELS),
    ]:  # fmt: skip
        assert all(f"'{value}'" in hints[name].replace('"', "'") for value in values), name
    defaults = {
        "tvl1": {name: field.default for name, field in TVL1Parameters.__dataclass_fields__.items()},
        "farneback": {name: field.default for name, field in FarnebackParameters.__dataclass_fields__.items()},
        "dis": {"preset": "medium"},
        "raft": {name: value for name, value in _DEFAULTS.items() if name != "seed"},
    }
    for method, known in defaults.items():
        options = {setting: name for name, (owner, setting) in SETTINGS.items() if owner == method}
        assert set(options) - {"backend"} == set(known)
        for setting, value in known.items():
            if value is not False:
                assert f"By default {value}" in fields[options[setting]].metadata["help"], setting
