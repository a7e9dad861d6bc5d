"""What is generated: JSON schema and reference page of the configuration, page of the ledger."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any, get_args

from pydantic.fields import FieldInfo

from cch import config

SECTIONS: tuple[tuple[str, type[config.Model]], ...] = (
    ("Top level", config.Config),
    ("`compute`", config.Compute),
    ("`theory`", config.Theory),
    ("`decision_error`", config.DecisionError),
    ("`datasets.<name>` of kind `synthetic`", config.SyntheticDataset),
    ("`datasets.<name>` of kind `mnistm`", config.MnistMDataset),
    ("`datasets.<name>` of kind `tcga`", config.TcgaDataset),
    ("`datasets.<name>.label` of kind `table`", config.TableLabel),
    ("`datasets.<name>.segments`", config.SegmentRegions),
    ("`datasets.<name>` of kind `matrices`", config.MatricesDataset),
    ("`datasets.<name>.files.<modality>`", config.MatrixFile),
    ("`datasets.<name>.labels`", config.LabelFile),
    ("`datasets.<name>` of kind `mosei`", config.MoseiDataset),
    ("`datasets.<name>` of kind `mosei-utterance`", config.MoseiUtteranceDataset),
    ("`datasets.<name>` of kind `mosi`", config.MosiDataset),
    ("`studies.<name>`", config.Study),
    ("`studies.<name>.network`", config.Network),
    ("`studies.<name>.training`", config.Training),
    ("`studies.<name>.distillation`", config.Distillation),
    ("`studies.<name>.degradation`", config.Degradation),
    ("`studies.<name>.information`", config.Information),
    ("`studies.<name>.information.calibration`", config.Calibration),
    ("`studies.<name>.split`", config.Split),
    ("`studies.<name>.selection`", config.Selection),
    ("`studies.<name>.fusion`", config.Fusion),
)
HEAD = """# Configuration

Generated from `src/cch/config/model.py` by `cch docs --write`; a test fails when they differ. What
the values of the paper's studies are, and why, stands in the comments of `config.yaml`.

`cch targets --configfile mine.yaml` checks an overlay and names the wrong key. Snakemake itself
reads the file first: of one that is empty, missing or no YAML it says so in words of its own. `cch`
reads the `config.yaml` of the checkout that it is installed from. A key that stands twice in a file
keeps its last value.
"""


def schema() -> str:
    """The JSON schema of the configuration, for editors."""
    return json.dumps(config.Config.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """The reference page: every key with type, default and meaning."""
    parts = [HEAD]
    for title, model in SECTIONS:
        parts.append(f"\n## {title}\n\n{_first_paragraph(model)}\n")
        parts.append("\n| key | type | default | meaning |\n|---|---|---|---|\n")
        parts += [_line(name, field) for name, field in model.model_fields.items()]
    return "".join(parts)


def _first_paragraph(model: type[config.Model]) -> str:
    return " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())


def _line(name: str, field: FieldInfo) -> str:
    if field.is_required():
        default = "required"
    elif isinstance(field.default, config.Model):
        default = "see below"
    else:
        default = f"`{json.dumps(field.default)}`"
    cells = (f"`{name}`", _type(field), default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type(field: FieldInfo) -> str:
    name = _name(field.annotation)
    bounds = []
    for item in field.metadata:
        for key, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
            if getattr(item, key, None) is not None:
                bounds.append(f"{sign} {getattr(item, key):g}")
    return f"{name}, {', '.join(bounds)}" if bounds else name


def _name(annotation: Any) -> str:
    if annotation is NoneType:
        return "null"
    if isinstance(annotation, type) and not get_args(annotation):
        return "mapping" if issubclass(annotation, config.Model) else annotation.__name__
    origin = getattr(annotation, "__origin__", None)
    arguments = get_args(annotation)
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(map(_name, arguments))}]"
    if origin is tuple:
        return f"list of {_name(arguments[0])}"
    if origin in (list, dict):
        return f"{origin.__name__} of {_name(arguments[-1])}"
    if hasattr(annotation, "__metadata__"):
        return _name(arguments[0])
    if all(isinstance(argument, str) for argument in arguments):
        return " or ".join(f"`{argument}`" for argument in arguments)
    return " or ".join(dict.fromkeys(_name(argument) for argument in arguments))
