"""Cluster definitions, and a cluster on one machine."""
