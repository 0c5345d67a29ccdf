"""Judges: from pictures to verdicts. One adapter a file; no judge knows a pipeline."""
