"""Runs and estimates to cells, cells to tables.

``layouts`` says what each cell asks, ``queries`` answers, ``cells`` sets the paper's value and a
verdict beside it (``claims``, ``compare``), ``documents`` is what is stored, and ``render`` and
``figures`` show it.
"""
