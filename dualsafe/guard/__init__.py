"""Guards: judges graded on counterfactual pairs, and trained on them."""
