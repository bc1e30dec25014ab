"""`--help` is written for people: every option once, by topic, within the terminal's width."""

import re
from argparse import SUPPRESS

import pytest

from keras_seg import cli
from keras_seg.cli.parser import make_parser
from keras_seg.cli.quick_help import quick_help
from keras_seg.cli.verbs import VERBS


@pytest.fixture(scope="module")
def parsers():
    return {parser.name: parser for parser in make_parser().verbs}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("columns", [60, 100, 300])
def test_lines_fit_the_terminal(verb, columns, parsers, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for line in parsers[verb].format_help().splitlines():
        is_name = re.match(r"  (-|usage)\S*( \S+)?$", line)  # cannot be broken
        assert len(line) < min(columns, 101) or is_name, line


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_is_listed_once_and_no_type_of_python(verb, parsers):
    text = parsers[verb].format_help()
    listed = re.findall(r"^  (?:-h, )?(--[\w.]+|\w+)", text, re.MULTILINE)
    arguments = {
        next((each for each in action.option_strings if each.startswith("--")), action.dest)
        for action in parsers[verb]._actions
        if action.help not in ("Path to a configuration file.", SUPPRESS)
    }
    assert sorted(name.removesuffix(".NAME") for name in listed) == sorted(arguments)
    assert not re.search(r"<class|type:|Literal|Union|Optional|default: ?null|dict\[", text)


def test_each_topic_has_options(parsers):
    for name, verb in VERBS.items():
        text = parsers[name].format_help()
        assert [title for title in verb.topics if f"\n{title}:\n" not in text] == []


def test_usage_names_what_is_needed(parsers):
    text = parsers["convert"].format_help()
    assert text.startswith("usage: keras-seg convert file --source TEXT --output PATH [options]\n")
    assert "\nArguments:\n  file  the checkpoint" in text
    assert (
        parsers["predict"].format_help().startswith("usage: keras-seg predict file inputs ... [o")
    )


def test_defaults_are_written_as_they_are_typed(parsers):
    text = " ".join(parsers["train"].format_help().split())
    assert "training crops (default 256 256)" in text
    assert "the backbone (default 1)" in text and "warm-up (default 0.001)" in text
    assert "--jit true|false compile the training step with XLA (default false)" in text


def test_the_list_of_verbs_is_that_of_the_parser(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = quick_help()
    assert re.findall(r"^  ([a-z][\w-]*)  ", text, re.MULTILINE) == list(VERBS)
    assert max(map(len, text.splitlines())) < 80
    assert make_parser("demo").format_help() == text


def test_what_a_run_writes_into_its_recipe_is_no_option(parsers, tmp_path, capsys):
    assert "chosen" not in parsers["train"].format_help().replace("are chosen", "")
    with pytest.raises(SystemExit) as exit:
        cli.main(["train", "--data", "a", "--output", "b", "--chosen.network", "c"])
    assert exit.value.code == cli.WRONG_INPUT
    assert "unknown option --chosen.network." in capsys.readouterr().err
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: a\noutput: b\nchosen: {network: U-Net (small)}\n")
    parsed = make_parser("train").parse_args(["train", "--config", str(recipe)])
    assert parsed.train.chosen == {"network": "U-Net (small)"}
