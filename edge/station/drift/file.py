"""The file of the reference, beside the station's records: read at the start.

There is one for each bundle, source and region, so that a line to which a bundle returns has its reference again.
"""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.files import read_regular
from edge.station.drift.batch_means import MOST_BATCHES
from edge.station.drift.chart import MEMORY, Block
from edge.station.drift.features import FEATURES

LARGEST = 2**20
"""Bytes of a file; one has 60,000 at most while the reference grows, and 10,000 then."""

LARGEST_MEAN = 1e12
"""Blocks with larger numbers are left out: no feature has them."""

Number = Annotated[float, Field(ge=-LARGEST_MEAN, le=LARGEST_MEAN)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LineIdentity(_Part):
    """Whose reference it is: another bundle, source or region has another one."""

    digest: str
    bundle: str
    source: str
    regions: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Name of the file of its reference."""
        said = "\n".join((self.digest, self.source, *self.regions))
        return f"drift-{sha256(said.encode(errors='surrogateescape')).hexdigest()[:12]}.json"


class StoredChart(_Part):
    """A `Chart`: `length`, `means` and `rest` are those of its `BatchMeans`."""

    length: int = Field(ge=1, le=2**40)
    means: tuple[Number, ...] = Field(max_length=MOST_BATCHES - 1)
    rest: tuple[Number, ...] = Field(max_length=100_000)
    variance: float = Field(ge=0, le=LARGEST_MEAN**2)
    now: Number | None
    since: str | None = Field(max_length=100)


class Stored(_Part):
    """The reference of a line, and what is compared with it now."""

    version: Literal[1] = 1
    line: LineIdentity
    begun: str = Field(max_length=100)
    block_s: float = Field(gt=0, le=1e6)
    block_parts: int = Field(ge=1, le=10**6)
    charts: dict[str, StoredChart]
    waiting: tuple[dict[str, Block], ...] = Field(default=(), max_length=MEMORY + 1)
    beyond: tuple[str, ...] = ()
    lead: str | None = None
    stood: int = Field(default=0, ge=0, le=10**9)
    later: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it has the features that are watched now, and does not contradict itself."""
        named = {
            *self.beyond,
            *self.later,
            *(() if self.lead is None else (self.lead,)),
            *(name for one in self.waiting for name in one),
        }
        if self.charts.keys() != FEATURES.keys() or not named <= FEATURES.keys():
            return False
        if bool(self.beyond) is (self.lead is None) or not all(
            len(one.rest) < one.length for one in self.charts.values()
        ):
            return False
        alarmed = (self.charts[name] for name in (*self.beyond, *((self.lead,) if self.lead else ())))
        return all(one.now is not None and (one.means or one.rest) for one in alarmed)


def read_stored(folder: Path, line: LineIdentity) -> Stored | str | None:
    """The stored reference of a line; None if there is none; as text why it cannot be used."""
    try:
        stored = Stored.model_validate_json(read_regular(folder, line.file, LARGEST))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"not readable ({error.strerror})"
    except ValueError:
        return "damaged"
    return stored if stored.fits and stored.line == line else "of another line or version"
