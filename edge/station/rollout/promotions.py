"""Which bundles were promoted in place of the configured ones, kept beside the records so that a restart keeps them."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.bundle import Bundle, load_bundle
from edge.bundle.signature import Trust
from edge.errors import BundleError
from edge.files import read_regular
from edge.records.latest_file import LatestFile
from edge.text import printable

FILE = "promoted.json"
"""In the records' folder."""

LARGEST = 100_000
CLOSE_S = 0.2
MOST = 100


class Promotion(BaseModel):
    """A bundle that decides in place of the configured one, which has the digest `replaces`. `product` is None on a
    line without products.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    product: str | None
    bundle: str
    digest: str
    replaces: str


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = Field(default=1, le=1)
    promotions: tuple[Promotion, ...] = Field(default=(), max_length=MOST)


class Promotions:
    """The promotions of a line. Without a folder they end with the run."""

    def __init__(self, folder: Path | None) -> None:
        """Read those of earlier runs. Of a file that cannot be read none is known, which is an alarm."""
        self._unread: str | None = None
        self._doubts: dict[str | None, str] = {}
        self._file = None if folder is None else LatestFile(folder / FILE)
        self._by_product: dict[str | None, Promotion] = {}
        self._is_changed = False
        try:
            kept = _Kept() if folder is None else _Kept.model_validate_json(read_regular(folder, FILE, LARGEST))
            self._by_product = {one.product: one for one in kept.promotions}
        except FileNotFoundError:
            pass  # nothing was ever promoted
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "damaged"
            self._unread = f"{FILE} cannot be used ({why}): the configured bundles decide"

    @property
    def alarms(self) -> tuple[str, ...]:
        """What a person has to know, as text for users: promotions that could not be restored, or cannot be kept."""
        trouble = self._file.trouble if self._file is not None else None
        own = () if trouble is None else (f"{FILE} cannot be written ({trouble}): a restart undoes the promotion",)
        return (*(() if self._unread is None else (self._unread,)), *self._doubts.values(), *own)

    def restored(self, product: str | None, configured: Bundle, trust: Trust | None) -> Bundle:
        """The bundle that decides at the start: the promoted one, if it replaces this configured one and is sound.

        Nothing is written yet: the station locks its records later, see `begin`.
        """
        one = self._by_product.get(product)
        if one is None:
            return configured
        if one.replaces != configured.digest:  # another bundle was configured since, which ends the promotion
            del self._by_product[product]
            self._is_changed = True
            return configured
        try:
            bundle = load_bundle(Path(one.bundle), trust)
            if bundle.digest != one.digest:
                raise BundleError(f"{one.bundle} is not the bundle that was promoted")
        except (BundleError, OSError, ValueError) as error:
            self.doubt(product, str(error))
            return configured
        return bundle

    def doubt(self, product: str | None, why: str) -> None:
        """The promoted bundle cannot decide."""
        self._doubts[product] = printable(f"the promoted bundle cannot be used, the configured one decides: {why}")

    def begin(self) -> None:
        """The records are locked: write what `restored` has ended."""
        if self._is_changed:
            self._write()

    def keep(self, promotion: Promotion) -> None:
        """From now on also after a restart."""
        self._by_product[promotion.product] = promotion
        self._doubts.pop(promotion.product, None)
        self._write()

    def forget(self, product: str | None) -> bool:
        """The configured bundle decides again, also after a restart. Whether there was a promotion."""
        self._doubts.pop(product, None)
        was_there = self._by_product.pop(product, None) is not None
        if was_there:
            self._write()
        return was_there

    def close(self) -> None:
        """Write what is left."""
        if self._file is not None:
            self._file.close(CLOSE_S)

    def _write(self) -> None:
        self._unread = None
        if self._file is not None:
            self._file.keep(_Kept(promotions=tuple(self._by_product.values())))
