"""Writes a program from a general one: what its constants rule out is left out.

The general program decides by constants in capitals at its top, such as `if FORMAT == "tflite":`.
For given values of these, `specialised` keeps the branches that are taken, and then drops the
functions, constants and imports that nothing uses. Comments and the layout of lines stay.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
Facts = Mapping[str, Any]
"""Name of a constant → its value."""


class Edit(NamedTuple):
    """Lines from `start` to before `end`, counted from 0, become `lines`."""

    start: int
    end: int
    lines: list[str]


class _UndecidedError(Exception):
    """A condition depends on more than constants."""


def specialised(program: str, facts: Facts, kept: tuple[str, ...]) -> str:
    """The program for these values of its constants.

    Args:
        program: source text whose constants are assigned at the top level, one per line.
        facts: the value of every constant that a condition names.
        kept: functions that stay although the program does not call them.

    Raises: ValueError for a constant that the program does not have.
    """
    program = _with_values(program, facts)
    while (shorter := _without_conditions(program, facts)) is not None:
        program = shorter
    while (shorter := _without_unused_names(program, kept)) is not None:
        program = shorter
    return re.sub(r"\n{4,}", "\n\n\n", program).strip() + "\n"


def _with_values(program: str, facts: Facts) -> str:
    """The program with the values in the assignments of its constants."""
    lines, missing = program.splitlines(), {*facts}
    for node in reversed(ast.parse(program).body):
        if isinstance(node, ast.Assign) and _target(node) in facts:
            name = _target(node)
            lines[node.lineno - 1 : node.end_lineno] = _assignment(name, facts[name])
            missing.discard(name)
    if missing:
        raise ValueError(f"The program has no constants {sorted(missing)}.")
    return "\n".join(lines)


def _assignment(name: str, value: Any) -> list[str]:
    """The lines of an assignment; a dictionary has one entry per line."""
    if isinstance(value, dict):
        entries = [f"    {_literal(key)}: {_literal(each)}," for key, each in value.items()]
        return [f"{name} = {{", *entries, "}"]
    return [f"{name} = {_literal(value)}"]


def _literal(value: Any) -> str:
    """A string, number or tuple as Python writes it, with double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _without_conditions(program: str, facts: Facts) -> str | None:
    """The program with its outermost conditions on constants decided; None if there are none."""
    lines = program.splitlines()
    chosen: list[Edit] = []
    for edit in sorted(_edits(program, facts), key=lambda edit: (edit.start, -edit.end)):
        if not chosen or edit.start >= chosen[-1].end:
            chosen.append(edit)
    for edit in reversed(chosen):
        lines[edit.start : edit.end] = edit.lines
    return "\n".join(lines) if chosen else None


def _edits(program: str, facts: Facts) -> Iterator[Edit]:
    lines, tree = program.splitlines(), ast.parse(program)
    for block in _blocks(tree):
        for i, node in enumerate(block):
            if not isinstance(node, ast.If):
                continue
            value, left = _decided(node.test, facts)
            if value is not None:
                yield _one_branch(lines, node, value, block[i + 1 :])
            elif left is not node.test:
                yield _part(lines, node.test, left)
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            value, _ = _decided(node.test, facts)
            if value is not None:
                yield _part(lines, node, node.body if value else node.orelse)


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    """The statements that follow each other, of each block of a program."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                yield block


def _decided(test: ast.expr, facts: Facts) -> tuple[bool | None, ast.expr]:
    """The value of a condition, None if it is open; and what is left of the condition."""
    try:
        return bool(_value(test, facts)), test
    except _UndecidedError:
        pass
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) and len(test.values) == 2:
        value, _ = _decided(test.values[0], facts)
        if value is not None:
            return (None, test.values[1]) if value else (False, test)
    return None, test


def _value(node: ast.expr, facts: Facts) -> Any:
    """The value of an expression of constants.

    Raises: _UndecidedError for anything else.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in facts:
            return facts[node.id]
        case ast.Tuple():
            return tuple(_value(each, facts) for each in node.elts)
        case ast.UnaryOp(op=ast.Not()):
            return not _value(node.operand, facts)
        case ast.BoolOp(op=ast.And()):
            return all(_value(each, facts) for each in node.values)
        case ast.BoolOp(op=ast.Or()):
            return any(_value(each, facts) for each in node.values)
        case ast.Compare(ops=[comparison]) if type(comparison) in COMPARISONS:
            left, right = _value(node.left, facts), _value(node.comparators[0], facts)
            return COMPARISONS[type(comparison)](left, right)
        case ast.Call(func=ast.Name(id="any"), args=[values]):
            return any(_value(values, facts))
    raise _UndecidedError


def _one_branch(lines: list[str], node: ast.If, value: bool, rest: list[ast.stmt]) -> Edit:
    """The branch of an `if` that is taken in place of all of it.

    Args:
        rest: the statements after it, which are left out if the branch returns or raises.
    """
    end = _end(node)
    chosen = node.body if value else node.orelse
    kept: list[str] = []
    if chosen and not value and lines[chosen[0].lineno - 1].lstrip().startswith("elif"):
        kept = lines[chosen[0].lineno - 1 : end]
        kept[0] = kept[0].replace("elif", "if", 1)
    elif chosen:
        start = chosen[0].lineno - 1
        while lines[start - 1].lstrip().startswith("#"):
            start -= 1
        kept = [line[4:] for line in lines[start : _end(chosen[-1])]]
        if rest and isinstance(chosen[-1], ast.Return | ast.Raise):
            end = _end(rest[-1])
    return Edit(node.lineno - 1, end, kept)


def _part(lines: list[str], node: ast.expr, part: ast.expr) -> Edit:
    """A part of an expression in place of the whole."""
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    after = lines[_end(node) - 1].encode()[node.end_col_offset :].decode()
    text = ast.get_source_segment("\n".join(lines), part)
    return Edit(node.lineno - 1, _end(node), [f"{before}{text}{after}"])


def _end(node: ast.stmt | ast.expr) -> int:
    """Number of the last line of a node."""
    return node.end_lineno or node.lineno


def _without_unused_names(program: str, kept: tuple[str, ...]) -> str | None:
    """The program without functions, constants and imports that nothing uses; None if all are."""
    lines, body = program.splitlines(), ast.parse(program).body
    reads = [{*_names_read(node)} for node in body]
    changed = False
    for i, node in reversed([*enumerate(body)]):
        used = {*kept}.union(*reads[:i], *reads[i + 1 :])
        start, end = node.lineno - 1, node.end_lineno
        if isinstance(node, ast.FunctionDef):
            start = min([start, *(each.lineno - 1 for each in node.decorator_list)])
            unused = node.name not in used
        elif isinstance(node, ast.Assign):
            unused = _target(node) not in used
        elif isinstance(node, ast.Import | ast.ImportFrom) and not _is_future(node):
            left = [alias for alias in node.names if (alias.asname or alias.name) in used]
            unused = not left
            if left and len(left) < len(node.names):
                node.names, changed = left, True
                lines[start:end] = [ast.unparse(node)]
        else:
            continue
        if unused:
            while lines[start - 1].startswith("#"):
                start -= 1
            del lines[start:end]
            changed = True
    return "\n".join(lines) if changed else None


def _names_read(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            yield each.id


def _is_future(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _target(node: ast.Assign) -> str:
    """The name that an assignment of one name sets."""
    return ast.unparse(node.targets[0])
