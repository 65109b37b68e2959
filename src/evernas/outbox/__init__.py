"""Telling others what has happened: signed CloudEvents through an outbox, at least once."""
