"""One environment: a Python, a pair of TensorFlow and Keras, the wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.versions.pairs import PYTEST, Pair

ROOT = Path(__file__).parents[2]
STEPS = Path(__file__).with_name("steps.py")
REPORT = ("--dry-run", "--quiet", "--report", "-")
READ_ONLY = 'mount --bind "$0" "$0" 2>/dev/null && mount -o remount,ro,bind "$0" 2>/dev/null'
"""Shell line that mounts site-packages read-only, where a file system may be mounted."""


@dataclass
class Trial:
    """One environment and what its checks gave.

    name: the pair.
    folder: place of the environment, and of `files` beside it.
    facts: versions, seconds and other values for the table.
    checks: name of a check → "" if it passed, else what failed.
    """

    name: str
    folder: Path
    facts: dict = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """Folder of what the environment has written."""
        return self.folder.with_name(f"{self.name}-files")

    @property
    def demo_model(self) -> Path:
        return self.files / "demo" / "model.keras"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def failures(self) -> list[str]:
        return [f"{self.name}, {name}: {error}" for name, error in self.checks.items() if error]

    def keep(self) -> None:
        """Writes the results beside the files."""
        record = asdict(self) | {"folder": str(self.folder)}
        self.folder.with_name(f"{self.name}.json").write_text(json.dumps(record, indent=1))

    @classmethod
    def open(cls, folder: Path) -> Trial:
        """The kept trial of a folder, or a new one."""
        path = folder.with_name(f"{folder.name}.json")
        if not path.exists():
            return cls(folder.name, folder)
        return cls(**json.loads(path.read_text()) | {"folder": folder})


def interpreter(versions: tuple[str, ...]) -> str:
    """The first Python of these minor versions on PATH or of pyenv.

    Raises: FileNotFoundError if there is none that can make environments.
    """
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for version in versions:
        places = [sys.executable, shutil.which(f"python{version}")]
        places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for place in filter(None, places):
            done = subprocess.run([place, "-c", code], capture_output=True, text=True)
            if done.stdout.strip() == version:
                return str(place)
    raise FileNotFoundError(
        f"No Python {' or '.join(versions)} was found on PATH or in ~/.pyenv/versions. "
        "Install one, or choose another with --python."
    )


def build_wheel(folder: Path) -> Path:
    """Builds from a copy, so that nothing is left in the repository."""
    source = folder / "source"
    ignored = shutil.ignore_patterns(".git", "build", "*.egg-info", "__pycache__", "results")
    for old in (source, *folder.glob("*.whl")):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"The wheel was not built: {(done.stdout + done.stderr)[-1000:]}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(trial: Trial, pair: Pair, wheel: Path) -> dict[str, str]:
    """Installs the pair, then the wheel; keeps what pip would replace."""
    try:
        base = interpreter(pair.pythons)
    except FileNotFoundError as error:
        return {"Python": str(error)}
    subprocess.run([base, "-m", "venv", "--clear", trial.folder], check=True)
    pip(trial, "install", "--quiet", *pair.requirements)
    before = {_plain(each["name"]): each["version"] for each in _list(trial)}
    report = json.loads(pip(trial, "install", *REPORT, str(wheel)))
    replaced = []
    for each in report["install"]:
        name, version = _plain(each["metadata"]["name"]), each["metadata"]["version"]
        if name in before:
            replaced.append(f"{name} {before[name]} → {version}")
    trial.checks["pip would replace"] = "; ".join(replaced)
    trial.facts["pip would replace"] = "nothing"
    pip(trial, "install", "--quiet", str(wheel))
    return {}


def update(trial: Trial, wheel: Path) -> None:
    """Installs another wheel of the same version."""
    pip(trial, "install", "--quiet", "--force-reinstall", "--no-deps", str(wheel))


def step(trial: Trial, name: str, *arguments: str | Path):
    """Runs a function of `steps.py` there: without HOME and DISPLAY, site-packages read-only.

    Raises: RuntimeError with the end of its stderr if it failed.
    """
    (site,) = trial.folder.glob("lib/python3*/site-packages")
    environment = {
        "PATH": os.defpath,
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "MPLCONFIGDIR": str(trial.files),
    }
    command = ["sh", "-c", f'{READ_ONLY}\nexec "$@"', site, trial.python, "-P", STEPS, name]
    own = ["unshare", "--mount"]
    if shutil.which(own[0]) and not subprocess.run([*own, "true"], capture_output=True).returncode:
        command = [*own, *command]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return json.loads(lines[-1].removeprefix("RESULT "))


def run_tests(trial: Trial, row: str, *arguments: str) -> dict[str, str]:
    """Runs pytest on a copy of `tests`, so that the wheel is what it imports."""
    source = trial.files / "repository"
    pip(trial, "install", "--quiet", *PYTEST)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tests", source / "tests", ignore=ignored, dirs_exist_ok=True)
    for name in ("pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, source)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("PYTHONPATH", None)
    command = [trial.python, "-m", "pytest", "-n0", "-q", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments], cwd=source, env=environment, capture_output=True, text=True
    )
    lines = done.stdout.strip().splitlines() or [done.stderr[-500:]]
    (trial.files / f"{row}.log").write_text(done.stdout + done.stderr)
    trial.facts[row] = re.sub(r" in [\d.]+s.*", "", lines[-1].strip("= "))
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {} if not done.returncode else {"pytest": "; ".join(failed) or lines[-1]}


def check(trial: Trial, name: str, work: Callable[[], dict[str, str]]) -> None:
    """Runs `work` → {part: "" or what failed}, unless it passed before; keeps the outcome."""
    if trial.checks.get(name) == "":
        return
    start = time.monotonic()
    try:
        problems = [f"{part}: {problem}" for part, problem in work().items() if problem]
        trial.checks[name] = "; ".join(problems)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        trial.checks[name] = str(error) or type(error).__name__
    trial.seconds[name] = round(time.monotonic() - start)
    trial.keep()
    state = "FAILED" if trial.checks[name] else "passed"
    line = f"{trial.name}, {name}: {state} ({trial.seconds[name]} s) {trial.checks[name]}"
    sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


def pip(trial: Trial, *arguments: str) -> str:
    done = subprocess.run(
        [trial.python, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _list(trial: Trial) -> list[dict]:
    return json.loads(pip(trial, "list", "--format", "json"))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
