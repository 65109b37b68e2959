"""What production logged, held against what the gate promised; nothing is started or told from here."""

from evernas.monitor.judging import Finding, Promise, Tests, judge
from evernas.monitor.memory import MEMORY_VERSION, Memory
from evernas.monitor.reading import LogFile
from evernas.monitor.sequential import evidence, lower_bound
from evernas.monitor.taking import Measure, Taking

__all__ = [
    "MEMORY_VERSION",
    "Finding",
    "LogFile",
    "Measure",
    "Memory",
    "Promise",
    "Taking",
    "Tests",
    "evidence",
    "judge",
    "lower_bound",
]
