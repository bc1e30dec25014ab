"""Extensions that the documentation site is built with; `mkdocs.yml` names them."""
