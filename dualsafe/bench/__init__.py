"""Benchmarks: tasks, runs, and what a run says of methods; scored from its samples alone."""
