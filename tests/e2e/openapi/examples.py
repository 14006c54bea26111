"""Every example of an OpenAPI 3.1 document against the schema that it stands beside."""

from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

DOCUMENT = "urn:document"


def misfits(document):
    """How many examples there are, and what is wrong with those that their schemas refuse."""
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry = Registry().with_resource(DOCUMENT, resource)
    count, errors = 0, []
    for place, example, schema in examples(document, "#"):
        count += 1
        validator = OAS31Validator(absolute(schema), registry=registry)
        errors += [f"{place}: {example!r}: {error.message}" for error in validator.iter_errors(example)]
    return count, errors


def examples(value, place):
    """All examples within a value, each with its place and its schema: those of schemas, and those beside one."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from examples(each, f"{place}/{index}")
    if not isinstance(value, dict):
        return
    told = value.get("examples")
    if isinstance(told, list):
        yield from ((place, example, value) for example in told)
    if "schema" in value:
        beside = [value["example"]] if "example" in value else []
        beside += [each["value"] for each in told.values()] if isinstance(told, dict) else []
        yield from ((place, example, value["schema"]) for example in beside)
    for name, each in value.items():
        yield from examples(each, f"{place}/{name}")


def absolute(value):
    """A schema whose references hold outside of its document too."""
    if isinstance(value, list):
        return [absolute(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: f"{DOCUMENT}{each}" if name == "$ref" and isinstance(each, str) else absolute(each)
        for name, each in value.items()
    }
