from numba import types

from bnml.kernels import njit


def test_constants_at_call_sites_share_one_version():
    @njit
    def shifted(value: int, bars: int) -> int:
        return value + bars

    for bars in (1, 2, 96):
        shifted.get_call_template((types.int64, types.literal(bars)), {})
    assert shifted.signatures == [(types.int64, types.int64)]
    assert shifted(1, 2) == 3
