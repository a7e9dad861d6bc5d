"""Readers of raw files, and what makes a PairedDataset of them (`registry`)."""
