"""The ledger: every number that the paper prints, what is odd about it, and what ours says of it.

``verify`` holds the transcription (``paper/claims.yaml``) against the paper's text. ``printed``
makes numbers of it, ``checks`` is the register of checks on these numbers alone, found in
``information``, ``tables``, ``fractions`` and ``settings``. ``build`` sets the flags beside the
verdicts of the table documents and ``render`` writes them for readers. ``results/ledger.json`` is
the truth; its fields stand in ``build``.
"""
