"""Fusion of modalities, direct and with distillation (Fig. 3, Tables 18, 19 and 21), stacked.

A member reads both modalities. Each has an encoder (linear, ReLU, batch normalisation, dropout:
Table 18) and a head of its own; a fusion head reads both embeddings side by side and gives the
joint logits, which are the model's answer. All of it is trained together, without pretraining.

The arms of a comparison differ in their loss alone (``cch.training.objectives.distilled_fusion``):

* ``direct``: cross-entropy of the fusion head; the modalities' heads never learn.
* ``kd``: with the student modality's head distilled from the teacher modality's. The paper leaves
  open what the latter learns from; by the key ``teacher_head`` from the labels, or from nothing.
* ``heads``: ``kd`` with λ = 0. The difference from ``direct`` is what the teacher modality's
  additional cross-entropy does, the difference from ``kd`` what the distillation does (and the
  factor 1 - λ before the cross-entropy of the fusion head).
  Where that head is left untrained, ``heads`` is ``direct``.
* ``three``: ``direct`` with a third modality, that of a second teacher, whose encoder and head are
  like the others'. A stack is of two modalities or of three.

Members with equal keys share the initial weights of all parts, the order of batches and the
dropout masks. The machinery, and what it promises, is that of ``cch.training.stack``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import torch

from cch.base.errors import CchError
from cch.config import Fusion, Network
from cch.training import objectives
from cch.training.networks import Stacked, StackedLinear, StackedMLP
from cch.training.plan import Arm
from cch.training.stack import Batch, Examples, Job, TrainedStack, stacked_rows

PARTS = ("teacher", "student", "second_teacher")
"""Names of a stack's encoders, in the order of its modalities."""


@dataclass(frozen=True)
class FusionMember:
    """One run of a stack.

    Attributes:
        key: strings and numbers that identify its random numbers; equal keys, equal initial
            weights, batch order and dropout masks.
        rows: which of the row sets it is trained on.
        arm: what it minimises.
    """

    key: tuple[Any, ...]
    rows: int = 0
    arm: Arm = "direct"


class FusionPrediction(NamedTuple):
    """Joint logits (M, n, K) and, where asked for, embeddings (M, n, U) of each modality."""

    logits: torch.Tensor
    teacher: torch.Tensor | None
    student: torch.Tensor | None


@dataclass(frozen=True)
class TrainedFusion:
    """M trained members.

    Attributes:
        trained: their networks and how they were trained; it reads all modalities' features side
            by side, and its representation is all embeddings side by side.
    """

    trained: TrainedStack

    @property
    def losses(self) -> torch.Tensor:
        """Each epoch's mean training loss, (M, epochs) float32; not finite once diverged."""
        return self.trained.losses

    @property
    def diverged(self) -> list[int | None]:
        """The epoch in which a member diverged, or None; see ``TrainedStack``."""
        return self.trained.diverged

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """How members were trained together; see ``TrainedStack``."""
        return self.trained.chunks

    def predict(
        self,
        teacher_inputs: torch.Tensor,
        student_inputs: torch.Tensor,
        *chosen: Any,
        second_teacher_inputs: torch.Tensor | None = None,
        **more: Any,
    ) -> FusionPrediction:
        """Return logits (M, r, K) of members for r rows of the tables, on the CPU.

        Embeddings are of the teacher's and the student's modality, (M, r, U) each.

        Args:
            teacher_inputs: (R, D1) float32.
            student_inputs: (R, D2) float32, the same samples.
            *chosen: rows, then members, as for ``TrainedStack.predict``.
            second_teacher_inputs: (R, D3) float32, likewise, for fusions of three.
            **more: the same by name, and ``representation``: whether the embeddings are wanted.

        Raises:
            CchError: shapes do not agree, or memory does not suffice for one member.
        """
        inputs = _side_by_side("prediction", teacher_inputs, student_inputs, second_teacher_inputs)
        said = self.trained.predict(inputs, *chosen, **more)
        if said.representation is None:
            return FusionPrediction(said.logits, None, None)
        parts = len(self.trained.stack.features)  # type: ignore[arg-type]
        return FusionPrediction(said.logits, *said.representation.chunk(parts, dim=2)[:2])


