import pytest

from plain_generation import small_model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def long_model():
    return small_model(40)
