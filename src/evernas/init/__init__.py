"""Making a first config from a folder of a person's own recordings: look, guess, ask, write."""

from evernas.init.document import refuse_existing, write, yaml_text
from evernas.init.look import Look, look_at
from evernas.init.proposal import Proposal, propose
from evernas.init.questions import ask

__all__ = ["Look", "Proposal", "ask", "look_at", "propose", "refuse_existing", "write", "yaml_text"]
