"""Prompts, pairs, chat text and batches."""
