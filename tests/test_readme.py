"""The README says what the registry and the committed results say."""

from benchmarks import readme


def test_table_of_networks_is_the_one_that_the_results_give():
    text = readme.README.read_text()
    written = text.split(readme.START)[1].split(readme.END)[0]
    assert written == readme.table(), "run python -m benchmarks.readme"
