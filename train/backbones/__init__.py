"""Networks pretrained on ImageNet, one file each, with their publishers' state-dict names."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB of values in 0..1: the normalisation used to train torchvision's networks."""
