"""A training that is ended from outside takes away what it has written of a model."""

import signal
import subprocess
import sys

CODE = """
import sys, time
from pathlib import Path
from types import SimpleNamespace as Some
from bnml.app import training
from bnml.learn import train

def write_arrays(file, _):
    file.write_bytes(b"half")
    print("written", flush=True)
    time.sleep(60)

train.write_arrays = write_arrays
training.open_source = lambda *_: Some(symbols=["AUSDT"], now_ns=0, load=lambda _symbol: None)
training.training_spec = lambda *_: Some(layout=Some(version=""), learning=Some(models_dir=Path(sys.argv[1])))
training.train_symbol = lambda *_: Some(metadata=Some(symbol="AUSDT"), arrays={})
training.train(Some(), Some(missing_only=False))
"""


def test_f46_a_training_that_is_ended_leaves_nothing_of_its_model_on_a_full_disk(tmp_path):
    """The daemon ends it because the disk fills: each would have left some megabytes more."""
    with subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        assert list(tmp_path.glob("AUSDT/.new-*/*"))
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("AUSDT/.new-*"))
