"""Truing: the pure library. No Ray, no vLLM, no DeepSpeed, no network."""
