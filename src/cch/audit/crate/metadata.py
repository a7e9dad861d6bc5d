"""The crate's ``ro-crate-metadata.json``.

Profiles: RO-Crate 1.1, Workflow RO-Crate 1.0, and Process, Workflow and Provenance Run Crate 0.5
(https://w3id.org/ro/wfrun/provenance/0.5). The Snakefile is the main entity, its scripts the tools,
its rules the steps; every job is a CreateAction of its script and a ControlAction of its rule.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from cch.audit.crate.contents import Contents, File, Job

Entity = dict[str, Any]

NAME = "ro-crate-metadata.json"
CONTEXT = [
    "https://w3id.org/ro/crate/1.1/context",
    # The one term beyond it that is used here, so that no second context has to be fetched.
    {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
]
CRATE = "https://w3id.org/ro/crate/1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
PAPER = "https://arxiv.org/abs/2510.13182"
MIT = "https://spdx.org/licenses/MIT"
ENGINE, AUTHORS, RUN = "https://pypi.org/project/snakemake/", "#authors", "#run"
WORKFLOW = "Snakefile"
DONE = "http://schema.org/CompletedActionStatus"

FORMATS = {
    ".yaml": "application/yaml", ".yml": "application/yaml", ".smk": "text/x-python",
    ".md": "text/markdown", ".tex": "application/x-tex", ".cff": "application/yaml",
    ".toml": "application/toml", ".j2": "text/x-jinja2", ".js": "text/javascript",
    ".h5": "application/x-hdf5", ".tsv": "text/tab-separated-values", ".gz": "application/gzip",
    ".pkl": "application/octet-stream", ".py": "text/x-python",
}  # fmt: skip

PARAMETERS = {
    "raw-data": "raw files, by address, size and digest",
    "tables": "tables as JSON, CSV, Markdown and LaTeX",
    "figures": "figures as PDF and PNG",
    "report": "the report, the ledger and the comparison with the paper",
}


def metadata(contents: Contents, engine: str) -> Entity:
    """Describe a run as JSON-LD.

    Args:
        contents: what the crate holds.
        engine: version of Snakemake.
    """
    graph = [*_root(contents), *_workflow(contents, engine)]
    graph += [_file(contents, file, made) for file, made in _described(contents)]
    properties: dict[str, Entity] = {}
    for number, job in enumerate(contents.jobs):
        graph += _job(contents, job, number, properties)
    graph += properties.values()
    return {"@context": CONTEXT, "@graph": [_plain(entity) for entity in graph]}


def _plain(entity: Entity) -> Entity:
    """An entity whose lists of one are that one, and which has no empty ones: RO-Crate 1.1."""
    shorter = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in entity.items()}
    return {key: value for key, value in shorter.items() if value != []}


def _ids(things: Iterable[str]) -> list[Entity]:
    return [{"@id": name} for name in dict.fromkeys(things)]


def _id(file: File) -> str:
    """A file's identifier; a path is written as a URI."""
    return quote(file.id) if file.place else file.id


def _described(contents: Contents) -> list[tuple[File, bool]]:
    """Files with entities of their own, and whether the run made them; equal bytes count once."""
    found: dict[str, tuple[File, bool]] = {}
    for made, files in ((True, contents.files.values()), (False, contents.records)):
        found |= {_id(file): (file, made) for file in files if _id(file) not in found}
    tools = {WORKFLOW, *(job.script for job in contents.jobs)}
    found |= {_id(file): (file, False) for file in contents.sources if file.path not in tools}
    return [found[name] for name in sorted(found)]


def _root(contents: Contents) -> list[Entity]:
    tools = [WORKFLOW, *(job.script for job in contents.jobs)]
    parts = [*tools, *(_id(file) for file, _ in _described(contents))]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"A run of cch: {contents.name}",
        "description": "A finished run of a workflow that rebuilds the paper on the Cross-modal "
        "Complementarity Hypothesis: tables, figures, report, ledger, the record of every job, and "
        "the sources. Datasets, models and raw files are named by address, size and SHA-256."
        + _said_of_code(contents),
        "datePublished": contents.ended.isoformat(),
        "license": {"@id": MIT},
        "author": {"@id": AUTHORS},
        "citation": {"@id": PAPER},
        "conformsTo": _ids(PROFILES),
        "mainEntity": {"@id": WORKFLOW},
        "hasPart": _ids(sorted(parts)),
        "mentions": _ids([RUN, *(_action(n) for n in range(len(contents.jobs)))]),
    }
    descriptor = {
        "@id": NAME,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": _ids([CRATE, "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]),
    }
    profiles = [
        {"@id": name, "@type": "CreativeWork", "name": title, "version": version}
        for name, (title, version) in PROFILES.items()
    ]
    return [
        descriptor,
        root,
        *profiles,
        {"@id": MIT, "@type": "CreativeWork", "name": "MIT License", "identifier": MIT},
        {"@id": AUTHORS, "@type": "Organization", "name": "The cch contributors"},
        {"@id": PAPER, "@type": "ScholarlyArticle", "name": "Information-Theoretic Criteria for "
         "Knowledge Distillation in Multimodal Learning"},
    ]  # fmt: skip


