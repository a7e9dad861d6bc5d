# Rebuilds the paper's tables and figures from raw files. What there is to ask for:
#   all                     every study whose raw files can be had (the default)
#   <study>, <group>        e.g. synthetic, mnistm, mnistm-a18
#   <table>, <figure>       e.g. table13, fig02, sweep-synthetic
#   fetch                   only download
# Settings: config.yaml, overlaid by --configfile presets/{demo,open}.yaml.
from pathlib import Path


configfile: Path(workflow.basedir) / "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/estimate.smk"
include: "workflow/rules/tabulate.smk"
include: "workflow/rules/plot.smk"


rule all:
    default_target: True
    localrule: True
    input:
        PLAN.everything(),


# One target a study, group, table and figure, each with no more than its own needs.
for target, files in PLAN.targets().items():

    rule:
        name:
            target
        localrule: True
        input:
            files,


rule fetch:
    localrule: True
    input:
        PLAN.fetchable(),


rule comparison:
    localrule: True
    input:
        PLAN.comparison,
