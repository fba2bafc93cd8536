"""The rows of a backtest as Parquet: a file for each chunk, and one of all at the end. Needs the extra parquet."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.backtest.items import Item
from edge.backtest.judging import Row
from edge.errors import DataError
from edge.files import written_whole

if TYPE_CHECKING:
    import pyarrow

CHUNKS, TABLE = "chunks", "table.parquet"
_NUMBERS = {"seq": "int64", "score_said": "float64", "score": "float64", "ms": "float64"}
COLUMNS = (*Item._fields, *Row._fields)


def schema() -> "pyarrow.Schema":
    """The columns: those of a frame, then what a bundle says of it. Unknown numbers are null."""
    import pyarrow

    types = {"int64": pyarrow.int64(), "float64": pyarrow.float64()}
    return pyarrow.schema([(name, types.get(_NUMBERS.get(name, ""), pyarrow.string())) for name in COLUMNS])


def packed(rows: Sequence[tuple[Item, Row]]) -> bytes:
    """A chunk's rows as a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    columns: list[list[Any]] = [[*column] for column in zip(*((*item, *row) for item, row in rows), strict=True)]
    arrays = [
        pyarrow.array([None if value != value else value for value in column], field.type)
        for column, field in zip(columns, schema(), strict=True)
    ]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema()), buffer, compression="zstd")
    return buffer.getvalue()


def chunk_file(out: Path, number: int) -> Path:
    """The file of a chunk."""
    return out / CHUNKS / f"{number:06}.parquet"


def store(out: Path, number: int, content: bytes) -> None:
    """Write a chunk's file as a whole; one that is there is replaced by the same rows. Raises OSError."""
    file = chunk_file(out, number)
    file.parent.mkdir(exist_ok=True)
    with written_whole(file) as part:
        part.write_bytes(content)


def missing(out: Path, chunks: int) -> list[int]:
    """The chunks that have no file yet. A file is there as a whole or not at all."""
    return [number for number in range(chunks) if not chunk_file(out, number).exists()]


def join(out: Path, chunks: int) -> Path:
    """Write the table of all chunks, in their order. Raises DataError if a chunk's file is damaged."""
    from pyarrow import ArrowException, parquet

    file = out / TABLE
    with written_whole(file) as part, parquet.ParquetWriter(part, schema(), compression="zstd") as writer:
        for number in range(chunks):
            try:
                writer.write_table(parquet.read_table(chunk_file(out, number), schema=schema()))
            except (OSError, ArrowException) as error:
                raise DataError(
                    f"{chunk_file(out, number)} is damaged; remove it, and run the command again"
                ) from error
    return file


def read_rows(file: Path) -> Iterator[tuple[Item, Row]]:
    """The rows of a table."""
    from pyarrow import parquet

    width = len(Item._fields)
    with parquet.ParquetFile(file) as table:
        for batch in table.iter_batches():
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                values: list[Any] = [float("nan") if value is None else value for value in row]
                yield Item._make(values[:width]), Row(*values[width:])  # an older table has no kinds
