"""Frozen dataclasses, one per command: the single declaration of its options."""