def train_fusion(
    *,
    fusion: Fusion,
    teacher_inputs: torch.Tensor,
    student_inputs: torch.Tensor,
    labels: torch.Tensor,
    row_sets: Sequence[torch.Tensor],
    members: Sequence[FusionMember],
    outputs: int,
    second_teacher_inputs: torch.Tensor | None = None,
    device: str | torch.device = "cpu",
    memory_bytes: int = 4 * 2**30,
    label: str = "fusion",
) -> TrainedFusion:
    """Train every member to the last epoch.

    Args:
        fusion: architecture, training and distillation of every member.
        teacher_inputs: (R, D1) float32, the teacher modality of R samples.
        student_inputs: (R, D2) float32, the student modality of the same samples.
        labels: (R,) int64 in 0..K-1.
        row_sets: S tensors (n,) of row numbers, of equal length.
        members: M members.
        outputs: K, classes.
        second_teacher_inputs: (R, D3) float32, a third modality of the same samples; required by
            the arm ``three``, refused by the others.
        device: where to train.
        memory_bytes: budget for the examples and one chunk of members.
        label: what is trained, for progress lines and errors.

    Raises:
        CchError: shapes, types or ranges do not agree, or one member alone does not fit.
    """
    tables = (teacher_inputs, student_inputs, second_teacher_inputs)
    inputs = _side_by_side(label, *tables)
    rows = stacked_rows(label, row_sets)
    examples = Examples("classification", inputs, 1.0, labels, rows, None, outputs)
    examples.check(label)
    examples.check_rows(label, members)
    for number, member in enumerate(members):
        if member.arm not in get_args(Arm):
            raise CchError(label, f"member {number} asks for arm {member.arm!r}")
        if (member.arm == "three") != (second_teacher_inputs is not None):
            held = "two" if second_teacher_inputs is None else "three"
            raise CchError(
                label, f"member {number}, arm {member.arm!r}, is given {held} modalities"
            )
    features = tuple(table.shape[1] for table in tables if table is not None)
    ensemble = _Fusions(fusion, features, outputs)
    where = torch.device(device)
    job = Job(ensemble, fusion.training, examples, list(members), where, memory_bytes, label)
    return TrainedFusion(job.run())


def _side_by_side(
    where: str, teacher: torch.Tensor, student: torch.Tensor, second: torch.Tensor | None
) -> torch.Tensor:
    """All tables as one, (R, D1 + D2 [+ D3]), so that batches are gathered once."""
    named = {"teacher": teacher, "student": student}
    named |= {} if second is None else {"second teacher": second}
    for name, table in named.items():
        if table.dim() != 2 or table.dtype != torch.float32:
            found = f"{tuple(table.shape)} {table.dtype}"
            raise CchError(where, f"{name} inputs are {found}, expected (rows, D) float32")
    if len({len(table) for table in named.values()}) > 1:
        found = f"{' and '.join(str(len(table)) for table in named.values())} rows"
        raise CchError(where, f"the modalities have {found}, expected the same samples in all")
    return torch.cat(list(named.values()), dim=1)


class FusionOutput(NamedTuple):
    """What a stack says about a batch.

    Attributes:
        logits: of the fusion head, (M, B, K).
        representation: embeddings side by side, the teacher's first, (M, B, 2 U) or (M, B, 3 U).
        teacher: logits of the teacher modality's head, (M, B, K).
        student: logits of the student modality's head, (M, B, K).
    """

    logits: torch.Tensor
    representation: torch.Tensor
    teacher: torch.Tensor
    student: torch.Tensor


