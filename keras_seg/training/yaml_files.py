"""Reading of recipe files."""

from __future__ import annotations

from pathlib import Path

import yaml


def read_yaml(path: str | Path) -> dict:
    """The entries of a recipe file; ValueError if it holds none, or one twice."""
    try:
        record = _Loader(Path(path).read_text()).get_single_data()
        endless = _contains_itself(record, [], set())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no recipe: it is no YAML file. {error}") from error
    except RecursionError:
        endless = True
    if endless:
        raise ValueError(f"{path} is no recipe: its entries are nested without an end.")
    if not isinstance(record, dict):
        raise ValueError(f"{path} is no recipe: it holds no keys.")
    return record


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML's own loader takes the last without a word."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in getattr(node, "value", ()):
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"The entry {key.value!r} stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _contains_itself(value, above: list, checked: set[int]) -> bool:
    """Whether an alias leads to an entry from within it."""
    if not isinstance(value, dict | list) or id(value) in checked:
        return False
    if any(value is outer for outer in above):
        return True
    inner = value.values() if isinstance(value, dict) else value
    above.append(value)
    found = any(_contains_itself(each, above, checked) for each in inner)
    above.pop()
    checked.add(id(value))
    return found