def _said_of_code(contents: Contents) -> str:
    if not contents.other_code:
        return ""
    said = "; ".join(f"{name}: commit {', '.join(c)}" for name, c in contents.other_code.items())
    return f" The sources are not those of the run for {said}."


def _workflow(contents: Contents, engine: str) -> list[Entity]:
    """The workflow with its tools and steps, its parameters, its engine, and the run of it."""
    rules = {job.content["rule"]: job.script for job in contents.jobs}
    by_path = {file.path: file for file in contents.sources}
    commits = sorted({job.content["code"].get("commit", "") for job in contents.jobs} - {""})
    workflow = {
        **_source(by_path[WORKFLOW]),
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "cch",
        "conformsTo": {"@id": BIOSCHEMAS},
        "programmingLanguage": {"@id": LANGUAGE},
        "license": {"@id": MIT},
        "version": ", ".join(commits) or "unknown",
        "hasPart": _ids(sorted(set(rules.values()))),
        "step": _ids(f"#rule-{rule}" for rule in rules),
        "input": _ids(["#raw-data"]),
        "output": _ids(["#tables", "#figures", "#report"]),
    }
    tools = [
        {
            **_source(by_path[script]),
            "@type": ["File", "SoftwareSourceCode"],
            "programmingLanguage": {"@id": "#python"},
            "version": _versions(contents, script),
        }
        for script in sorted(set(rules.values()))
    ]
    steps = [
        {
            "@id": f"#rule-{rule}",
            "@type": "HowToStep",
            "name": rule,
            "position": str(number),
            "workExample": {"@id": script},
        }
        for number, (rule, script) in enumerate(rules.items(), start=1)
    ]
    return [workflow, *tools, *steps, *_parameters(), *_software(engine), *_run(contents)]


def _source(file: File) -> Entity:
    return {"@id": _id(file), "name": file.path, **_bytes(file)}


def _versions(contents: Contents, script: str) -> str:
    """The digests of a script with all modules behind it, as its jobs recorded them."""
    codes = [job.content["code"] for job in contents.jobs if job.script == script]
    return ", ".join(sorted({f"sha256:{code['digest']}" for code in codes}))


def _parameters() -> list[Entity]:
    return [
        {
            "@id": f"#{name}",
            "@type": "FormalParameter",
            "additionalType": "File",
            "name": name,
            "description": about,
            "multipleValues": True,
        }
        for name, about in PARAMETERS.items()
    ]


def _software(engine: str) -> list[Entity]:
    return [
        {"@id": BIOSCHEMAS, "@type": "CreativeWork", "name": "ComputationalWorkflow profile",
         "version": "1.0-RELEASE"},
        {"@id": LANGUAGE, "@type": "ComputerLanguage", "name": "Snakemake",
         "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
         "url": {"@id": "https://snakemake.github.io"}},
        {"@id": "#python", "@type": "ComputerLanguage", "name": "Python",
         "url": {"@id": "https://www.python.org"}},
        {"@id": ENGINE, "@type": "SoftwareApplication", "name": "Snakemake",
         "softwareVersion": engine, "url": {"@id": "https://snakemake.github.io"}},
    ]  # fmt: skip


def _run(contents: Contents) -> list[Entity]:
    """The run as a whole, and what the engine did for it."""
    every = contents.files.values()
    numbers = range(len(contents.jobs))
    start = min(job.started for job in contents.jobs)
    times = {"startTime": start.isoformat(), "endTime": contents.ended.isoformat()}
    return [
        {
            "@id": RUN,
            "@type": "CreateAction",
            "name": f"Run of the workflow into {contents.name}",
            "description": f"{len(contents.jobs)} jobs",
            "instrument": {"@id": WORKFLOW},
            "object": _ids(_id(file) for file in every if _part(contents, file) == "raw-data"),
            "result": _ids(
                _id(file) for file in every if _part(contents, file) not in ("", "raw-data")
            ),
            "actionStatus": DONE,
            **times,
        },
        {
            "@id": "#engine",
            "@type": "OrganizeAction",
            "name": "Snakemake's execution of the workflow",
            "instrument": {"@id": ENGINE},
            "object": _ids(f"#control-{n}" for n in numbers),
            "result": {"@id": RUN},
            **times,
        },
    ]


