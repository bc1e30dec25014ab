"""The wheel in environments of its own, with the oldest TensorFlow and Keras, Colab's, the newest.

    python -m tests.versions                       # all three, in full: about an hour on two cores
    python -m tests.versions --write               # and into docs/versions.md
    python -m tests.versions --pairs oldest --short
    python -m tests.versions --pairs newest --python 3.12

Installs each pair alone, asks pip what the wheel would replace there, installs the wheel, and runs
`tests/version_steps.py` in it: without HOME and DISPLAY, and, where a file system may be mounted,
with site-packages read-only. Files that each pair wrote are then read by each other. Needs an index
of packages, and three gigabytes of disk a pair.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from keras_seg.tested_versions import COLAB, OLDEST

ROOT = Path(__file__).parent.parent
STEPS = ROOT / "tests" / "version_steps.py"
PAGE = ROOT / "docs" / "versions.md"
START, END = "<!-- written by tests.versions -->\n", "<!-- end of tests.versions -->"
REPORT = ("--dry-run", "--quiet", "--report", "-")
TESTED = (
    *("test_unet", "test_deeplabv3plus", "test_segnet", "test_danet", "test_batch_normalization"),
    *("test_golden", "test_tflite_audit", "test_onnx_export", "test_subpixel"),
    *("test_fused_argmax", "test_fake_quantize"),
)
"""Test files that need nothing of the repository but `tests`."""
FEW = ("unet", "segnet", "deeplabv3plus")
"""Networks of `--short`, which have the layers of the others but for attention."""
PYTEST = ("pytest<9.2", "pytest-xdist", "hypothesis")


@dataclass(frozen=True)
class Pair:
    """python: minor version; requirements: what is there before the wheel comes."""

    python: str
    requirements: tuple[str, ...]


PAIRS = {
    "newest": Pair("3.13", ("tensorflow", "keras")),
    # of the list of packages that Colab publishes
    "colab": Pair(
        "3.12",
        (
            f"tensorflow=={COLAB.tensorflow}.*",
            f"keras=={COLAB.keras}.*",
            "numpy==2.1.3",
            "protobuf==5.29.6",
            "h5py==3.16.0",
            "flatbuffers==25.12.19",
        ),
    ),
    "oldest": Pair("3.11", (f"tensorflow=={OLDEST.tensorflow}.*", f"keras=={OLDEST.keras}.*")),
}


@dataclass
class Trial:
    """What was found in one environment. Of `checks`: name → "" or what failed."""

    name: str
    place: Path
    files: Path
    facts: dict = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, int] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        return self.place / "bin" / "python"

    def failures(self) -> list[str]:
        return [f"{self.name}, {name}: {said}" for name, said in self.checks.items() if said]


def interpreter(version: str) -> str:
    """A Python of that minor version, of PATH or of pyenv.

    Raises: FileNotFoundError if there is none that can make environments.
    """
    places = [sys.executable, shutil.which(f"python{version}")]
    places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for place in filter(None, places):
        code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([place, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return str(place)
    raise FileNotFoundError(f"No Python {version} was found on PATH or in ~/.pyenv/versions.")


def build_wheel(folder: Path) -> Path:
    """From a copy, so that nothing is left in the repository."""
    ignored = shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "results")
    shutil.copytree(ROOT, folder / "source", ignore=ignored)
    words = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "source"]
    subprocess.run(words, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(trial: Trial, base: str, wheel: Path, requirements: tuple[str, ...]):
    """The pair alone, then the wheel; keeps which packages of the pair the wheel would replace."""
    subprocess.run([base, "-m", "venv", trial.place], check=True)
    _pip(trial, "install", "--quiet", *requirements)
    before = {_plain(each["name"]): each["version"] for each in _list(trial)}
    report = json.loads(_pip(trial, "install", *REPORT, str(wheel)))
    for each in report["install"]:
        name, version = _plain(each["metadata"]["name"]), each["metadata"]["version"]
        if name in before:
            trial.replaced.append(f"{name} {before[name]} → {version}")
    _pip(trial, "install", "--quiet", str(wheel))


def step(trial: Trial, name: str, *arguments: str | Path):
    """The result of a function of tests/version_steps.py.

    Raises: RuntimeError with the end of what it wrote if it failed.
    """
    (site,) = trial.place.glob("lib/python3*/site-packages")
    environment = {
        "PATH": os.defpath,
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLCONFIGDIR": str(trial.files),
    }
    guarded = (
        'mount --bind "$0" "$0" 2>/dev/null && mount -o remount,ro,bind "$0" 2>/dev/null\nexec "$@"'
    )
    words = ["sh", "-c", guarded, site, trial.python, "-P", STEPS, name, *arguments]
    own = ["unshare", "--mount"]
    if shutil.which(own[0]) and not subprocess.run([*own, "true"], capture_output=True).returncode:
        words = [*own, *words]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return json.loads(lines[-1].removeprefix("RESULT "))


def check(trial: Trial, name: str, work):
    """Runs `work` → {part: "" or what failed}, and keeps the outcome under this name."""
    start = time.monotonic()
    try:
        parts = work()
        said = "; ".join(f"{part}: {problem}" for part, problem in parts.items() if problem)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        said = str(error)
    trial.checks[name] = said
    trial.seconds[name] = round(time.monotonic() - start)
    state = "FAILED" if said else "passed"
    sys.stdout.write(f"{trial.name}, {name}: {state} ({trial.seconds[name]} s) {said}\n")
    sys.stdout.flush()


def run_tests(trial: Trial, name: str, *words: str) -> dict[str, str]:
    """Runs pytest on a copy of `tests`, so that the wheel is what it imports."""
    source = trial.files / "repository"
    if not source.exists():
        _pip(trial, "install", "--quiet", *PYTEST)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tests", source / "tests", ignore=ignored)
        for name in ("pyproject.toml", "setup.cfg"):
            shutil.copy(ROOT / name, source)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    command = [trial.python, "-m", "pytest", "-n0", "-q", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *words], cwd=source, env=environment, capture_output=True, text=True
    )
    lines = done.stdout.strip().splitlines() or [done.stderr[-500:]]
    trial.facts[name] = re.sub(r" in [\d.]+s.*", "", lines[-1].strip("= "))
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {} if not done.returncode else {"pytest": "; ".join(failed) or lines[-1]}


def try_pair(
    trial: Trial,
    wheel: Path,
    pair: Pair,
    *,
    data: Path,
    short: bool = False,
    without: tuple[str, ...] = (),
    model: Path | None = None,
):
    """Every step of one environment; `model` is what it exports, by default its demo's."""

    def installs():
        install(trial, interpreter(pair.python), wheel, pair.requirements)
        return {}

    def imports():
        trial.facts |= step(trial, "installed")
        return {} if trial.facts["lazy"] else {"import keras_seg": "brings TensorFlow in"}

    def demo():
        step(trial, "demo", trial.files / "demo")
        return {}

    check(trial, "install", installs)
    if trial.checks["install"]:
        return
    check(trial, "import", imports)
    names = FEW if short else ()
    check(trial, "networks", lambda: step(trial, "networks", trial.files, *names))
    if short:
        return
    check(trial, "demo", demo)
    model = model or trial.files / "demo" / "model.keras"
    exported = trial.files / "exported"
    exported.mkdir()
    check(trial, "export", lambda: step(trial, "exports", model, data, exported))
    check(trial, "gate", lambda: step(trial, "gate", model, data, trial.files))
    suites = {
        "resume": ["tests/training/test_resume.py"],
        "two devices": ["tests/training/test_distribution.py", "-k", "Mirrored"],
        "tests": [f"tests/{name}.py" for name in TESTED],
    }
    for name, words in suites.items():
        if name not in without:
            check(trial, name, lambda name=name, words=words: run_tests(trial, name, *words))


