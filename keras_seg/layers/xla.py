"""Whether XLA compiles what is being traced, for operators that need another spelling there."""

from __future__ import annotations

from tensorflow.python.framework.ops import get_default_graph
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext


def compiled_by_xla() -> bool:
    return GraphOrParentsInXlaContext(get_default_graph())
