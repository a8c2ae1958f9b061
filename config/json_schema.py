"""The file's JSON Schema, for editors: `python -m config.json_schema` writes it beside the example."""

import json
from pathlib import Path
from typing import Any

from config.schema import Settings

PATH = Path(__file__).parent / "tollgate.schema.json"


def schema() -> dict[str, Any]:
    """Draft 2020-12, of what a person writes."""
    document = Settings.model_json_schema(mode="validation")
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "tollgate configuration"
    document["patternProperties"] = {"^x-": {}}  # What is merged elsewhere (`<<`).
    service = document["$defs"]["ServiceSettings"]
    service["required"] = [name for name in service["required"] if name != "path"]  # Defaults to /<id>.
    for definition in (document, *document["$defs"].values()):
        for item in definition.get("properties", {}).values():
            # A default in our units (seconds, bytes, e8) is none that a person could write.
            if item.get("type") == "string" and not isinstance(item.get("default", ""), str):
                del item["default"]
    return document


def text() -> str:
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
