"""Preferences from an AI labeler, and how far to trust them."""
