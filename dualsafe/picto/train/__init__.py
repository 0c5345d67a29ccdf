"""Training of the picto stack, stage by stage: `python -m dualsafe.picto.train STAGE`."""
