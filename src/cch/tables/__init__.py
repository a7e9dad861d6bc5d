"""Runs and estimates to cells, cells to tables.

``layouts`` says what each cell is (a query over a study), ``cells`` answers the queries,
``claims`` holds what the paper printed, ``compare`` gives the verdict, ``render`` writes CSV,
Markdown and LaTeX from the JSON document that is the truth.
"""
