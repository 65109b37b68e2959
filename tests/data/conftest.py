"""Small sources, as files."""

from small_source import config, deliver, recording, source

__all__ = ["config", "deliver", "recording", "source"]
