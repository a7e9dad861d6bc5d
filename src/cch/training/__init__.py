"""Training: many runs at once in stacks, their objectives, the plan of runs and their files."""
