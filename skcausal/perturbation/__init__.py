"""Predict what perturbations of unknown targets do, and infer what they act on."""

__all__: list[str] = []
