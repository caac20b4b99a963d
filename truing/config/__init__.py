"""Configuration: frozen pydantic sections, YAML with dotted overrides, errors that say what to write instead."""
