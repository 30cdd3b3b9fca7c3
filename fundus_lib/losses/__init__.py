"""Losses. Each takes logits, and documents how it pools pixels and its value for empty masks.

Losses on masks are ``(logits, target) -> scalar`` with both (B, L, H, W), each lesion a binary classification.
Contrastive losses are ``(features, labels) -> scalar`` with features (N, D) and labels (N,). A paper's criterion is
``(output, batch, progress) -> dict``: the ``"total"`` to minimise and its terms.
"""

from fundus_lib.losses.bins import BinLoss
from fundus_lib.losses.categorical_focal import CategoricalFocalLoss
from fundus_lib.losses.class_balanced import ClassBalancedCrossEntropy
from fundus_lib.losses.cross_entropy import CrossEntropy
from fundus_lib.losses.dice import DiceLoss
from fundus_lib.losses.dice_cross_entropy import DiceCrossEntropy
from fundus_lib.losses.dual_branch import DualBranchCriterion, SingleBranchCriterion, branch_weights
from fundus_lib.losses.focal import FocalLoss
from fundus_lib.losses.grading import GradeLoss, SUNetCriterion, compute_class_weights
from fundus_lib.losses.hecl import HECLCriterion
from fundus_lib.losses.local_global import LocalGlobalCriterion
from fundus_lib.losses.ntxent import NTXentLoss
from fundus_lib.losses.pldmlt import PLDMLTCriterion, mask_softmax, sum_entropy
from fundus_lib.losses.pldmlt_labels import LabelUpdate
from fundus_lib.losses.rebalanced_dice import RebalancedDiceLoss, SampledDiceLoss
from fundus_lib.losses.registry import create_loss, list_losses
from fundus_lib.losses.supcon import SupConLoss
from fundus_lib.losses.weighted import WeightedCrossEntropy

__all__ = [
    "BinLoss",
    "CategoricalFocalLoss",
    "ClassBalancedCrossEntropy",
    "CrossEntropy",
    "DiceCrossEntropy",
    "DiceLoss",
    "DualBranchCriterion",
    "FocalLoss",
    "GradeLoss",
    "HECLCriterion",
    "LabelUpdate",
    "LocalGlobalCriterion",
    "NTXentLoss",
    "PLDMLTCriterion",
    "RebalancedDiceLoss",
    "SUNetCriterion",
    "SampledDiceLoss",
    "SingleBranchCriterion",
    "SupConLoss",
    "WeightedCrossEntropy",
    "branch_weights",
    "compute_class_weights",
    "create_loss",
    "list_losses",
    "mask_softmax",
    "sum_entropy",
]
