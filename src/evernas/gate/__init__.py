"""The statistical decision to promote or hold: pure functions over evidence and policy, without I/O."""

from evernas.gate.agreement import Agreement, agreement
from evernas.gate.decide import before_reading, decide, held, moves_anchor, scoped
from evernas.gate.evidence import Evidence, Measured
from evernas.gate.gaps import design_gaps
from evernas.gate.policy import least_domains
from evernas.gate.publication import publish
from evernas.gate.selection import Finalist, select_candidate
from evernas.gate.spending import Claim, claim
from evernas.gate.verdict import Reason, Verdict

__all__ = [
    "Agreement",
    "Claim",
    "Evidence",
    "Finalist",
    "Measured",
    "Reason",
    "Verdict",
    "agreement",
    "before_reading",
    "claim",
    "decide",
    "design_gaps",
    "held",
    "least_domains",
    "moves_anchor",
    "publish",
    "scoped",
    "select_candidate",
]
