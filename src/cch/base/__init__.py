"""Errors, files, progress, random generators, units, devices: what every room uses."""
