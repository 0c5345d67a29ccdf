"""Counterfactual pairs: made, verified and written in shards, on one machine or a cluster."""
