"""A process that has imported torch once and forks for every run, so that a test of thirty runs pays for one import.

Only tests fork; vidfeat itself never does. The zygote starts no thread before it forks. Each line on stdin is a JSON
request; the answer is the pid of the run, then, when it has ended, its exit status (negative: the signal).
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def serve() -> None:
    import torchvision.models.feature_extraction  # noqa: F401

    import vidfeat.cli.main
    import vidfeat.stages.extract
    import vidfeat.stages.flow
    from vidfeat.features import Extractor
    from vidfeat.store import FeatureWriter

    # Tracing a network imports half of torch; it runs nothing, so it starts no thread.
    Extractor("squeezenet1_1", ["avgpool"], weights="none")

    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            stderr = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stderr, 2)
            os.dup2(stderr, 1)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            FeatureWriter.__init__.__kwdefaults__.update(request["writer"])
            if request["fsize"]:
                resource.setrlimit(resource.RLIMIT_FSIZE, (request["fsize"], request["fsize"]))
            sys.argv = ["vidfeat", *request["arguments"]]
            vidfeat.cli.main.main()
            os._exit(99)
        sys.stdout.write(f"pid {pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"status {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


class Zygote:
    """The test's end: ``start`` a run, signal it, ``wait`` for its status. One run at a time."""

    def __init__(self, stderr: Path) -> None:
        self.stderr = stderr
        self.running: int | None = None
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def start(self, arguments: list[str], *, fsize: int = 0, **writer) -> int:
        if self.running is not None:  # left by a test that failed
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.running, signal.SIGKILL)
            self.wait()
        request = {"arguments": arguments, "stderr": str(self.stderr), "fsize": fsize, "writer": writer}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        self.running = self._answer("pid")
        return self.running

    def wait(self) -> int:
        self.running = None
        return self._answer("status")

    def _answer(self, kind: str) -> int:
        word, value = self.process.stdout.readline().split()
        if word != kind:
            raise RuntimeError(f"the zygote answered {word} {value} where {kind} was expected")
        return int(value)

    def run(self, arguments: list[str], **options) -> int:
        self.start(arguments, **options)
        return self.wait()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


if __name__ == "__main__":
    serve()
