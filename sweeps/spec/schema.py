"""A spec as JSON Schema, for editors: every section's keys, bounds and meaning, from the fields themselves."""

from __future__ import annotations

from typing import Any

from sweeps.data.kinds import KINDS
from sweeps.fields import fields_schema
from sweeps.spec.dimensions import setting_schema
from sweeps.spec.measured import TRIAL_PROBES
from sweeps.spec.sections import (
    AblationSpec,
    CertificateSpec,
    EpochSpec,
    FinalistSpec,
    PageSpec,
    PruningSpec,
    SearchSpec,
)

SECTIONS = {
    "search": SearchSpec,
    "epochs": EpochSpec,
    "pruning": PruningSpec,
    "finalists": FinalistSpec,
    "certificates": CertificateSpec,
    "page": PageSpec,
    "ablation": AblationSpec,
}


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of a sweep's TOML file."""
    properties: dict[str, Any] = {
        "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"},
        "seed": {"type": "integer", "minimum": 0},
        "draws": {
            "type": "string",
            "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
            "description": "name of the block of draws that finalists and certificates are measured on, for sweeps of "
            "one seed that are to be compared draw by draw; draws of the question's own without it",
        },
        "origin": {
            "type": "string",
            "description": "the sweep whose best settings are tried first, with its digest, as --from writes it",
        },
        "probes": {
            "type": "array",
            "items": {"enum": list(TRIAL_PROBES)},
            "uniqueItems": True,
            "description": "what is measured of the networks at every look besides losses; nothing without it",
        },
        "goal": {"type": "object"},
        **{name: fields_schema(kind) for name, kind in SECTIONS.items()},
        "datasets": {"type": "array", "minItems": 1, "items": {"oneOf": [_dataset_schema(kind) for kind in KINDS]}},
        "network": {"type": "object", "properties": setting_schema("network"), "additionalProperties": False},
        "training": {"type": "object", "properties": setting_schema("training"), "additionalProperties": False},
        "space": {"type": "object", "properties": {"network": {"type": "object"}, "training": {"type": "object"}}},
    }
    properties["search"]["properties"]["first"] = {
        "type": "array",
        "items": {"type": "object", "properties": {"network": {"type": "object"}, "training": {"type": "object"}}},
        "description": "settings that are asked before the sampler chooses, each whole and within the space",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A sweep",
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in ("draws", "origin", "probes", "pruning", "ablation")],
        "additionalProperties": False,
    }


def _dataset_schema(name: str) -> dict[str, Any]:
    kind = KINDS[name]
    schema = fields_schema(kind.settings)
    named: dict[str, Any] = {"enum": list(kind.names)} if kind.names else {"type": "string"}
    schema["properties"] = {"kind": {"const": name}, "name": named, **schema["properties"]}
    schema["required"] = ["kind", "name", *schema["required"]]
    return schema
