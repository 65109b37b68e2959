"""The loop's steps: each joins the stages to one piece of work that is keyed by all that it reads."""

from evernas.steps.launch import launch

__all__ = ["launch"]
