"""The first segmenter: hard exudates with a small U-Net, and how far drawn fundi replace photographs."""

from fundus_lib.recipes.segmentation import SegmentationRecipe

UNET = SegmentationRecipe(paper="first_segmenter", table="main", row="unet")
"""Trained and tested on IDRiD at 640×960, in under five minutes on two cores."""

UNET_512 = UNET.replace(table="realism", row="unet_512", size=(512, 768))
"""The same at 512×768: what real photographs teach."""

UNET_512_SYNTHETIC = UNET_512.replace(row="unet_512_synthetic", train_on="SyntheticFundus", train_images=216)
"""Trained on drawn fundi alone, tested on photographs: how real the drawings are, for a network."""

RECIPES = (UNET, UNET_512, UNET_512_SYNTHETIC)
