"""The protobuf classes of Sparkplug B, made at import from `schemas/sparkplug_b.proto`: no compiler, no generated file.

The reader below knows as much of the language as that file uses: messages, optional and repeated fields, one `oneof`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO = Path(__file__).with_name("schemas") / "sparkplug_b.proto"
_MESSAGE = re.compile(r"message (\w+) \{")
_FIELD = re.compile(r"(?:(optional|repeated) )?(\w+) (\w+) = (\d+);")
_SCALARS = {"double": 1, "float": 2, "uint64": 4, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}
_MESSAGE_TYPE = 11
_OPTIONAL, _REPEATED = 1, 3


def file_descriptor(text: str) -> descriptor_pb2.FileDescriptorProto:
    """The descriptor of a file in this part of the language; raises ValueError naming a line it does not know."""
    made = descriptor_pb2.FileDescriptorProto(name="plantwin/sparkplug_b.proto", syntax="proto2")
    made.package = "plantwin.sparkplug"
    inside_oneof = False
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("//")[0].strip()
        if not line or line.startswith(("syntax ", "package ")):
            continue
        if found := _MESSAGE.fullmatch(line):
            made.message_type.add(name=found.group(1))
        elif line == "oneof value {":
            inside_oneof = True
            made.message_type[-1].oneof_decl.add(name="value")
        elif line == "}":
            inside_oneof = False
        elif found := _FIELD.fullmatch(line):
            _field(made, found, inside_oneof=inside_oneof)
        else:
            raise ValueError(f"{PROTO.name}:{number}: expected a message, a field or a oneof, found {line!r}")
    return made


def _field(made: descriptor_pb2.FileDescriptorProto, found: re.Match[str], *, inside_oneof: bool) -> None:
    label, kind, name, number = found.groups()
    field = made.message_type[-1].field.add(name=name, number=int(number))
    field.label = _REPEATED if label == "repeated" else _OPTIONAL  # type: ignore[assignment]
    if kind in _SCALARS:
        field.type = _SCALARS[kind]  # type: ignore[assignment]
    else:
        field.type = _MESSAGE_TYPE  # type: ignore[assignment]
        field.type_name = f".{made.package}.{kind}"
    if inside_oneof:
        field.oneof_index = 0


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()  # our own: another copy of the schema in this process is not our business
    made = file_descriptor(PROTO.read_text(encoding="utf-8"))
    pool.Add(made)
    return {
        m.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{made.package}.{m.name}"))
        for m in made.message_type
    }


CLASSES = _classes()
"""Message class by name; `Any`, since the fields of a class made at run time have no static types."""
Payload: Any = CLASSES["Payload"]
