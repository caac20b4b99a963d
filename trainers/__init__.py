"""Loops that change weights: one file, one algorithm."""
