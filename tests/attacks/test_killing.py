"""Killed at random moments, nothing is lost, nothing half has a name, and the command goes on."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and locks as Linux does")


@pytest.mark.parametrize(
    ("victim", "kills"),
    [
        pytest.param("prediction", 2, marks=pytest.mark.slow),
        pytest.param("prediction", 50, marks=pytest.mark.slow),
        pytest.param("export", 50, marks=pytest.mark.slow),
        pytest.param("training", 50, marks=pytest.mark.slow),
    ],
)
def test_nothing_is_lost_by_kills(victim, kills):
    command = [sys.executable, "-m", "tests.attacks.killing", victim, "--kills", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("nothing lost\n")
