"""JSON files of annotations, validated as a pydantic model; what is wrong is one line with the file and the place."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edge.errors import DataError
from edge.text import reason_of
from edge.validation import first_problem, plain

Model = TypeVar("Model", bound=BaseModel)


def read_json(file: Path, model: type[Model]) -> Model:
    """The content of a file. Raises DataError if it cannot be read, is no JSON, or lacks what `model` needs."""
    try:
        return model.model_validate_json(file.read_bytes())
    except ValidationError as error:
        said = plain(error, model, file.name)
        raise DataError(f"{file} {said}" if not first_problem(error)["loc"] else f"{file}: {said}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {reason_of(error)}") from None


def says(file: Path, *words: str) -> bool:
    """Whether the file has each of these keys, without reading it as JSON: a damaged file has them too."""
    try:
        data = file.read_bytes()
    except OSError:
        return False
    return all(f'"{word}"'.encode() in data for word in words)
