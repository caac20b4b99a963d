"""The cluster: what a study asks of it and where that goes, connecting, submitting."""
