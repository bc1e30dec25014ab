"""The peer's side of `benchmarks.peer`: answers questions until standard input ends."""

import json
import sys

ANSWER = "peer-answer:"


def serve(actions):
    """Calls `actions[do](**details)` for each line of JSON and prints the answer's."""
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = actions[question.pop("do")](**question)
        except Exception as error:  # goes to the side that asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(ANSWER + json.dumps(answer), flush=True)
