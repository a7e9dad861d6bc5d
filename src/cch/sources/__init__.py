"""Raw files: what they are (`table`), how they are had (`fetch`, `kinds`), what came (`pins`)."""
