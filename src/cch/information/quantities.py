"""The quantities that are estimated."""

ROLES = {
    "teacher-student": ("teacher", "baseline"),
    "student-label": ("baseline",),
    "teacher-label": ("teacher",),
}
"""Quantities in the order of a file of estimates, with the roles whose runs each is made from."""
