"""A convolutional autoencoder for 32×32 pixels with a linear code: it cannot reconstruct what good parts lack."""

from torch import Tensor, nn
from torch.nn import functional as F

from train.reconstruction import Reconstruction


class AutoencoderRelu(Reconstruction):
    """Convolutions 32-32/2-64-64/2-128-128/2-128 down, nearest upsampling and convolutions 64-32-3 up, sigmoid.

    ReLU stands after the first four convolutions only. Expects values in 0..1. The side must be a
    multiple of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 32)
        self.conv2 = _convolution(32, 32, stride=2)
        self.conv3 = _convolution(32, 64)
        self.conv4 = _convolution(64, 64, stride=2)
        self.conv5 = _convolution(64, 128)
        self.conv6 = _convolution(128, 128, stride=2)
        self.conv7 = _convolution(128, 128)
        self.up1 = _convolution(128, 64)
        self.up2 = _convolution(64, 32)
        self.up3 = _convolution(32, 3)

    def reconstruct(self, image: Tensor) -> Tensor:
        """The network's reconstruction of the picture: [N, 3, S, S], 0..1."""
        x = image
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(layer(x))
        for layer in (self.conv5, self.conv6, self.conv7):
            x = layer(x)
        for layer in (self.up1, self.up2, self.up3):
            x = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x.sigmoid()


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1)
