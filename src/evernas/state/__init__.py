"""The state folder: who owns it, what runs are in it, and which steps are done."""

from evernas.state.home import Home
from evernas.state.ownership import Guard, Ownership
from evernas.state.runs import Head, RunManifest
from evernas.state.stepstore import Done, StepStore

__all__ = ["Done", "Guard", "Head", "Home", "Ownership", "RunManifest", "StepStore"]
