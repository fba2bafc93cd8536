"""The letterbox contract: refusals in one line; bundles from before its newer fields still load."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge.errors import DataError
from edge.letterbox.contract import LetterboxContract

REGION = {"top": 10, "left": 20, "height": 30, "width": 40}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mean": (0.0, 0.0)}, "mean has 2 values; a network that sees rgb takes 3"),
        ({"colour": "grey", "mean": (0.0,) * 3}, "mean has 3 values; a network that sees grey takes 1"),
        ({"std": (1.0, 0.0, 1.0)}, "greater than 0"),
        ({"std": (1.0, float("inf"), 1.0)}, "finite"),
        ({"mode": "stretch", "filter": "box"}, "mode stretch has the filters antialias and bilinear"),
        ({"region": REGION | {"top": -1}}, "greater than or equal to 0"),
        ({"region": REGION | {"height": 15}}, "greater than or equal to 16"),
        ({"region": REGION | {"left": 8190}}, "the region ends at column 8230, row 40; no frame has more than 8192"),
        ({"frame": "rgb"}, "'bgr' or 'grey'"),
    ],
)
def test_an_impossible_contract_is_refused_by_the_name_of_what_is_wrong(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        LetterboxContract(side=64, **fields)
    error = refusal.value.errors()[0]
    assert says in error["msg"]


def test_mean_and_std_are_by_default_of_as_many_channels_as_the_network_sees() -> None:
    assert LetterboxContract(side=64).mean == (0.0, 0.0, 0.0)
    assert LetterboxContract(side=64, colour="grey").std == (1.0,)


def test_a_contract_without_the_newer_keys_is_a_colour_frame_for_a_colour_network() -> None:
    contract = LetterboxContract.model_validate({"side": 224, "mean": [0, 0, 0], "std": [1, 1, 1]})
    assert (contract.frame, contract.colour, contract.region, contract.channels) == ("bgr", "rgb", None, 3)


def test_a_frame_holds_the_region_from_its_last_pixel_on() -> None:
    contract = LetterboxContract(side=64, region=REGION)  # type: ignore[arg-type]
    assert contract.refusal(40, 60) is None
    for height, width in ((39, 60), (40, 59)):
        with pytest.raises(DataError, match=f"{width}×{height} does not hold the region of 40×30 pixels at column 20"):
            contract.fit(height, width)
    assert contract.holding(16, 100) == (40, 100)


def test_whoever_chooses_bilinear_is_warned_in_one_line_and_nobody_else() -> None:
    said = LetterboxContract(side=64, filter="bilinear").warning
    assert said is not None
    assert "thin defects may vanish" in said
    assert "\n" not in said
    assert LetterboxContract(side=64).warning is LetterboxContract(side=64, filter="box").warning is None