def across(trials: list[Trial], data: Path, *, short: bool):
    """Each reads what each other has written."""
    for writer, reader in permutations(trials, 2):
        folder, name = writer.files, f"reads .keras of {writer.name}"
        check(reader, name, lambda reader=reader, folder=folder: step(reader, "read", folder))
        if short:
            continue

        def read_exported(writer=writer, reader=reader):
            found = step(reader, "maps", data, writer.files / "exported")
            return {name: f"{share:.2%} other classes" for name, share in found.items() if share}

        check(reader, f"runs files of {writer.name}", read_exported)


def draw(path: Path) -> Path:
    """Eight cells to calibrate with and eight to compare, the same for all environments."""
    import numpy as np

    from keras_seg.data import BuiltinDataset

    drawn = {}
    for split in ("train", "val"):
        samples = list(BuiltinDataset("cells", split, length=8))
        drawn[f"{split}_images"] = np.stack([sample.image for sample in samples])
        drawn[f"{split}_masks"] = np.stack([sample.mask for sample in samples])
    np.savez(path, **drawn)
    return path


def written_alike(trials: list[Trial]) -> dict[str, dict[str, float]]:
    """File → pair → share of pixels whose class is another than in the first pair's file."""
    import numpy as np

    first, *others = (trial.files / "exported" for trial in trials)
    found = {}
    for path in sorted(first.glob("*.npy")):
        expected = np.load(path)
        found[path.stem] = {
            trial.name: float(np.mean(np.load(folder / path.name) != expected))
            for trial, folder in zip(trials[1:], others, strict=True)
            if (folder / path.name).exists()
        }
    return found


