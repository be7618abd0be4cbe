"""Other values in a plant file, by path: `release.housing.cap` = `4`.

The values are put into the YAML tree before the ordinary reader sees it, so whatever is wrong with one is said as it
would be said of the file: with its line, what was expected, what was found and what to do. A path follows the keys of
the file; an element of a list goes by its number from 1, or by its `step`, `station`, `id` or text; after a
distribution comes the name of one of its arguments (`stations.mill.work.housing.mean`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from sim.distributions import PARAMETERS
from sim.units import suggestion
from sim.yamlfile import Item, visible

_CALL = re.compile(r"^([A-Za-z_]\w*)\s*\((.*)\)$", re.DOTALL)
_NAMING = ("step", "station", "id", "thing")
_STR = "tag:yaml.org,2002:str"


class OverrideError(ValueError):
    """A path that leads nowhere; the message says where it ended and what is nearest."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        super().__init__(text)


def override(top: Item, values: Mapping[str, str]) -> Item:
    """The tree with the texts `values` [path -> text] in place of its own; paths that lead nowhere are problems.

    The given tree is not changed: the nodes on the way are copied, so that other uses of an anchor keep their value.
    """
    node = top.node
    for path, text in values.items():
        try:
            node = _put(node, path.split("."), text, path)
        except OverrideError as error:
            top.problems.error(error.line, str(error))
    return Item(node, top.what, top.problems)


def written(top: Item, path: str) -> str | None:
    """The text that stands at `path`; None where its last key is not written. Raises `OverrideError`."""
    node: yaml.Node = top.node
    parts = path.split(".")
    for depth, part in enumerate(parts):
        if isinstance(node, yaml.ScalarNode):
            return _argument(node, parts[depth:], path)
        found = _child(node, parts, depth)
        if found is None:
            if depth == len(parts) - 1:
                return None
            raise _lost(node, part, parts[:depth], path)
        node = found
    if not isinstance(node, yaml.ScalarNode):
        raise _lost(node, "", parts, path)
    return visible(node)


def _put(node: yaml.Node, parts: list[str], text: str, path: str, depth: int = 0) -> yaml.Node:
    """A copy of `node` with `text` at the end of `parts`."""
    if depth == len(parts):
        if not isinstance(node, yaml.ScalarNode):
            raise _lost(node, "", parts, path)
        return _scalar(text, node)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(_with_argument(node, parts[depth:], text, path), node)
    child = _child(node, parts, depth)
    if child is None:
        if depth < len(parts) - 1 or not isinstance(node, yaml.MappingNode):
            raise _lost(node, parts[depth], parts[:depth], path)
        child = _scalar(text, node)  # an optional key that the file leaves out; the reader knows whether it exists
    changed = _put(child, parts, text, path, depth + 1)
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [changed if c is child else c for c in node.value], *_marks(node))
    pairs = [(k, v) for k, v in node.value if not (isinstance(k, yaml.ScalarNode) and visible(k) == parts[depth])]
    key = next((k for k, _ in node.value if isinstance(k, yaml.ScalarNode) and visible(k) == parts[depth]), None)
    place = next((i for i, (k, _) in enumerate(node.value) if k is key), len(pairs))
    pairs.insert(place, (key or _scalar(parts[depth], node), changed))
    return yaml.MappingNode(node.tag, pairs, *_marks(node))


def _child(node: yaml.Node, parts: list[str], depth: int) -> yaml.Node | None:
    """The node one step down, merged keys included."""
    part = parts[depth]
    if isinstance(node, yaml.SequenceNode):
        if part.isdigit() and 1 <= int(part) <= len(node.value):
            return node.value[int(part) - 1]
        return next((child for child in node.value if part in _names(child)), None)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and visible(key) == part:
                return value
        merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        for value in merged:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                found = _child(source, parts, depth)
                if found is not None:
                    return found
    return None


def _names(node: yaml.Node) -> list[str]:
    """What an element of a list may be called by."""
    if isinstance(node, yaml.ScalarNode):
        return [visible(node)]
    if not isinstance(node, yaml.MappingNode):
        return []
    own = {visible(k): visible(v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and _is_text(v)}
    return [own[key] for key in _NAMING if key in own][:1]


def _is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)


def _known(node: yaml.Node) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        return [name for n, child in enumerate(node.value, 1) for name in (_names(child) or [str(n)])]
    if isinstance(node, yaml.MappingNode):
        return [visible(key) for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
    return []


def _lost(node: yaml.Node, part: str, before: list[str], path: str) -> OverrideError:
    """The error for a path that ends at `node`, where `part` is not to be found."""
    place = ".".join(before) or "the file"
    known = _known(node)
    if not part:
        inside = f"{path}.{known[0]}" if known else path
        text = f"{path}: expected the path of a single value, found the whole of {place}; go on, as in '{inside}'"
        return OverrideError(_line(node), text)
    todo = suggestion(part, known)
    text = f"{path}: expected a path of the plant file, found no '{part}' in {place}; {todo}"
    return OverrideError(_line(node), text)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _marks(node: yaml.Node) -> tuple[yaml.Mark, yaml.Mark]:
    return node.start_mark, node.end_mark


def _scalar(text: str, at: yaml.Node) -> yaml.ScalarNode:
    """A text in the place of another node."""
    return yaml.ScalarNode(_STR, text, *_marks(at))


def _call(node: yaml.ScalarNode, rest: list[str], path: str) -> tuple[str, list[str], int]:
    """(kind, arguments as written, place of the argument that `rest` names) of the distribution that `node` holds."""
    text = visible(node)
    call = _CALL.match(text)
    kind, parts = (call.group(1), call.group(2).split(",")) if call else ("constant", [text])
    names = PARAMETERS.get(kind, ())
    if len(rest) != 1 or rest[0] not in names:
        place = path.removesuffix("." + ".".join(rest))
        todo = suggestion(rest[0], names) if names else f"give {place} as a whole"
        found = f"no '{'.'.join(rest)}' in '{text}'"
        raise OverrideError(_line(node), f"{path}: expected an argument of a distribution, found {found}; {todo}")
    by_name = [n for n, p in enumerate(parts) if p.partition("=")[1] and p.partition("=")[0].strip() == rest[0]]
    place_of = by_name[0] if by_name else names.index(rest[0])
    if place_of >= len(parts):
        raise OverrideError(_line(node), f"{path}: expected {kind}({', '.join(names)}), found '{text}'; correct it")
    return kind, parts, place_of


def _argument(node: yaml.ScalarNode, rest: list[str], path: str) -> str:
    _, parts, place = _call(node, rest, path)
    return (parts[place].partition("=")[2] or parts[place]).strip()


def _with_argument(node: yaml.ScalarNode, rest: list[str], text: str, path: str) -> str:
    kind, parts, place = _call(node, rest, path)
    name, equals, _ = parts[place].partition("=")
    parts[place] = f"{name}={text}" if equals else text
    return f"{kind}({', '.join(p.strip() for p in parts)})"
