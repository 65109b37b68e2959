"""What a person sees of a run: the HTML report and the table in the terminal; nothing is decided or measured here."""

from evernas.report.page import render_report, write_report
from evernas.report.terminal import summary_table

__all__ = ["render_report", "summary_table", "write_report"]
