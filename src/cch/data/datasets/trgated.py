"""Protein expression (RPPA) of TCGA as the repository TRGAted has it: a table for each cohort."""

from __future__ import annotations

import numpy as np

from cch.base.errors import CchError
from cch.data.datasets.idx import AGAIN
from cch.data.datasets.matrix import Matrix, PathLike, read_table

PATIENT = "patient"
CLINICAL = frozenset(
    (
        "subtype", "age", "gender", "race", "ajcc_pathologic_tumor_stage", "histological_type",
        "histological_grade", "treatment_outcome_first_course", "OS", "OS.time", "DSS", "DSS.time",
        "DFI", "DFI.time", "PFI", "PFI.time",
    )
)  # fmt: skip
"""Columns about the patient. Some hold numbers (survival), and would pass for antibodies."""


def read_rppa(path: PathLike) -> Matrix:
    """Read the antibodies of a cohort, patients by antibodies; clinical columns are left out.

    Raises:
        CchError: it is no comma-separated table with a column ``patient``, a patient has two rows
            or none is named, there is no antibody, or a value is no number.
    """
    columns = dict(read_table(path, ",").columns)
    patients = columns.pop(PATIENT, None)
    if patients is None or None in patients:
        raise CchError(path, f"has no column {PATIENT!r}, or a row without a patient", AGAIN)
    if len(set(patients)) < len(patients):
        raise CchError(path, "has two rows of one patient", AGAIN)
    antibodies = [name for name in columns if name not in CLINICAL]
    if not antibodies:
        raise CchError(path, "has no column of an antibody", AGAIN)
    values = np.empty((len(patients), len(antibodies)), dtype=np.float32)
    for place, name in enumerate(antibodies):
        try:
            values[:, place] = [np.nan if text is None else float(text) for text in columns[name]]
        except ValueError as error:
            raise CchError(path, f"column {name!r} holds a text ({error})", AGAIN) from None
    return Matrix(values, tuple(map(str, patients)), tuple(antibodies), str(path))
