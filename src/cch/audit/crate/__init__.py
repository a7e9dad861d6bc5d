"""A finished run as a Workflow Run RO-Crate, Provenance Run Crate profile 0.5.

``contents`` decides what goes in and what is named by reference, ``metadata`` describes it as
JSON-LD, ``write`` packs it. The library ``rocrate`` would not shorten this: every entity would be
given as the same dictionary, and its archives hold the time of writing, so that two exports of a
run would differ in bytes.
"""
