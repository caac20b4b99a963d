"""The evaluation grid: policies, data, outputs, metrics, figures."""
