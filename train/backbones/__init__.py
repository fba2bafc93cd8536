"""Networks that others trained on ImageNet, one file each, with their publishers' state-dict names."""
