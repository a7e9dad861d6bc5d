"""The specification of a job that makes tables or figures."""

from __future__ import annotations

from cch.config import Config, Model
from cch.tables.claims import Claims, all_deviations, titled
from cch.tables.documents import Deviation
from cch.tables.layout import Layout


class TableSpec(Model):
    """All that determines a table or figure, beside the files that its cells read.

    Attributes:
        name: id of the table or figure.
        layout: what its cells are.
        config: the configuration, cut down to the studies of the layout and their datasets.
        claims: what the paper prints there, and what it states of these studies.
        stand_ins: what to say of data that stand in for the paper's; empty where none does.
    """

    name: str
    layout: Layout
    config: Config
    claims: Claims
    stand_ins: list[str]

    @property
    def deviations(self) -> list[Deviation]:
        """All that sets it apart from the paper."""
        stand_ins = [Deviation(text=text) for text in self.stand_ins]
        datasets = {name: self.config.studies[name].dataset for name in self.layout.studies}
        notes = [
            Deviation(study=name, text=note)
            for name, dataset in datasets.items()
            if (note := self.config.datasets[dataset].label_note)
        ]
        return stand_ins + notes + all_deviations(self.config, self.claims, self.layout)

    @property
    def title(self) -> str:
        """Its number and title."""
        return f"{self.layout.number}. {titled(self.layout, self.config)}"


def table_spec(
    name: str, layout: Layout, config: Config, claims: Claims, stand_ins: list[str]
) -> TableSpec:
    """Return the specification of a table or figure; it holds nothing of other studies.

    A study whose calibration serves one of the table's is one of its own.
    """
    shared = [config.calibrated_on(study) for study in layout.studies]
    studies = {study: config.studies[study] for study in [*layout.studies, *shared]}
    datasets = {study.dataset: config.datasets[study.dataset] for study in studies.values()}
    cut = Config(
        results=config.results,
        resources=config.resources,
        sources=config.sources,
        studies=studies,
        datasets=datasets,
    )
    return TableSpec(
        name=name,
        layout=layout,
        config=cut,
        claims=claims.of(name, layout.studies),
        stand_ins=stand_ins,
    )
