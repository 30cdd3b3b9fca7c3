"""L-Seg: HED for several lesions at once.

Source: S. Guo et al., "L-Seg: An end-to-end unified framework for multi-lesion segmentation of fundus images",
Neurocomputing 349 (2019), and its authors' network definition.
"""

from __future__ import annotations

from fundus_lib.models.hed import HED


class LSeg(HED):
    """HED with one channel per lesion in each side output, and a fusion of its own for each lesion.

    Parts and outputs are those of :class:`~fundus_lib.models.hed.HED`. The first convolution pads by 1, so that
    the feature maps end at the image's edge; there the side outputs are padded with their last value, where the
    authors' transposed convolution fades to zero within half a stride of the edge [our choice]. What two branches share
    is our choice too: what they share of HED.

    Args:
        lesions: Number of output channels L; 4 in the paper.
        width: Channels of the first stage; 64 is VGG16.
        pretrained: Start from torchvision's VGG16 trained on ImageNet (width 64 only).

    Raises:
        ArgumentError: A setting is out of range.
        WeightsError: ``pretrained``, and the weights cannot be had.
    """

    def __init__(self, lesions: int = 4, width: int = 64, pretrained: bool = False):
        super().__init__(lesions, width, pretrained, padding=1)
