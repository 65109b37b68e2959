"""Small sources, as files."""

from small_source import deliver, recording, source

__all__ = ["deliver", "recording", "source"]
