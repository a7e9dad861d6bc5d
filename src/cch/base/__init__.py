"""Errors, files, progress, devices: what every room uses."""
