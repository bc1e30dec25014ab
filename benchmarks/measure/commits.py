"""Start-up and training steps of two commits: before and after a change.

    python -m benchmarks.measure.commits --before COMMIT [--after COMMIT] [--quick]

Takes keras_seg out of both commits and runs them with this interpreter and its packages, in turn,
so that the noise of the machine affects both equally. Every start is a new process. Writes
`commits.json` and `commits.md`.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import common
from benchmarks.measure.training import BATCH, MEASURED, QUICK_BATCH, QUICK_SIZE, SIZE, Worker

ROOT = Path(__file__).parents[2]
SIDES = ("before", "after")
STARTS = {
    "keras-seg --help": ["-m", "keras_seg.cli", "--help"],
    "import keras_seg": ["-c", "import keras_seg"],
    "import keras_seg.losses": ["-c", "import keras_seg.losses"],
    "import keras_seg.models": ["-c", "import keras_seg.models"],
    "import keras_seg.inference": ["-c", "import keras_seg.inference"],
    "import keras_seg.export": ["-c", "import keras_seg.export"],
}
REPEATS, QUICK_REPEATS = 10, 2
STEPS, QUICK_STEPS = 5, 2
TURNS, QUICK_TURNS = 4, 2


def main() -> None:
    options = _arguments()
    commits = {side: full_hash(getattr(options, side)) for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        environments = {
            side: environment(unpack(commit, Path(folder, side)))
            for side, commit in commits.items()
        }
        record = {
            "machine": common.machine(options.threads),
            "versions": common.versions(("tensorflow", "keras", "numpy")),
            "commits": commits,
            "size": QUICK_SIZE if options.quick else SIZE,
            "batch": QUICK_BATCH if options.quick else BATCH,
            "starts": measure_starts(environments, options.quick),
        }
        record["steps"] = measure_steps(environments, record, options)
    common.write(common.output_folder(options) / "commits.json", record, markdown(record))


def unpack(commit: str, folder: Path) -> Path:
    """Writes the package of a commit to a folder, without tests and benchmarks.

    Raises: SystemExit outside of a clone, or if the commit has no keras_seg.
    """
    command = ["git", "-C", str(ROOT), "archive", commit, "keras_seg", "export"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        sys.exit(f"git cannot read keras_seg of {commit}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    link = folder / "keras_seg" / "export"
    if not link.exists():
        link.symlink_to(folder / "export")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Variables with which a process imports keras_seg from there and benchmarks from here."""
    return {
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "",  # modules are compiled once, as after an installation
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def measure_starts(environments: dict[str, dict[str, str]], quick: bool) -> dict[str, dict]:
    """Name of a start → side → milliseconds and, of `after`, the ratio to `before`."""
    repeats, starts = (QUICK_REPEATS, [*STARTS][:2]) if quick else (REPEATS, [*STARTS])
    times = {}
    for name in starts:
        samplers = {
            side: start_sampler(STARTS[name], variables) for side, variables in environments.items()
        }
        # the first round compiles the modules
        times[name] = common.interleaved(samplers, repeats=repeats, warm_up=1, reference="before")
        print(f"{name}: {times[name]}", flush=True)
    return times


def start_sampler(arguments: list[str], variables: dict[str, str]) -> Callable[[], float]:
    """Raises: CalledProcessError, when called, if the process fails."""

    def run() -> None:
        command = [sys.executable, "-P", *arguments]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | variables)

    return lambda: common.milliseconds(run)


def measure_steps(
    environments: dict[str, dict[str, str]], record: dict, options: argparse.Namespace
) -> dict[str, dict]:
    """Network → side → milliseconds of a training step, first step, peak memory."""
    steps, turns = (QUICK_STEPS, QUICK_TURNS) if options.quick else (STEPS, TURNS)
    facts = {"size": record["size"], "batch": record["batch"], "threads": options.threads}
    command = [sys.executable, "-P", "-m", "benchmarks.measure.training", "--worker"]
    times = {}
    for network in MEASURED[:1] if options.quick else MEASURED:
        workers = {
            side: Worker(command, {"network": network, **facts}, variables)
            for side, variables in environments.items()
        }
        samples: dict[str, list[float]] = {side: [] for side in workers}
        for worker in workers.values():
            worker.steps(1)
        for _ in range(turns):
            for side, worker in workers.items():
                samples[side] += [1e3 * seconds for seconds in worker.steps(steps)]
        for side, worker in workers.items():
            if worker.error:
                sys.exit(f"{network}, {side}: {worker.error}")
        times[network] = common.summaries(samples, "before")
        for side, worker in workers.items():
            times[network][side] |= worker.finish()
        print(f"{network}: {times[network]}", flush=True)
    return times


def markdown(record: dict) -> str:
    commits = ", ".join(f"{side} {commit[:9]}" for side, commit in record["commits"].items())
    head = ("", *(f"{side}: ms, median / p90" for side in SIDES), "after / before")
    return (
        f"# Two commits: {commits}\n\n{common.machine_line(record)} Processes take turns.\n\n"
        f"{common.markdown_table(head, map(_row, record['starts'].items()))}\n"
        f"Training steps, batches of {record['batch']} x {record['size']} x {record['size']} x 3:"
        f"\n\n{common.markdown_table(head, map(_row, record['steps'].items()))}"
    )


def _row(named: tuple[str, dict]) -> tuple[str, ...]:
    name, times = named
    cells = (f"{times[side]['median_ms']:.0f} / {times[side]['p90_ms']:.0f}" for side in SIDES)
    return (name, *cells, f"{times['after']['ratio']:.3f}")


def full_hash(commit: str) -> str:
    """The hash of a commit, branch or tag; SystemExit if there is none."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"There is no commit {commit!r} in {ROOT}.")
    return done.stdout.strip()


def _arguments() -> argparse.Namespace:
    parser = common.parser(__doc__, quick="two starts, one network, small images, few steps")
    parser.add_argument("--before", required=True, help="commit, branch or tag")
    parser.add_argument("--after", default="HEAD", help="commit, branch or tag")
    return parser.parse_args()


if __name__ == "__main__":
    main()
