"""The products that a line makes: a list of tables in the configuration, or a flag for each."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from edge.channel.control_messages import Name
from edge.station.config.values import NamedPath

LARGEST_NUMBER = 65_535
"""Of a product: a PLC gives it in one register."""

FORM = "NAME=BUNDLE[,number=N][,budget_ms=MS][,envelope=FILE][,exposure_us=US][,gain_db=DB]"


class ProductSettings(BaseModel):
    """One product: its name, the number by which a PLC asks for it, what judges its parts, the envelope of its live
    frames, and how the camera exposes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    bundle: NamedPath
    number: int | None = Field(default=None, ge=1, le=LARGEST_NUMBER)
    budget_ms: float | None = Field(default=None, ge=1, le=600_000)
    envelope: NamedPath | None = None
    exposure_us: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    gain_db: float | None = Field(default=None, allow_inf_nan=False)


def _product(said: Any) -> Any:
    """A product from the text of a flag. Raises ValueError if it has another form."""
    if not isinstance(said, str):
        return said
    named, *others = (part.partition("=") for part in said.split(","))
    if not all(name and equals and value for name, equals, value in (named, *others)):
        raise ValueError(f"give {FORM}")
    return {"name": named[0], "bundle": named[2]} | {name.strip(): value.strip() for name, _, value in others}


def _products(said: Any) -> Any:
    """A list of products; a single one is a list of one. Raises ValueError."""
    return [_product(one) for one in (said if isinstance(said, list | tuple) else [said])]


def _check_apart(products: tuple[ProductSettings, ...]) -> tuple[ProductSettings, ...]:
    """Raise ValueError if two products have the same name or number."""
    for what in ("name", "number"):
        values = [value for one in products if (value := getattr(one, what)) is not None]
        if doubled := next((value for value in values if values.count(value) > 1), None):
            raise ValueError(f"two products have the {what} {doubled}")
    return products


Products = Annotated[tuple[ProductSettings, ...], BeforeValidator(_products), AfterValidator(_check_apart)]
"""The products of a station, in order."""
