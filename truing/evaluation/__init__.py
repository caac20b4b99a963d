"""What was gained and what it cost: quality, generalisation and diversity, each with its interval."""
