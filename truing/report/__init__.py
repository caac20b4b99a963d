"""One self-contained HTML page: which policy is better, by how much, where it fails and what it cost."""
