"""Safe YAML loading: refuses keys that occur twice, and entries that contain themselves."""

from __future__ import annotations

from typing import Any

import yaml


class EndlessNesting(ValueError):
    """The entries are nested too deeply, or contain themselves."""


def load_yaml(text: str) -> Any:
    """Parses YAML by the rules of `yaml.safe_load`.

    Raises: yaml.YAMLError for text that is not YAML, and for a mapping with the same key twice;
        EndlessNesting for entries without an end.
    """
    try:
        content = _UniqueKeyLoader(text).get_single_data()
        endless = _contains_itself(content, [], set())
    except RecursionError:
        endless = True
    if endless:
        raise EndlessNesting("its entries are nested without an end")
    return content


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a repeated key, for which `yaml.SafeLoader` silently takes the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in getattr(node, "value", ()):
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"The entry {key.value!r} occurs twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _contains_itself(value: Any, above: list, checked: set[int]) -> bool:
    """Whether an alias refers to an entry that contains it."""
    if not isinstance(value, dict | list) or id(value) in checked:
        return False
    if any(value is outer for outer in above):
        return True
    entries = value.values() if isinstance(value, dict) else value
    above.append(value)
    endless = any(_contains_itself(entry, above, checked) for entry in entries)
    above.pop()
    checked.add(id(value))
    return endless
