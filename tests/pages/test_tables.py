"""Tables of the docs that the code makes."""

from scripts import decisions, models
from tests.pages import families


def test_what_a_retry_and_a_clear_do_stands_in_the_guarantees_as_it_is_decided() -> None:
    assert decisions.table() in decisions.PAGE.read_text(), "python -m scripts.decisions writes it anew"


def test_the_page_of_models_is_that_of_the_facts() -> None:
    path = decisions.PAGE.with_name("models.md")
    assert models.page() == path.read_text(), "python -m scripts.models > docs/models.md"


def test_each_family_is_played_through_each_promise_and_the_page_says_so() -> None:
    assert families.table() in families.PAGE.read_text(), "python -m tests.pages.families writes it anew"
    assert "|  |" not in families.table()
