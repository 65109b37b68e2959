"""The statistical decision to promote or hold: pure functions over evidence and policy, without I/O."""

from evernas.gate.decide import decide
from evernas.gate.evidence import Evidence, Measured
from evernas.gate.selection import Finalist, select_candidate
from evernas.gate.spending import spent_alpha
from evernas.gate.verdict import Reason, Verdict

__all__ = ["Evidence", "Finalist", "Measured", "Reason", "Verdict", "decide", "select_candidate", "spent_alpha"]
