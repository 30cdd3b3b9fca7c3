"""The networks: one file per architecture, created by name.

Every model maps ``images`` float (B, 3, H, W) to a dictionary whose ``"logits"`` are (B, L, H, W) at the input's size;
further keys are documented per model.
"""

from fundus_lib.models.registry import count_parameters, create_model, list_models

__all__ = ["count_parameters", "create_model", "list_models"]
