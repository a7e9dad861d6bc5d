"""The paper: its theory, and the ledger of its printed numbers."""
