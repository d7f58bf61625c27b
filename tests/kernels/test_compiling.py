import subprocess
import sys
import textwrap
from contextlib import contextmanager

from numba.core import event

from bnml.kernels import lean, njit, part


class _Heard(event.Listener):
    def __init__(self):
        self.names = []

    def on_start(self, event):
        self.names.append(event.data["dispatcher"].__name__)

    def on_end(self, event):
        pass


@contextmanager
def compilations():
    heard = _Heard()
    with event.install_listener("numba:compile", heard):
        yield heard.names


def test_constants_at_call_sites_share_one_version():
    @njit
    def shifted(value: int, bars: int) -> int:
        return value + bars

    @njit
    def far(value: int) -> int:
        return shifted(value, 1) + shifted(value, 2) + shifted(value, bars=96)

    with compilations() as names:
        assert far(1) == 102
    assert sorted(names) == ["far", "shifted"]


def test_a_kernel_called_by_kernels_has_no_machine_code_of_its_own():
    @part
    def doubled(value: int) -> int:
        return value + value

    @lean
    def tripled(value: int) -> int:
        return doubled(value) + value

    @njit
    def entry(value: int) -> int:
        return tripled(value) - doubled(value)

    assert entry(5) == 5
    for kernel in (doubled, tripled):
        assert kernel.overloads == {}
    with compilations() as names:
        assert doubled(4) == 8  # from Python it is an entry like any other
    assert names == ["doubled"]


KERNELS = """
from bnml.kernels import njit

@njit
def halved(value):
    if value % 2:
        raise ValueError("odd", value)
    return value // 2

@njit
def quartered(value):
    return halved(halved(value))

@njit
def first(value):
    return quartered(value)

@njit
def second(value):
    return quartered(value) + halved(value)
"""

USE = """
import sys, kernels
from numba.core import event

class Heard(event.Listener):
    def on_start(self, event):
        print(event.data["dispatcher"].__name__)

    def on_end(self, event):
        pass

with event.install_listener("numba:compile", Heard()):
    for name in sys.argv[1:]:
        print(getattr(kernels, name)(8))
        try:
            getattr(kernels, name)(6)
        except ValueError as error:
            print(error.args)
"""


def test_what_one_process_lowered_the_next_one_takes_from_the_cache(tmp_path):
    (tmp_path / "kernels.py").write_text(textwrap.dedent(KERNELS))
    (tmp_path / "use.py").write_text(textwrap.dedent(USE))

    def use(*names):
        environment = {"BNML_NUMBA_CACHE": str(tmp_path / "cache"), "PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "use.py", *names]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    odd = "('odd', 3)"
    assert use("first") == ["first", "quartered", "halved", "2", odd]
    assert use("second") == ["second", "6", odd]
    assert use("second", "first") == ["6", odd, "2", odd]
