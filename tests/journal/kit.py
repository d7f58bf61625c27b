"""A session header, and a state folder with a journal, for tests."""

from bnml.app.folder import StateFolder
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


def begun_folder(path, journal):
    """A state folder with the bytes of a journal, of whose name three epochs were begun elsewhere."""
    (path / "journal.db").write_bytes(journal)
    folder = StateFolder(path)
    folder.begin_epoch(folder.identity("sim"), 3)
    return folder
