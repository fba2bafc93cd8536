"""VGG-16: features for comparing pictures, with torchvision's state-dict names."""

from torch import Tensor, nn

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg16(nn.Module):
    """`image` float32 [N, 3, H, W] → `forward` gives class logits [N, classes], `taps` four maps.

    With `classes` 0 it has no classifier. H and W are at least 32. Simonyan and Zisserman, "Very deep convolutional
    networks for large-scale image recognition", 2015.
    """

    def __init__(self, *, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for stage in STAGES:
            for channels in stage:
                layers += [nn.Conv2d(inputs, channels, kernel_size=3, padding=1), nn.ReLU()]
                inputs = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        if classes:
            self.avgpool = nn.AdaptiveAvgPool2d(7)
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, classes),
            )

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.classifier(self.avgpool(self.features(image)).flatten(1))
        return logits

    def taps(self, image: Tensor) -> list[Tensor]:
        """The output of the last convolution of each of the first four stages after its ReLU (relu1_2 … relu4_3)."""
        found, x = [], image
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            if len(found) == 4:
                break
            x = layer(x)
        return found
