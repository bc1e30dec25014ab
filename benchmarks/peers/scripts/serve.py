"""The other end of `benchmarks.peers.peer`: answers questions until input ends."""

import json
import resource
import sys
import time
from pathlib import Path

ANSWER = "peer-answer:"


def serve(actions):
    """Calls `actions[do](**details)` for each line of JSON and prints the answer as JSON."""
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = actions[question.pop("do")](**question)
        except Exception as error:  # goes to the side that asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(ANSWER + json.dumps(answer), flush=True)


def peak_mib():
    """The most memory that this process has held."""
    # Linux counts kB, macOS bytes
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def facts(start, path):
    """Seconds since `start`, peak memory and size of the converted file."""
    return {
        "convert_s": round(time.perf_counter() - start, 1),
        "peak_mib": round(peak_mib()),
        "size_bytes": Path(path).stat().st_size,
    }
