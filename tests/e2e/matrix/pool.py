"""What each process of the pool does."""

import gc
import time

import structlog

from tests.e2e.matrix import trial


def begin(oddities):
    """A process of the pool: silent, warm, and not looked through for garbage again."""
    trial.ODDITIES = oddities
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=Nowhere)
    trial.try_seed(0)
    gc.freeze()


def tried(seed):
    """One outcome, and the processor time that it took; a daemon that ends by itself is a fault, too."""
    began = time.process_time()
    outcome = trial.try_seed(seed, catches=True)
    return outcome, time.process_time() - began


class Nowhere:
    """A log that nobody reads."""

    def __init__(self, *_):
        self.critical = self.error = self.warning = self.info = self.debug = lambda *_, **__: None
