"""AlexNet: features for comparing pictures, with torchvision's state-dict names."""

from collections.abc import Iterable

from torch import Tensor, nn


class AlexNet(nn.Module):
    """`image` float32 [N, 3, H, W] → `forward` gives class logits [N, classes], `taps` five maps.

    With `classes` 0 it has no classifier. H and W are at least 64, for `taps` 32. Krizhevsky, "One weird
    trick for parallelizing convolutional neural networks", 2014.
    """

    def __init__(self, *, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        if classes:
            self.avgpool = nn.AdaptiveAvgPool2d(6)
            self.classifier = nn.Sequential(
                nn.Dropout(),
                nn.Linear(256 * 6 * 6, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Linear(4096, classes),
            )

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.classifier(self.avgpool(self.features(image)).flatten(1))
        return logits

    def taps(self, image: Tensor) -> list[Tensor]:
        """The output of each of the five convolutions after its ReLU."""
        return taps(list(self.features)[:-1], image)


def taps(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The output of each ReLU in `layers`."""
    found = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(x)
    return found
