"""Reading YAML that a person wrote: a key that is given twice is refused, of which YAML itself keeps the last."""

from __future__ import annotations

from typing import Any

import yaml


def read_yaml(text: str) -> Any:
    """The document; yaml.YAMLError says where it is none, or gives a key of one mapping twice."""
    # It is the safe loader, and makes plain values alone.
    return yaml.load(text, _Loader)  # noqa: S506


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            first = seen.setdefault(key.value, key) if isinstance(key, yaml.ScalarNode) else key
            if first is not key:
                raise yaml.composer.ComposerError(
                    f"the key {key.value!r} was given here",
                    first.start_mark,
                    "and is given again here, where only one can count",
                    key.start_mark,
                )
        return node
