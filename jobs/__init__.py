"""What is submitted: parse, connect, call."""
