"""The quantities that are estimated or bounded."""

POINTS = ("teacher-student", "student-label", "teacher-label")
"""What point estimators estimate, in the order of their files."""

ROLES = {
    "teacher-student": ("teacher", "baseline"),
    "student-label": ("baseline",),
    "teacher-label": ("teacher",),
    "teacher-student-given-label": ("teacher", "baseline"),
    "label-given-teacher": ("teacher",),
}
"""Quantities with the roles whose runs each is made from; the last two are of bounds alone:
I(T; S | Y), and the entropy H(Y | T)."""