def _part(contents: Contents, file: File) -> str:
    """Which of the workflow's parameters a file is an example of; empty for those in between."""
    if file.raw:
        return "raw-data"
    top = file.path.removeprefix(f"{contents.name}/").partition("/")[0].partition(".")[0]
    return {"ledger": "report", "comparison": "report"}.get(top, top if top in PARAMETERS else "")


def _bytes(file: File) -> Entity:
    """What identifies a file's bytes."""
    suffix = "." + file.path.rpartition(".")[2]
    guessed = FORMATS.get(suffix) or mimetypes.types_map.get(suffix, "text/plain")
    size = {} if file.bytes is None else {"contentSize": str(file.bytes)}
    return {"encodingFormat": guessed, "sha256": file.sha256, **size}


def _file(contents: Contents, file: File, made: bool) -> Entity:
    entity: Entity = {"@id": _id(file), "@type": "File", "name": file.path, **_bytes(file)}
    if file.path == "README.md":
        entity["about"] = {"@id": "./"}
    if not made:
        return entity
    if part := _part(contents, file):
        entity["exampleOfWork"] = {"@id": f"#{part}"}
    same = [f.path for f in contents.files.values() if _id(f) == _id(file)]
    if len(same) > 1:
        entity["alternateName"] = same[1:]
    if file.raw:
        entity |= _origin(file)
    if file.generator:
        entity["description"] = "Made by a generator: " + ", ".join(
            f"{key} {value}" for key, value in file.generator.items()
        )
    return entity


def _origin(file: File) -> Entity:
    """Where a raw file came from and on which terms."""
    raw = file.raw
    said = [f"Taken from {raw['address']}."]
    if raw.get("generator"):
        said = [f"Generated: {raw['generator']['kind']}, seed {raw['generator']['seed']}."]
    said += [raw["stand_in"]] if raw.get("stand_in") else []
    found = {"description": " ".join(said), "sdDatePublished": raw["retrieved"]}
    optional = {"usageInfo": raw.get("licence"), "citation": raw.get("citation")}
    return found | {key: value for key, value in optional.items() if value}


def _action(number: int) -> str:
    return f"#job-{number}"


def _job(contents: Contents, job: Job, number: int, properties: dict[str, Entity]) -> list[Entity]:
    """A job as an action of its script, and the engine's step for it."""
    record = job.content
    code, environment = record["code"], record["environment"]
    facts = {
        "code": code["digest"],
        "commit": code.get("commit", "unknown") + (" (dirty)" if code.get("dirty") else ""),
        "device": record.get("device", "cpu"),
        "threads": record.get("threads"),
        "environment": environment.get("digest"),
        "python": environment.get("python"),
        "platform": environment.get("platform"),
        "processor": environment.get("processor"),
    }
    given = {key: value for key, value in record["params"].items() if key != "code"}
    named = [contents.files[path] for path in record["inputs"] if path in contents.files]
    results = [contents.files[path] for path in record["outputs"]]
    action = {
        "@id": _action(number),
        "@type": "CreateAction",
        "name": f"{record['rule']}: {job.record.removesuffix('.record.json')}",
        "description": f"{job.content['seconds']:g} s; recorded in {job.record}",
        "instrument": {"@id": job.script},
        "object": _ids([*map(_id, named), *_properties("given", given, properties)]),
        "result": _ids(map(_id, results)),
        "startTime": job.started.isoformat(),
        "endTime": job.ended.isoformat(),
        "actionStatus": DONE,
        "subjectOf": {"@id": quote(job.record)},
        "additionalProperty": _ids(_properties("by", facts, properties)),
    }
    control = {
        "@id": f"#control-{number}",
        "@type": "ControlAction",
        "name": f"{record['rule']} {number}",
        "instrument": {"@id": f"#rule-{record['rule']}"},
        "object": {"@id": _action(number)},
        "actionStatus": DONE,
    }
    return [action, control]


def _properties(kind: str, facts: dict[str, Any], known: dict[str, Entity]) -> list[str]:
    """Identifiers of names with values, each an entity once."""
    found = []
    for name, value in facts.items():
        if value is None:
            continue
        key = f"{kind} {name} {value}"
        number = len(known)
        entity = {
            "@id": f"#{kind}-{name}-{number}",
            "@type": "PropertyValue",
            "name": name,
            "value": str(value),
        }
        found.append(known.setdefault(key, entity)["@id"])
    return found
