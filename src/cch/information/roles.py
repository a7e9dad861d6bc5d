"""Which runs a quantity is estimated from; apart from the estimators, so that planning is light."""


def roles(quantity: str) -> tuple[str, ...]:
    """The roles whose runs a quantity (teacher-student, ...) is estimated from."""
    return {
        "teacher-student": ("teacher", "baseline"),
        "student-label": ("baseline",),
        "teacher-label": ("teacher",),
    }[quantity]
