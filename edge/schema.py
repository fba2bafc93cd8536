"""JSON Schemas of what a station says and hears, and of the manifest, for other languages: `make docs` writes them."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from edge.bundle import Manifest
from edge.channel.control_messages import REPLIES, REQUESTS
from edge.verdict import Heartbeat, StateChange, Verdict


def schemas() -> dict[str, dict[str, Any]]:
    """By file name."""
    models: dict[str, type[BaseModel]] = {
        "verdict": Verdict,
        "heartbeat": Heartbeat,
        "state": StateChange,
        "manifest": Manifest,
    }
    told = {name: model.model_json_schema(mode="serialization") for name, model in models.items()}
    return {
        f"{name}.schema.json": {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        for name, schema in (told | {"control": _control()}).items()
    }


def _control() -> dict[str, Any]:
    """What is said on the control socket: `Request` by a controller, `Reply` by the station; `type` says which."""
    said: dict[str, TypeAdapter[Any]] = {"Request": REQUESTS, "Reply": REPLIES}
    schema_of, shared = TypeAdapter.json_schemas([(name, "serialization", told) for name, told in said.items()])
    defined = {name: schema_of[name, "serialization"] for name in said}
    either = [{"$ref": f"#/$defs/{name}"} for name in said]
    return {"title": "Control", "oneOf": either, "$defs": {**defined, **shared["$defs"]}}


if __name__ == "__main__":
    for name, schema in schemas().items():
        (Path(sys.argv[1]) / name).write_text(json.dumps(schema, indent=2) + "\n")
