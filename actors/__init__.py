"""Who does the work: one file a role, each a plain class that runs without Ray."""
