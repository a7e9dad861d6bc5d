"""A finished run as a Workflow Run RO-Crate, Provenance Run Crate profile 0.5.

``contents`` decides what goes in and what is named by reference, ``metadata`` describes it as
JSON-LD, ``write`` packs it. The file is a flat list of entities, so it is written here: the
library ``rocrate`` would add two packages, and the time of day to its archives.
"""
