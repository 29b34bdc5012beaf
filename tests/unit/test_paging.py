import pytest

from folkmoot.kernel.errors import InvalidInput
from folkmoot.runtime.grpc import paging


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "\u0663", "\u00b2", "9" * 5_000])
def test_a_page_token_of_somebodys_own_is_refused_by_name(token: str) -> None:
    """Also one that Python takes for a number, and one that it does not take for being too long."""
    with pytest.raises(InvalidInput, match="page_token: is none"):
        paging.before(token)


def test_a_page_is_bounded() -> None:
    """Without a wish it has fifty; nobody gets more than two hundred at once."""
    assert [paging.size(n) for n in (0, 7, 1_000)] == [50, 7, 200]
    assert (paging.before(""), paging.before("17")) == (None, 17)
