"""Figures of files that somebody recorded: no model, no cluster."""
