"""``vidfeat extract`` on the command line: shards of a job array, parts left as they are, and the dry run."""

import functools
import json
import os

from invoke import vidfeat
from small import SMALL_FLAGS, write_clips

from vidfeat.store import FeatureWriter


def test_shards_of_a_job_array_become_one_file(clips, features, tmp_path, monkeypatch):
    shards = [tmp_path / f"f.shard-00{number}-of-002.h5" for number in range(2)]
    for number, shard in enumerate(shards):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(number))
        flags = [*SMALL_FLAGS, "--shard", "slurm/2"]
        result = vidfeat("extract", clips, "-o", tmp_path / "f.h5", *flags)
        assert result.exit_code == 0, result.stderr
        assert json.loads(vidfeat("info", shard, "--json").stdout)["items"] == 3
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    refused = vidfeat("extract", clips, "-o", tmp_path / "f.h5", *SMALL_FLAGS, "--shard", "slurm/2")
    assert refused.exit_code == 2
    assert "SLURM_ARRAY_TASK_ID" in refused.stderr

    missing = vidfeat("merge", shards[1], "-o", tmp_path / "half.h5")
    assert missing.exit_code == 2
    assert "Shards 0 of 2 are missing" in missing.stderr
    assert not (tmp_path / "half.h5").exists()
    assert "3 items" in vidfeat("merge", shards[1], "-o", tmp_path / "half.h5", "--partial").stdout
    assert vidfeat("merge", *shards, "-o", tmp_path / "whole.h5").exit_code == 0
    assert vidfeat("merge", *shards, "-o", tmp_path / "links.h5", "--link").exit_code == 0
    assert json.loads(vidfeat("info", tmp_path / "links.h5", "--json").stdout)["links"]
    for merged in ("whole.h5", "links.h5"):
        assert vidfeat("diff", features, tmp_path / merged).exit_code == 0
    shards[0].unlink()
    assert vidfeat("diff", features, tmp_path / "whole.h5").exit_code == 0


def test_no_merge_leaves_links_to_the_parts(clips, features, tmp_path, monkeypatch):
    monkeypatch.setattr("vidfeat.stages.job.FeatureWriter", functools.partial(FeatureWriter, part_bytes=50_000))
    result = vidfeat("extract", clips, "-o", tmp_path / "f.h5", *SMALL_FLAGS, "--no-merge")
    assert result.exit_code == 0
    assert json.loads(vidfeat("info", tmp_path / "f.h5", "--json").stdout)["links"]
    assert len(list((tmp_path / "f.h5.parts").glob("part-*.h5"))) > 1
    assert vidfeat("diff", features, tmp_path / "f.h5").exit_code == 0
    dry = json.loads(vidfeat("extract", clips, "-o", tmp_path / "f.h5", *SMALL_FLAGS, "--dry-run", "--json").stdout)
    assert (dry["skipped"], dry["frames"]) == (6, 0)


def test_dry_run_tells_what_the_run_itself_would_say(clips, features, tmp_path):
    def dry(output, *flags):
        return vidfeat("extract", clips, "-o", output, *SMALL_FLAGS, "--dry-run", "--json", *flags)

    assert json.loads(dry(features).stdout)["skipped"] == 6
    for flags, words in [
        (("--fps", "5"), "fps: not set there, 5.0 here"),
        (("--map-pool", "max"), 'map-pool: not set there, "max" here'),
        (("--seed", "1"), 'weights: "none:seed=0'),
        (("--weights", "nofile.pth"), "'nofile.pth' does not exist"),
        (("--weights", "IMAGENET9"), "unknown weights 'IMAGENET9'"),
        (("--layers", "fc77"), "has no layer 'fc77'"),
    ]:
        result = dry(features, *flags)
        assert result.exit_code == 2, flags
        assert words in result.stderr
    assert json.loads(dry(features, "--fps", "5", "--overwrite").stdout)["skipped"] == 0
    damaged = tmp_path / "f.h5"
    damaged.write_bytes(features.read_bytes()[:3000])
    result = dry(damaged)
    assert result.exit_code == 3
    assert "damaged" in result.stderr


def test_dry_run_counts_changed_videos_as_to_do(tmp_path):
    clips = write_clips(tmp_path / "clips")
    assert vidfeat("extract", clips, "-o", tmp_path / "f.h5", *SMALL_FLAGS).exit_code == 0
    os.utime(clips / "a" / "v0.mp4", (1, 1))
    result = vidfeat("extract", clips, "-o", tmp_path / "f.h5", *SMALL_FLAGS, "--dry-run", "--json")
    facts = json.loads(result.stdout)
    assert (facts["items"], facts["skipped"], facts["frames"]) == (6, 5, 12)
