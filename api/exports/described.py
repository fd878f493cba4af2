"""The route of exports as the OpenAPI document has it."""

from __future__ import annotations

from api.exports.datasets import DATASETS
from api.exports.formats import FORMATS
from api.params import openapi_parameters
from api.schemas import TEXT, Schema, answer


def _exported() -> Schema:
    """The keywords of the route."""
    file: Schema = {one.media_type.partition(";")[0]: {"schema": TEXT} for one in FORMATS.values()}
    tag: Schema = {"ETag": {"schema": TEXT, "description": "Of exactly these bytes."}}
    made = answer("Problem", errors=(401, 403, 404, 416, 422, 503))
    made["responses"] |= {
        200: {"description": "All rows", "content": file, "headers": tag},
        206: {"description": "The bytes asked for", "content": file, "headers": tag | {"Content-Range": {"schema": TEXT}}},
        304: {"description": "If-None-Match names these very bytes", "headers": tag},
    }
    choices = {"dataset": list(DATASETS), "format": list(FORMATS)}
    path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": known}} for name, known in choices.items()]
    period = [one for one in openapi_parameters() if one["name"] in ("from", "to")]
    said = {"Range": "bytes=N- goes on from byte N.", "If-Range": "The ETag of the bytes one has.", "If-None-Match": "The same."}
    headers = [{"name": name, "in": "header", "schema": TEXT, "description": text} for name, text in said.items()]
    made["openapi_extra"]["parameters"] = [*path, *period, *headers]
    return made


EXPORT = _exported()
