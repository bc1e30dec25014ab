"""A program for given constants is the general program without what they rule out."""

import pytest

from keras_seg.export.board.program import specialised

GENERAL = '''"""What it does."""

import os
from pathlib import Path, PurePath

# a comment of SIZE
SIZE = 3
KIND = "a"
NAMES = {"x": 1}
UNUSED = 7


def main():
    if KIND == "a":
        # why a
        return first(SIZE)
    elif KIND == "b" and SIZE > 2:
        value = Path("b")
    else:
        value = PurePath("c")
    return value


def first(size):
    label = "é" if KIND == "a" else os.name
    if SIZE is not None and size > 1:
        return [label, NAMES]
    return os.name


def never():
    return UNUSED
'''
FIRST = '''"""What it does."""

# a comment of SIZE
SIZE = 4
NAMES = {
    "y": (1, 2),
}


def main():
    # why a
    return first(SIZE)


def first(size):
    label = "é"
    if size > 1:
        return [label, NAMES]
    return os.name
'''


def made(**facts):
    return specialised(GENERAL, facts, kept=("main",))


class TestBranches:
    def test_the_branch_that_is_taken_stays_with_its_comment(self):
        text = made(KIND="a", SIZE=4, NAMES={"y": (1, 2)})
        assert text == FIRST.replace("# a comment", "import os\n\n# a comment", 1)

    def test_a_later_branch_becomes_the_first(self):
        text = made(KIND="b")
        assert '    if SIZE > 2:\n        value = Path("b")\n    else:' in text
        assert "def first" not in text and "NAMES" not in text and "import os" not in text

    def test_the_last_branch_stays_alone(self):
        text = made(KIND="c")
        assert 'def main():\n    value = PurePath("c")\n    return value' in text
        assert "from pathlib import PurePath\n" in text and "SIZE" not in text

    def test_a_condition_that_is_false_takes_its_lines_along(self):
        text = made(KIND="a", SIZE=None)
        assert text.endswith('    label = "é"\n    return os.name\n')

    def test_what_is_kept_and_what_is_used_stays(self):
        text = specialised(GENERAL, {"KIND": "a"}, kept=("main", "never"))
        assert "def never():\n    return UNUSED" in text and "UNUSED = 7" in text

    def test_every_program_runs(self):
        for kind in "abc":
            names = {}
            exec(made(KIND=kind, SIZE=3), names)
            result = names["main"]()
            assert str(result) == {"a": "['é', {'x': 1}]"}.get(kind, kind)


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "value"),
        [
            ('KIND in ("a", "b")', True),
            ('KIND not in ("a", "b")', False),
            ("not SIZE", False),
            ("SIZE != 3 or KIND != 'a'", False),
            ("SIZE == 3 and KIND == 'a'", True),
            ("SIZE is None", False),
            ("any(PAIR)", True),
        ],
    )
    def test_conditions_on_constants_are_decided(self, condition, value):
        body = f"def main():\n    if {condition}:\n        return 1\n    return 2\n"
        program = f"SIZE = 0\nKIND = ''\nPAIR = ()\n{body}"
        text = specialised(program, {"SIZE": 3, "KIND": "a", "PAIR": (0, 2)}, kept=("main",))
        assert text == f"def main():\n    return {1 if value else 2}\n"

    @pytest.mark.parametrize(
        "condition", ["other", "KIND < other", "KIND.upper() == 'A'", "f(KIND)"]
    )
    def test_others_stay(self, condition):
        program = (
            f"KIND = ''\ndef main(other, f):\n    if {condition}:\n        return 1\n    return 2\n"
        )
        text = specialised(program, {"KIND": "a"}, kept=("main",))
        assert f"    if {condition}:\n        return 1\n    return 2\n" in text

    def test_a_constant_that_the_program_lacks_is_named(self):
        with pytest.raises(ValueError, match=r"has no constants \['OTHER'\]"):
            made(OTHER=1)
