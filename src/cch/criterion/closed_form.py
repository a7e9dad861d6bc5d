"""What is known exactly of the criterion for generated inputs."""

from __future__ import annotations

from cch.config import Dataset, Study, SyntheticDataset
from cch.criterion.ground import ClosedForm


def closed_form(study: Study, dataset: Dataset, level: float) -> ClosedForm | None:
    """Return I(X1; X2) and I(X2; Y) of a study's inputs at a level; None where nobody knows them.

    A representation is a function of its input, so I(X2; Y) bounds I(S; Y) from above and
    I(X1; X2) bounds I(T; S) from above (data processing).
    """
    if not isinstance(dataset, SyntheticDataset) or study.degradation.kind != "modality":
        return None
    if (study.teacher, study.student) != ("x1", "x2"):
        return None
    from cch.information.gaussian import SyntheticModel

    model = SyntheticModel(dataset.features, level, dataset.sigma_13, dataset.sigma_23)
    return ClosedForm(
        model.teacher_student_nats(),
        model.student_label_nats(),
        model.linear_teacher_student_nats(),
    )
