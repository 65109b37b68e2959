"""Making a first config from a folder of a person's own recordings, images or texts: look, guess, ask, write."""

from evernas.init.delivered import delivered
from evernas.init.document import refuse_existing, write, yaml_text
from evernas.init.look import Look, look_at
from evernas.init.proposal import Proposal, propose
from evernas.init.questions import ask, ask_layout
from evernas.init.texts import holds_texts, look_at_texts

__all__ = [
    "Look", "Proposal", "ask", "ask_layout", "delivered", "holds_texts", "look_at", "look_at_texts", "propose",
    "refuse_existing", "write", "yaml_text",
]  # fmt: skip
