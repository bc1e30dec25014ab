"""On CPUs a training step takes the memory that the step before it has freed."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from keras_seg.training.allocator import keep_freed_memory
took_effect = keep_freed_memory() if sys.argv[1] == "kept" else None
for _ in range(2):
    np.ones(16 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(16 << 20, np.uint8)
print(took_effect, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_freed_memory_is_not_mapped_anew():
    def faults(how):
        command = [sys.executable, "-c", FAULTS, how]
        took_effect, count = subprocess.check_output(command, text=True).split()
        return took_effect, int(count)

    took_effect, kept = faults("kept")
    assert took_effect == "True" and kept < 100  # pages of 4 KiB, of 20 arrays of 4,096


def test_other_c_libraries_are_left_alone(monkeypatch):
    from keras_seg.training import allocator

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