class StackedFusion(Stacked):
    """M fusion networks: an encoder with its head for each modality, and the fusion head.

    Args:
        network: of an encoder, with one hidden layer.
        features: D1 and D2, features of the teacher and of the student modality; D3 of a third.
        outputs: K, classes.
        members: M.
        device: where the parameters live; weights and biases start as zeros.
    """

    def __init__(
        self,
        network: Network,
        features: tuple[int, ...],
        outputs: int,
        members: int,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        self.network, self.features = network, features
        self.inputs, self.outputs, self.members = sum(features), outputs, members
        self.batch_norm, self.dropout = network.batch_norm, network.dropout
        (units,) = network.hidden
        self.dropped_units = [units] * len(features)
        self.representation_units = units * len(features)
        for part, width in zip(PARTS, features, strict=False):
            setattr(self, part, StackedMLP(network, width, outputs, members, device))
        self.head = StackedLinear(self.representation_units, outputs, members, device)

    @property
    def encoders(self) -> list[StackedMLP]:
        """The encoders with their heads, in the order of ``features``."""
        return [getattr(self, part) for part in PARTS[: len(self.features)]]

    @classmethod
    def initial(
        cls,
        network: Network,
        features: tuple[int, ...],
        outputs: int,
        keys: Sequence[tuple[Any, ...]],
        device: str | torch.device = "cpu",
    ) -> StackedFusion:
        """A stack with one member for each of ``keys``, its weights drawn from that key alone."""
        stack = cls(network, features, outputs, len(keys))
        for part, width in zip(PARTS, features, strict=False):
            own = [(*key, part) for key in keys]
            setattr(stack, part, StackedMLP.initial(network, width, outputs, own))
        stack.head = StackedLinear.initial(
            stack.representation_units, outputs, [(*key, "fusion") for key in keys]
        )
        return stack.to(device)

    def empty(self, members: int) -> StackedFusion:
        """A stack of the same architecture on the device "meta", without values."""
        return StackedFusion(self.network, self.features, self.outputs, members, device="meta")

    def step_bytes(self, batch_size: int, copies: int) -> int:
        """Estimated memory of one member and one batch; see ``Stacked.step_bytes``."""
        encoders = sum(part.step_bytes(batch_size, copies) for part in self.encoders)
        weights = sum(tensor[0].numel() for tensor in self.head.parameters())
        # Embeddings side by side with their gradient, and around the head as many tensors of its
        # size as there are around a modality's head.
        activations = 2 * self.representation_units + 8 * self.head.bias.shape[-1]
        return encoders + 4 * (copies * weights + batch_size * activations)

    def parameter_groups(self, learning_rate: float, channels: int = 1) -> list[dict[str, Any]]:
        """Parameter groups for a ``torch.optim`` optimiser: one; a fusion has one channel."""
        return [{"params": list(self.parameters()), "lr": learning_rate}]

    def forward(
        self, batch: torch.Tensor, masks: Sequence[torch.Tensor] | None = None
    ) -> FusionOutput:
        """Logits of all heads, and the embeddings that they are fed.

        Args:
            batch: (M, B, D1 + D2 [+ D3]), the modalities side by side, or without M.
            masks: factors (M, B, U) of each modality's encoder, from ``DropoutMasks``; None drops
                nothing.
        """
        given = [None] * len(self.features) if masks is None else [[mask] for mask in masks]
        parts = zip(self.encoders, batch.split(self.features, dim=-1), given, strict=True)
        said = [encoder(values, mask) for encoder, values, mask in parts]
        together = torch.cat([one.representation for one in said], dim=2)
        return FusionOutput(self.head(together), together, said[0].logits, said[1].logits)


@dataclass(frozen=True)
class _Fusions:
    """The ensemble of ``train_fusion``."""

    fusion: Fusion
    features: tuple[int, ...]
    outputs: int

    @property
    def network(self) -> Network:
        fusion = self.fusion
        return Network(
            hidden=[fusion.encoder],
            activation="relu",
            batch_norm=fusion.batch_norm,
            dropout=fusion.dropout,
        )

    def meta_member(self) -> StackedFusion:
        return StackedFusion(self.network, self.features, self.outputs, 1, device="meta")

    def initial(self, keys: Sequence[tuple[Any, ...]], device: torch.device) -> StackedFusion:
        return StackedFusion.initial(self.network, self.features, self.outputs, keys, device)

    def parameter_groups(self, stack: StackedFusion, learning_rate: float) -> list[dict[str, Any]]:
        return stack.parameter_groups(learning_rate)

    def objective(self, examples: Examples, members: Sequence[FusionMember]) -> _Objective:
        return _Objective(self.fusion, members, examples.inputs.device)


class _Objective:
    """The loss of each member of a chunk."""

    def __init__(
        self, fusion: Fusion, members: Sequence[FusionMember], device: torch.device
    ) -> None:
        weights = [fusion.weight if member.arm == "kd" else 0.0 for member in members]
        learns = fusion.teacher_head == "supervised"
        supervised = [float(learns and member.arm in ("kd", "heads")) for member in members]
        self.weight = torch.tensor(weights, device=device)
        self.supervised = torch.tensor(supervised, device=device)
        self.temperature = torch.full_like(self.weight, fusion.temperature)

    def __call__(self, output: FusionOutput, batch: Batch) -> torch.Tensor:
        """Return (M,) losses."""
        return objectives.distilled_fusion(
            output.logits,
            output.teacher,
            output.student,
            batch.labels,
            self.temperature,
            self.weight,
            self.supervised,
        )
