"""A session header for tests."""

from bnml.journal.recover import code_version
from bnml.journal.schema import SessionHeader
from bnml.kernels import KERNEL_HASH


def header(epoch=1, config_hash="settings"):
    return SessionHeader(
        venue="sim",
        mode="stepped",
        symbols=("BTCUSDT",),
        base_frame="15m",
        higher_frames=("1h",),
        instance="test",
        epoch=epoch,
        config_hash=config_hash,
        kernel_hash=KERNEL_HASH,
        code_version=code_version(),
        tier="F1",
        seed=1,
        config="{}",
    )
