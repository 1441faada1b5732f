"""Checks a JSON document against a JSON Schema; the few keywords our own schemas use, nothing more.

A schema is our own file, so a keyword this program does not know is a mistake in it, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any, Any, str], Iterator[str]]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_ABOUT = {"$schema", "$id", "title", "description", "required", "additionalProperties"}


def problems(document: Any, schema: Mapping[str, Any], path: str = "") -> list[str]:
    """What is wrong with a document, one phrase each, with the path of the field; empty when it fits.

    Raises:
        ValueError: the schema uses a keyword that is not known here.
    """
    unknown = set(schema) - _ABOUT - set(_CHECKS) - {"type"}
    if unknown:
        raise ValueError(f"The schema at {path or 'its top'} uses unknown keywords: {', '.join(sorted(unknown))}.")
    kinds = _TYPES[schema["type"]]
    if not isinstance(document, kinds) or (isinstance(document, bool) and bool not in kinds):
        return [f"{path or 'the document'} should be of type {schema['type']}"]
    found = list(_fields(document, schema, path)) if isinstance(document, dict) else []
    for keyword, check in _CHECKS.items():
        if keyword in schema:
            found += check(document, schema[keyword], path)
    return found


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from (f"{_join(path, key)} is missing" for key in schema.get("required", []) if key not in document)
    if schema.get("additionalProperties") is False:
        unknown = sorted(set(document) - set(schema.get("properties", {})))
        yield from (f"{_join(path, key)} is not a known field" for key in unknown)


def _properties(document: Any, schemas: Any, path: str) -> Iterator[str]:
    for key, schema in schemas.items():
        if key in document:
            yield from problems(document[key], schema, _join(path, key))


def _items(document: Any, schema: Any, path: str) -> Iterator[str]:
    for index, item in enumerate(document):
        yield from problems(item, schema, f"{path}[{index}]")


def _min_items(document: Any, count: Any, path: str) -> Iterator[str]:
    if len(document) < count:
        yield f"{path} should have at least {count} entries"


def _pattern(document: Any, pattern: Any, path: str) -> Iterator[str]:
    if not re.fullmatch(pattern, document):
        yield f"{path} should match {pattern}"


def _min_length(document: Any, length: Any, path: str) -> Iterator[str]:
    if len(document) < length:
        yield f"{path} should not be empty"


def _minimum(document: Any, low: Any, path: str) -> Iterator[str]:
    if not document >= low:
        yield f"{path} should be at least {low}"


def _above(document: Any, low: Any, path: str) -> Iterator[str]:
    if not document > low:
        yield f"{path} should be above {low}"


def _constant(document: Any, value: Any, path: str) -> Iterator[str]:
    if document != value:
        yield f"{path} should be {value!r}"


_CHECKS: dict[str, Check] = {
    "const": _constant,
    "exclusiveMinimum": _above,
    "items": _items,
    "minItems": _min_items,
    "minLength": _min_length,
    "minimum": _minimum,
    "pattern": _pattern,
    "properties": _properties,
}


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
