"""The report: a static site over a finished run, ``results/report/index.html``.

``collect`` reads documents, records, benchmarks and the ledger into plain data; ``site`` renders
them with the templates beside it. A number on a page is the text of a cell, so that the audit can
find it; every cell leads to the files that it rests on, down to raw files with their addresses.
"""
