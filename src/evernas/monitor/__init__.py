"""What production logged, held against what the gate promised; nothing is started or told from here."""

from evernas.monitor.judging import Finding, Promise, Tests, judge
from evernas.monitor.reading import Log, LogFile, read_log
from evernas.monitor.sequential import evidence, lower_bound

__all__ = ["Finding", "Log", "LogFile", "Promise", "Tests", "evidence", "judge", "lower_bound", "read_log"]
