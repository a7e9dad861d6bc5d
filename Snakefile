# The workflow, for Snakemake at the top of the checkout; catalogues and modules use this file.
include: "workflow/Snakefile"


# An included file does not set the default target.
workflow.default_target = "all"
