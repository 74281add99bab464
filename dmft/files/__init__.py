"""Files: results, checkpoints, specs."""
