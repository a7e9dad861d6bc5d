"""From raw files to aligned datasets: sources, readers, splits, selection, degradation."""