def tables(trials: list[Trial], alike: dict[str, dict[str, float]]) -> str:
    """What was found, in markdown."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.checks))
    rows = [["", *(trial.name for trial in trials)], ["---"] * (len(trials) + 1)]
    rows.append(["Python", *(trial.facts.get("python", "") for trial in trials)])
    for package in ("tensorflow", "keras", "numpy", "protobuf", "onnx"):
        rows.append([package, *(t.facts.get("versions", {}).get(package, "") for t in trials)])
    rows.append(["pip would replace", *("; ".join(t.replaced) or "nothing" for t in trials)])
    seconds = (f"{t.facts['seconds']:.2f} s" if "seconds" in t.facts else "" for t in trials)
    rows.append(["`import keras_seg`", *seconds])
    for name in names:
        rows.append([name, *(_state(trial, name) for trial in trials)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if alike and len(trials) > 1:
        others = [trial.name for trial in trials[1:]]
        lines += [
            "",
            f"Pixels of which the file that another pair exported names another class than the "
            f"file of `{trials[0].name}` does, both of the same trained model:",
            "",
            f"| file | {' | '.join(others)} |",
            f"|{' --- |' * (len(others) + 1)}",
        ]
        for name, shares in alike.items():
            cells = [f"{shares[o]:.3%}" if o in shares else "" for o in others]
            lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(page: Path, text: str):
    """Between the marks of the page, whose other text stays."""
    before, rest = page.read_text().split(START)
    page.write_text(before + START + text + END + rest.split(END)[1])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=[*PAIRS])
    parser.add_argument("--python", help="this one in place of each pair's own")
    parser.add_argument(
        "--short", action="store_true", help="install, import, three networks, their files"
    )
    parser.add_argument("--write", action="store_true", help=f"the tables into {PAGE.name}")
    parser.add_argument("--without", nargs="+", default=[], help="such as: resume tests")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        wheel, model, trials = build_wheel(Path(scratch)), None, []
        data = draw(Path(scratch, "cells.npz"))
        for name in options.pairs:
            trial = Trial(name, Path(scratch, name), Path(scratch, f"{name}-files"))
            trial.files.mkdir()
            pair = PAIRS[name]
            pair = Pair(options.python or pair.python, pair.requirements)
            chosen = {"short": options.short, "without": tuple(options.without)}
            try_pair(trial, wheel, pair, data=data, model=model, **chosen)
            trials.append(trial)
            model = model or trials[0].files / "demo" / "model.keras"
        installed = [trial for trial in trials if not trial.checks["install"]]
        across(installed, data, short=options.short)
        alike = {} if options.short else written_alike(installed)
        text = tables(trials, alike)
    sys.stdout.write(f"\n{text}")
    failures = [line for trial in trials for line in trial.failures()]
    sys.stdout.write("".join(f"FAILED {line}\n" for line in failures))
    if options.write:
        write(PAGE, text)
    return int(bool(failures))


def _state(trial: Trial, name: str) -> str:
    if name not in trial.checks:
        return ""
    said = trial.checks[name].replace("|", "/").split("\n")[-1]
    return f"**failed**: {said[-200:]}" if said else trial.facts.get(name, "yes")


def _pip(trial: Trial, *words: str) -> str:
    done = subprocess.run(
        [trial.python, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(words)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _list(trial: Trial) -> list[dict]:
    return json.loads(_pip(trial, "list", "--format", "json"))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
