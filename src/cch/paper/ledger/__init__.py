"""The ledger: every number that the paper prints, checks on it, and our number beside it.

``verify`` compares the transcription (``paper/claims.yaml``) with the paper's text. ``printed``
parses its numbers. ``checks`` registers the checks on these numbers alone; they are in
``information``, ``tables``, ``fractions`` and ``settings``. ``build`` joins their flags with the
verdicts of the table documents, and ``render`` writes pages. ``results/ledger.json`` holds
everything; ``build`` lists its fields.
"""
