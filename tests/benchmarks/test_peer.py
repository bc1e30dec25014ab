"""A peer that pauses takes no processor between questions, and answers the next one."""

import os
import signal
import sys
from pathlib import Path

import pytest

import benchmarks
from benchmarks.peers.peer import Peer

SCRIPT = Path(benchmarks.__file__).parent / "peers" / "scripts" / "installed.py"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="only POSIX stops processes")
def test_a_pausing_peer_is_stopped_between_questions():
    with Peer(sys.executable, SCRIPT, pausing=True) as peer:
        for _ in range(2):
            found = peer.ask("versions", packages=["numpy", "no-such-package"])
            assert [*found] == ["numpy"]
            _, status = os.waitpid(peer._process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
        with pytest.raises(RuntimeError, match="installed failed at nothing"):
            peer.ask("nothing")
    assert peer._process.returncode == 0
