"""The criterion: the gap and its verdict, and both for a user's own arrays."""
