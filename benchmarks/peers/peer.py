"""A process in another environment that answers questions, so that it can be measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

ANSWER = "peer-answer:"
"""Beginning of the lines on the peer's standard output that are answers."""

GOODBYE_S = 10.0
"""Seconds that a peer may take to end by itself."""


class Peer:
    """A script under another interpreter; questions and answers are lines of JSON.

    The process stays up between questions, so that its runs can alternate with runs of this
    process. With `pausing` it is stopped between questions, because the threads of OpenMP and ONNX
    Runtime spin for a while after a run and would take the processor from the next one to be timed.
    The script reads `{"do": name, ...}` and prints `peer-answer:{...}`; an answer with
    the key "error" is raised here. A question that takes longer than `limit_s` ends the process.

    Raises: RuntimeError if the process ends or reports an error, with its message.
    """

    def __init__(
        self,
        python: str | Path,
        script: Path,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        pausing: bool = False,
        limit_s: float | None = None,
    ):
        self.name, self._pausing, self._limit_s = script.stem, pausing, limit_s
        self._process = subprocess.Popen(
            [str(python), str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | dict(environment or {}),
        )

    def ask(self, do: str, **details) -> dict:
        self._signal("SIGCONT")
        alarm = threading.Timer(self._limit_s or threading.TIMEOUT_MAX, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            return self._answer(do, details)
        finally:
            alarm.cancel()
            self._signal("SIGSTOP")

    def _signal(self, name: str):
        if self._pausing and self._process.poll() is None:
            self._process.send_signal(getattr(signal, name))

    def _answer(self, do: str, details: dict) -> dict:
        try:
            self._process.stdin.write(json.dumps({"do": do} | details) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended, which the missing answer tells
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                answer = json.loads(line.removeprefix(ANSWER))
                if "error" in answer:
                    raise RuntimeError(f"{self.name} failed at {do}: {answer['error']}")
                return answer
        limit = f" (limit {self._limit_s:g} s)" if self._limit_s else ""
        raise RuntimeError(f"{self.name} ended with code {self._process.wait()} at {do}{limit}.")

    def close(self) -> None:
        self._signal("SIGCONT")
        self._process.stdin.close()
        try:
            self._process.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception) -> None:
        self.close()
