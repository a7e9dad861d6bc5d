"""The audit of a finished run: every file, every cell and every printed number, checked again.

Nothing here makes a number that another stage uses, and the numbers are derived without the code
that made them (``cch.tables``, ``cch.training``): HDF5 and JSON are read directly, and means,
errors, metrics, rounding and the parsing of tables are written a second time, as simply as they
can be.
"""
