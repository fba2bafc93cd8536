"""JSON Schemas of what passes the verdict channel, for controllers in other languages: `make docs` writes them."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge.bundle import Manifest
from edge.verdict import Heartbeat, StateChange, Verdict


def schemas() -> dict[str, dict[str, Any]]:
    """By file name."""
    models: dict[str, type[BaseModel]] = {
        "verdict": Verdict,
        "heartbeat": Heartbeat,
        "state": StateChange,
        "manifest": Manifest,
    }
    return {
        f"{name}.schema.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.model_json_schema(mode="serialization"),
        }
        for name, model in models.items()
    }


if __name__ == "__main__":
    for name, schema in schemas().items():
        (Path(sys.argv[1]) / name).write_text(json.dumps(schema, indent=2) + "\n")
