"""The ledger: every number that the paper prints, checks on it, and our number beside it.

``verify`` compares the transcription (``paper/claims.yaml``) with the paper's text. ``printed``
parses its numbers. ``checks`` registers the checks on these numbers alone; they are in
``classifiers``, ``fractions``, ``information``, ``order``, ``settings`` and ``tables``. ``build``
joins their flags with the verdicts of the table documents, and ``render`` writes pages. The fields
of ``results/ledger.json`` are listed in ``build``.
"""
