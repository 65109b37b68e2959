"""Making a first config from a folder of a person's own recordings, images or texts: look, guess, ask, write."""

from evernas.init.delivered import delivered
from evernas.init.document import config_of, refuse_existing, write, yaml_text
from evernas.init.look import Look, look_at
from evernas.init.production import Import, model_in_production
from evernas.init.proposal import Proposal, propose
from evernas.init.questions import ask, ask_layout
from evernas.init.texts import holds_texts, look_at_texts

__all__ = [
    "Import", "Look", "Proposal", "ask", "ask_layout", "config_of", "delivered", "holds_texts", "look_at",
    "look_at_texts", "model_in_production", "propose", "refuse_existing", "write", "yaml_text",
]  # fmt: skip
