"""The shipped example and the JSON Schema say what the program reads."""

from pathlib import Path

import yaml

import config
from config.json_schema import PATH, schema, text
from config.loading import load_settings
from config.schema import Settings

EXAMPLE = Path(config.__file__).parent / "example.yaml"


def test_the_example_is_sound_and_names_every_key() -> None:
    load_settings(EXAMPLE)
    document = yaml.safe_load(EXAMPLE.read_text())
    assert set(document) | {"catalog", "tracing"} == set(Settings.model_fields)
    services = schema()["$defs"]["ServiceSettings"]["properties"]
    assert set(document["services"][0]) == set(services)
    assert set(document["services"][0]["upstream"]) == set(schema()["$defs"]["Upstream"]["properties"])


def test_what_is_shown_of_a_file_can_be_handed_in_again() -> None:
    """Over the API, where a service is shown, changed and put back; and bought instances are kept so."""
    settings = load_settings(EXAMPLE)
    for items in (settings.services, settings.instances):
        for item in items:
            assert type(item).model_validate(item.model_dump(mode="json")) == item


def test_the_json_schema_is_up_to_date() -> None:
    """`python -m config.json_schema` writes it."""
    assert PATH.read_text() == text()


def test_the_json_schema_takes_what_people_write() -> None:
    properties = schema()["$defs"]["Client"]["properties"]
    assert properties["head_timeout"]["type"] == "string"
    assert properties["head_max"]["type"] == "string"
    assert "path" not in schema()["$defs"]["ServiceSettings"]["required"]
