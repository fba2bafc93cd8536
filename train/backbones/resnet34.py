"""ResNet-34: the encoder of the U-Net, with torchvision's state-dict names."""

from torch import Tensor, nn
from torch.nn import functional as F

DEPTHS = (3, 4, 6, 3)
CHANNELS = (64, 128, 256, 512)


class ResNet34(nn.Module):
    """`image` float32 [N, 3, H, W] → `forward` gives class logits [N, classes], `features` five maps.

    With `classes` 0 it has no classifier, as in segmentation-models-pytorch. H and W are multiples of 32. He et al.,
    "Deep residual learning for image recognition", 2016.
    """

    def __init__(self, *, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for index, (depth, channels) in enumerate(zip(DEPTHS, CHANNELS, strict=True), 1):
            blocks = [BasicBlock(inputs, channels, stride=1 if index == 1 else 2)]
            blocks += [BasicBlock(channels, channels, stride=1) for _ in range(depth - 1)]
            self.add_module(f"layer{index}", nn.Sequential(*blocks))
            inputs = channels
        if classes:
            self.fc = nn.Linear(512, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits."""
        logits: Tensor = self.fc(self.features(image)[-1].mean(dim=(2, 3)))
        return logits

    def features(self, image: Tensor) -> list[Tensor]:
        """Maps of 64, 64, 128, 256, 512 channels at strides 2, 4, 8, 16, 32."""
        maps = [F.relu(self.bn1(self.conv1(image)))]
        x = F.max_pool2d(maps[0], kernel_size=3, stride=2, padding=1)
        for index in range(1, 5):
            x = self.get_submodule(f"layer{index}")(x)
            maps.append(x)
        return maps


class BasicBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to their input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """`outputs` channels, smaller by `stride`."""
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(x))
