"""Ratios against limits, on this machine: `make bench`."""
