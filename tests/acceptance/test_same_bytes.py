"""On recorded bars: one feature row whoever computes it, and the probabilities of the libraries themselves."""

import numpy as np
import pytest
import xgboost

from bnml.app.training import training_spec
from bnml.config import load
from bnml.core.clock import parse_utc_ns
from bnml.core.events import Bar, InstrumentUpdate, UniverseUpdate
from bnml.core.ids import IdSource
from bnml.kernels.forest import forest_batch, work_for
from bnml.kernels.labels import UNKNOWN
from bnml.kernels.records import Reason
from bnml.learn.dataset import SymbolBars, feature_rows
from bnml.learn.estimators import fit_pair
from bnml.learn.labels import label_bars
from bnml.learn.train import flat_model, publish_trained, train_symbol
from bnml.options import MarketOptions
from bnml.research import runs
from bnml.research.market import load_market
from bnml.research.models import load_models
from bnml.research.replay import Replay
from bnml.trading.compile import compile_engine, instrument_record
from bnml.trading.engine import Engine
from bnml.venues.bar_tables import find_gaps
from bnml.venues.history import load_history
from bnml.venues.sim.klines import bar_event
from tests.acceptance.kit import cut_recording

SYMBOL = "BTCUSDT"
FIRST = "2021-04-15"  # four outages before it, two after
TRADED = 20 * 24
LIBRARY_TOLERANCE = 2.4e-7


