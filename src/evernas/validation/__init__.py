"""Validation of a snapshot's row table by Great Expectations; nothing here reads or changes payloads."""

from evernas.validation.duplicates import Again
from evernas.validation.result import ValidationResult, read_kept_rows
from evernas.validation.validate import validate

__all__ = ["Again", "ValidationResult", "read_kept_rows", "validate"]
