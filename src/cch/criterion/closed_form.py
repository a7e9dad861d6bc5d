"""What is known exactly of the criterion for generated inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cch.config import Dataset, Study, SyntheticDataset

if TYPE_CHECKING:
    from cch.information.gaussian import SyntheticModel


@dataclass(frozen=True)
class ClosedForm:
    """Both sides of the criterion for the inputs, known exactly, in nats.

    Attributes:
        teacher_student: I(X1; X2), possibly infinite.
        student_label: I(X2; Y); the same for the best linear representation of X2.
        linear: I(E[Y | X1]; E[Y | X2]), of the best linear representations, which Theorem 1
            compares; None where it is not known.
    """

    teacher_student: float
    student_label: float
    linear: float | None = None


def closed_form(study: Study, dataset: Dataset, level: float) -> ClosedForm | None:
    """Return I(X1; X2) and I(X2; Y) of a study's inputs at a level; None where nobody knows them.

    A representation is a function of its input, so I(X2; Y) bounds I(S; Y) from above and
    I(X1; X2) bounds I(T; S) from above (data processing).
    """
    if (study.teacher, study.degradation.kind) != ("x1", "modality"):
        return None
    model = _gaussian_model(study, dataset, level)
    if model is None:
        return None
    return ClosedForm(
        model.teacher_student_nats(),
        model.student_label_nats(),
        model.linear_teacher_student_nats(),
    )


def student_label_nats(study: Study, dataset: Dataset) -> float | None:
    """Return I(X2; Y) of a study's inputs, in nats; None where no closed form is known.

    Unlike ``closed_form`` it holds for any teacher and degradation.
    """
    model = _gaussian_model(study, dataset)
    return None if model is None else model.student_label_nats()


def _gaussian_model(
    study: Study, dataset: Dataset, sigma_12: float | None = None
) -> SyntheticModel | None:
    """Return the distribution of generated inputs; None for other data or another student.

    Args:
        study: its student must be x2.
        dataset: its covariances are used.
        sigma_12: covariance of x1 and x2; the first of the dataset where it does not matter.
    """
    if not isinstance(dataset, SyntheticDataset) or study.student != "x2":
        return None
    # Imported here because it loads SciPy, which is slow and rarely needed.
    from cch.information.gaussian import SyntheticModel

    if sigma_12 is None:
        sigma_12 = dataset.sigma_12[0]
    return SyntheticModel(dataset.features, sigma_12, dataset.sigma_13, dataset.sigma_23)
