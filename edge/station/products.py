"""The products that a line makes, and the changeover from one to another."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.channel.control_messages import ProductState
from edge.files import read_regular
from edge.records.latest_file import LatestFile
from edge.sources import ExposureSettings
from edge.station.config.resolved import Product
from edge.station.inspection import Inspection, Note

FILE = "product.json"
"""In the records' folder: the product that parts were judged as last."""

LARGEST = 1_000
CLOSE_S = 0.2

REMEMBERED = 16
"""Changeovers for whose earlier frames it is known what they show; no frame waits that long."""


class _Change(NamedTuple):
    """From `since_ns` on the product of this `number` is current, and `inspection` judges its parts."""

    since_ns: int
    number: int
    inspection: Inspection


class _Current(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    product: str


class Products:
    """What judges the parts of each product, and which product is current. A line without products has one inspection,
    which has no name.
    """

    def __init__(
        self,
        products: Sequence[Product],
        inspections: Sequence[Inspection],
        note: Note,
        expose: Callable[[ExposureSettings | None], None],
    ) -> None:
        """`inspections` belong to the products in order; of a line without products there is one. `expose` lets the
        camera expose as the current product needs it.
        """
        self._products, self._inspections, self._note = tuple(products), [*inspections], note
        self._expose = expose
        self.others: list[Inspection] = []
        """Inspections that decide no new parts, but are kept: the results for their parts are received."""
        self._current = 0
        self._changes: deque[_Change] = deque(maxlen=REMEMBERED)
        self._file: LatestFile | None = None
        self._doubt: str | None = None  # why the current product may not be that of the line, until a changeover
        self._activate(0)

    def at(self, captured_ns: int) -> tuple[Inspection, str | None]:
        """What judges a part whose clock started at `captured_ns`, and the name of its product: a frame that was
        exposed before a changeover shows a part from before it.
        """
        began = (change for change in reversed(self._changes) if change.since_ns <= captured_ns)
        change = next(began, self._changes[0])
        return change.inspection, self.name_at(change.number)

    def __iter__(self) -> Iterator[Inspection]:
        return iter((*self._inspections, *self.others))

    @property
    def index(self) -> int:
        """Number of the current product, from 0."""
        return self._current

    def index_of(self, name: str | None) -> int | None:
        """Number of the product of this name, with None of the current one; None if there is no such product."""
        if name is None:
            return self._current
        return next((index for index, one in enumerate(self._products) if one.name == name), None)

    def index_judged_by(self, inspection: Inspection) -> int | None:
        """Number of the product whose new parts this inspection judges; None if it judges none any more."""
        return next((index for index, one in enumerate(self._inspections) if one is inspection), None)

    def inspection_at(self, index: int) -> Inspection:
        """What judges new parts of the product of this number."""
        return self._inspections[index]

    def name_at(self, index: int) -> str | None:
        """Name of the product of this number; None on a line without products."""
        return self._products[index].name if self._products else None

    def replace(self, index: int, inspection: Inspection) -> Inspection:
        """Let another inspection judge the new parts of a product from now on; returns the one before."""
        before, self._inspections[index] = self._inspections[index], inspection
        before.scoring.is_current = False
        if index == self._current:
            self._activate(index)
        return before

    @property
    def current(self) -> Inspection:
        """What judges the parts that are accepted now."""
        return self._inspections[self._current]

    @property
    def name(self) -> str | None:
        """Name of the current product; None without products."""
        return self.name_at(self._current)

    @property
    def number(self) -> int | None:
        """The current product's number for a PLC; None if it has none."""
        return self._products[self._current].number if self._products else None

    @property
    def are_loaded(self) -> bool:
        """Whether the models of all products have been loaded and have passed their tests."""
        return all(one.scoring.loaded is not None for one in self._inspections)

    @property
    def loading(self) -> str | None:
        """Why parts cannot be judged yet: a model that was never loaded; None if all were."""
        causes = (one.scoring.cause for one in self._inspections if one.scoring.loaded is None)
        return next((cause or "the model is being loaded" for cause in causes), None)

    @property
    def alarms(self) -> tuple[str, ...]:
        """What the current product's watches have found, and products whose model is not up, as text for users."""
        others = zip(self._products, self._inspections, strict=False)
        down = (
            f"product {product.name} cannot be judged: {one.scoring.cause}"
            for product, one in others
            if one is not self.current and one.scoring.loaded is not None and one.scoring.cause is not None
        )
        trouble = self._file.trouble if self._file is not None else None
        own = (
            ()
            if trouble is None
            else (f"{FILE} cannot be written ({trouble}): the next run begins with another product",)
        )
        return (*self.current.alarms, *down, *own, *(() if self._doubt is None else (self._doubt,)))

    def states(self) -> tuple[ProductState, ...]:
        """All products, for programs."""
        pairs = zip(self._products, self._inspections, strict=False)
        return tuple(
            ProductState(name=product.name, number=product.number, bundle=one.bundle.label, is_up=one.scoring.is_up)
            for product, one in pairs
        )

    def resume(self, folder: Path) -> None:
        """Make the product current that `folder` says was judged last, if there is one, and keep it there from now on.

        If that cannot be known, the first product is current, and an alarm says so until a changeover.
        """
        if not self._products:
            return
        last = None
        try:
            last = _Current.model_validate_json(read_regular(folder, FILE, LARGEST)).product
        except FileNotFoundError:
            pass  # the first run with these records
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "damaged"
            self._doubt = f"{FILE} cannot be used ({why}): {self.name} is current; select the product of the line"
        names = [product.name for product in self._products]
        if last in names:
            self._activate(names.index(last))
            self._note(logging.INFO, f"product {last}, as in the last run", "product")
        elif last is not None:
            self._doubt = f"the last run's product {last} is not there: {self.name} is current; select that of the line"
        if self._doubt is not None:
            self._note(logging.WARNING, self._doubt, "product")
        self._file = LatestFile(folder / FILE)
        self._file.keep(_Current(product=names[self._current]))

    def find(self, name: str | None, number: int | None) -> Product | None:
        """The product of this name, or of this number."""
        return next((one for one in self._products if name == one.name or (number and number == one.number)), None)

    def select(self, product: Product) -> str | None:
        """Make it current. Returns why not; None if it is."""
        index = self._products.index(product)
        scoring = self._inspections[index].scoring
        if not scoring.is_up:
            return f"product {product.name} cannot be judged: {scoring.cause}"
        self._activate(index)
        self._doubt = None
        if self._file is not None:
            self._file.keep(_Current(product=product.name))
        return None

    def refusal(self, name: str | None, number: int | None) -> str:
        """Why there is no product of this name or number."""
        if not self._products:
            return "this line makes one product; start it with --products for several"
        told = ", ".join(one.name if one.number is None else f"{one.name} ({one.number})" for one in self._products)
        return f"there is no product {name if name is not None else f'number {number}'}; there are {told}"

    def leave(self) -> None:
        """Give up the places at the models; pending frames are not answered any more."""
        for one in self:
            one.scoring.leave()

    def close(self) -> None:
        """Write what is left."""
        for one in self:
            one.close()
        if self._file is not None:
            self._file.close(CLOSE_S)

    def _activate(self, index: int) -> None:
        self._current = index
        self._changes.append(_Change(time.monotonic_ns(), index, self._inspections[index]))
        for number, one in enumerate(self._inspections):
            one.scoring.is_current = number == index
        if self._products:
            self._expose(self._products[index].exposure)
