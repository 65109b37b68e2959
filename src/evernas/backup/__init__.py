"""A project's state in one file: written whole or not at all, checked to the last byte, and put back."""
