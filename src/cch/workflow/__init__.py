"""The plan of a configuration, its costs, and what surrounds a call of Snakemake."""
