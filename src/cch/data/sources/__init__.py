"""Raw files: what they are (`table`), how they are had (`fetch`, `fetchers`), what came
(`lockfile`).
"""
