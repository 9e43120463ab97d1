"""The order of the tests."""


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that several processes end at about the same time."""
    items.sort(key=lambda item: not item.name.startswith("test_it_runs_and_shows_what_it_keeps"))