@pytest.fixture(scope="module")
def home(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("same_bytes")
    source = data_dir / "binance_spot" / "1h" / f"{SYMBOL}.parquet"
    cut_recording(source, folder / "data" / f"{SYMBOL}.parquet", "2020-11-01", "2021-05-05")
    return folder


@pytest.fixture(scope="module")
def settings(home):
    chosen = {
        "features.base_frame": "1h",
        "features.history_bars": 2000,
        "universe.symbols": [SYMBOL],
        "learning.models_dir": str(home / "models"),
        "learning.gate": False,
        "learning.max_rows": 2000,
        "learning.folds": 2,
        "learning.fold_trees": 10,
        "learning.rf.trees": 20,
        "learning.rf.leaf": 5,
        "learning.xgb.rounds": 20,
        "learning.xgb.depth": 6,
        "learning.xgb.learning_rate": 0.3,
        "decision.cut_quantile": 0.8,
    }
    return load(None, {}, {key: (value, "test") for key, value in chosen.items()})


@pytest.fixture(scope="module")
def market(home, settings):
    market = load_market(settings, MarketOptions(replay=home / "data", from_ns=parse_utc_ns(FIRST)))
    opens = market.bars[SYMBOL]["ts_open_ns"]
    assert len(find_gaps(opens, market.frame_ns)) >= 4
    assert market.traded_bars > TRADED - 10
    return market


@pytest.fixture(scope="module")
def history(market):
    instrument = market.instruments[SYMBOL]
    return SymbolBars(instrument, instrument_record(instrument), market.bars[SYMBOL])


@pytest.fixture(scope="module")
def spec(settings):
    return training_spec(settings, 0)


@pytest.fixture(scope="module")
def batch(history, spec):
    """Rows as training computes them."""
    rows = feature_rows(history, spec.layout)
    known = ~np.isnan(rows)
    assert known[-1].mean() > 0.9 > known[100].mean()
    return rows


@pytest.fixture(scope="module")
def models(history, settings, spec, market):
    """A bundle of bars that end where trading starts."""
    earlier = SymbolBars(history.instrument, history.record, history.bars[: market.first_row(SYMBOL)])
    publish_trained(train_symbol(earlier, spec, lambda _phase: None), spec)
    return load_models(settings, spec.layout, [SYMBOL])


class NoModels:
    def predictor(self, bundle_id):
        raise LookupError(bundle_id)


def test_live_rows_are_the_bytes_of_the_batch_also_after_a_restart(settings, history, batch):
    config = compile_engine(settings, IdSource("live", 1))
    engine = Engine(config, NoModels())
    engine.process(InstrumentUpdate(history.instrument, 0), 1)
    engine.process(UniverseUpdate((SYMBOL,), 0), 2)
    for index, row in enumerate(history.bars):
        engine.process(bar_event(SYMBOL, row, config.layout.base_frame_ns), index + 3)
        assert engine.feature_row(SYMBOL).tobytes() == batch[index].tobytes(), index
        if index in {500, 1900}:
            engine = Engine.restore(config, NoModels(), engine.snapshot())


class WatchedReplay(Replay):
    """Keeps the row that stood after each bar."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.rows = {}

    def feed(self, event):
        super().feed(event)
        if isinstance(event, Bar):
            self.rows[event.ts_open_ns] = self._engine.feature_row(SYMBOL).tobytes()


def test_both_backtests_decide_on_the_bytes_of_the_batch(settings, market, models, batch, monkeypatch):
    watched, swept = [], []
    real_sweep = runs.sweep

    def keep_replay(*arguments, **named):
        watched.append(WatchedReplay(*arguments, **named))
        return watched[0]

    def keep_sweep(inputs, config):
        swept.extend(inputs)
        return real_sweep(inputs, config)

    monkeypatch.setattr(runs, "Replay", keep_replay)
    monkeypatch.setattr(runs, "sweep", keep_sweep)
    replayed = runs.run_replay(settings, market, models)
    by_kernel = runs.run_sweep(settings, market, models)

    opens = market.bars[SYMBOL]["ts_open_ns"].tolist()
    expected = {ts: row.tobytes() for ts, row in zip(opens, batch, strict=True)}
    del expected[opens[-1]]  # the last bar is printed, its candle is never published
    assert watched[0].rows == expected
    layout = compile_engine(settings, runs.OFFLINE_IDS).layout
    for name, column in swept[0].columns.items():
        assert column.tobytes() == batch[:, layout.column(name)].tobytes()

    assert len(replayed.decisions) > TRADED - 10
    scored = [one for one in replayed.decisions if one.reason != Reason.FEATURES_INCOMPLETE]
    assert len(scored) == len(replayed.decisions)
    assert [probabilities(one) for one in replayed.decisions] == [
        probabilities(one) for one in by_kernel.decisions
    ]
    place = {ts + market.frame_ns: index for index, ts in enumerate(opens)}
    rows = batch[[place[one.ts_close_ns] for one in scored]]
    assert np.array_equal([probabilities(one) for one in scored], models.predictor(SYMBOL).batch(rows))


def probabilities(decision):
    return decision.p_sell, decision.p_hold, decision.p_buy


@pytest.fixture(scope="module")
def fitted(home, spec):
    """Both estimators fitted to all recorded rows as they are, NaN of the warm-up included."""
    found = load_history(home / "data", [SYMBOL])[SYMBOL]
    rows = feature_rows(SymbolBars(found.instrument, spec.rules, found.bars), spec.layout)
    labels = label_bars(
        found.bars["close"] * (found.instrument.tick_e8 / 1e8),
        np.ascontiguousarray(rows[:, spec.layout.column("atr_ratio_14")]),
        spec.labelling,
    )
    fit_on = labels != UNKNOWN
    assert 0.2 < np.isnan(rows).any(axis=1).mean() < 0.8
    learning = spec.learning
    pair = fit_pair(
        rows[fit_on].astype(np.float32),
        labels[fit_on],
        learning.rf,
        learning.xgb,
        trees=25,
        rounds=20,
        seed=3,
        threads=2,
    )
    return pair, rows


def of_kernel(pair, rows, weight):
    columns = np.arange(rows.shape[1])
    model = flat_model(pair, columns, weight)
    out = np.full((len(rows), 3), np.nan)
    forest_batch(model, work_for(model), rows, out)
    return out


def test_random_forest_on_recorded_rows_equals_the_library_in_every_bit(fitted):
    pair, rows = fitted
    expected = pair.random_forest.predict_proba(rows.astype(np.float32))
    assert np.array_equal(of_kernel(pair, rows, 1.0), expected)


def test_boosting_on_recorded_rows_equals_the_library_to_the_rounding_of_exp(fitted):
    pair, rows = fitted
    expected = pair.boosting.predict(xgboost.DMatrix(rows.astype(np.float32)))
    measured = of_kernel(pair, rows, 0.0)
    assert np.abs(measured - expected).max() <= LIBRARY_TOLERANCE
    assert np.array_equal(measured.argmax(axis=1), expected.argmax(axis=1))
    assert len(np.unique(expected.argmax(axis=1))) == 3
