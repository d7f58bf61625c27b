"""The engine event by event over history, the daemon's own code: with everything given, and with models evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from bnml.bench.case import Effort, Figure, at_least, at_most, processor_s
from bnml.bench.inputs import instrument
from bnml.bench.market import START_NS, walk
from bnml.config import Settings
from bnml.core.clock import NS_PER_HOUR
from bnml.core.events import ModelPublished
from bnml.core.ids import IdSource
from bnml.learn.bundle import Bundle
from bnml.learn.dataset import SymbolBars
from bnml.learn.labels import compile_labelling
from bnml.learn.predictors import BundlePredictor
from bnml.learn.train import TrainingSpec, train_symbol
from bnml.research.ahead import Given
from bnml.research.market import Market
from bnml.research.models import Models, policy_choice, probabilities
from bnml.research.runs import feature_rows, run_replay
from bnml.trading.compile import compile_engine, compile_layout, compile_rules
from bnml.trading.filling import compile_costs
from bnml.trading.instruments import instrument_record

if TYPE_CHECKING:
    from bnml.research.replay import ReplayResult

FRAME_NS = NS_PER_HOUR // 4
HISTORY = 600
SYMBOLS = 20
SETTINGS = Settings.model_validate(
    {
        "features": {"higher_frames": ["1h", "4h"], "history_bars": HISTORY},
        "learning": {"gate": False, "max_rows": 3000},
        "decision": {"cut_quantile": 0.99},
    }
)


class _OneModel:
    """A store whose every bundle is the same model."""

    def __init__(self, predictor: BundlePredictor) -> None:
        self._predictor = predictor

    def predictor(self, bundle_id: str) -> BundlePredictor:
        del bundle_id
        return self._predictor


class _Models(msgspec.Struct, frozen=True):
    store: _OneModel
    current: dict[str, str]

    def published(self) -> list[ModelPublished]:
        return [ModelPublished(symbol, bundle_id, 0) for symbol, bundle_id in sorted(self.current.items())]


def engine(effort: Effort) -> list[Figure]:
    """Symbols and bars a second; and what a bar costs in a run four times as long."""
    bars = effort.size(2_000, 300)
    predictor = trained()
    market = _market(bars)
    models = _models(predictor, market)
    given = _given(predictor, market)
    short = _market(bars // 4)
    _run(short, models, None)  # compiles
    start_s = min(_start_s(market, models, given) for _ in range(effort.rounds))
    given_s = min(_run(market, models, given) for _ in range(effort.rounds)) - start_s
    models_s = min(_run(market, models, None) for _ in range(effort.rounds)) - start_s
    few = _given(predictor, short)
    few_s = min(_run(short, models, few) for _ in range(effort.rounds)) - start_s
    count = SYMBOLS * bars
    shared = {"unit": "symbols and bars a second", "against": "-"}
    return [
        at_least(
            1e5,
            name="replay, features and probabilities given",
            bnml=count / given_s,
            yardstick=None,
            **shared,
        ),
        at_least(25e3, name="replay, models evaluated", bnml=count / models_s, yardstick=None, **shared),
        at_most(
            1.2,
            name="replay, a bar of a run four times as long",
            bnml=given_s / count / (few_s / (count / 4)),
            yardstick=None,
            unit="x",
            against="-",
        ),
    ]


def _market(bars: int) -> Market:
    names = [f"R{number:02d}USDT" for number in range(SYMBOLS)]
    made = {
        name: walk(HISTORY + bars, seed=300 + at, frame_ns=FRAME_NS, sigma=0.003).bars
        for at, name in enumerate(names)
    }
    instruments = {name: instrument(name) for name in names}
    return Market(instruments, made, FRAME_NS, START_NS + HISTORY * FRAME_NS)


def _models(predictor: BundlePredictor, market: Market) -> Models:
    return cast("Models", _Models(_OneModel(predictor), {name: f"{name}/bench" for name in market.symbols}))


def _given(predictor: BundlePredictor, market: Market) -> Given:
    config = compile_engine(SETTINGS, IdSource("bench", 1))
    rows = {name: feature_rows(config, market, name) for name in market.symbols}
    return Given(rows, {name: probabilities(predictor, one) for name, one in rows.items()})


def _run(market: Market, models: Models, given: Given | None) -> float:
    before = processor_s()
    result: ReplayResult = run_replay(_settings(market), market, models, given=given)
    if result.bars < market.traded_bars - 2 * SYMBOLS:
        raise AssertionError(f"{result.bars} of {market.traded_bars} bars were replayed")
    return processor_s() - before


def _start_s(market: Market, models: Models, given: Given) -> float:
    """What a run costs before its first scan: it feeds the history."""
    rows = {name: one[: HISTORY + 3] for name, one in market.bars.items()}
    few = Market(market.instruments, rows, FRAME_NS, market.first_ns)
    parts: Any = (
        {name: one[: HISTORY + 3] for name, one in part.items()} for part in (given.rows, given.probabilities)
    )
    return _run(few, models, Given(*parts))


def _settings(market: Market) -> Settings:
    return SETTINGS.model_copy(
        update={"universe": SETTINGS.universe.model_copy(update={"symbols": list(market.symbols)})}
    )


def trained() -> BundlePredictor:
    """A model of the default size, fitted to a random walk; it need not be good."""
    learning = SETTINGS.learning
    one = instrument("R00USDT")
    bars = walk(4_000, seed=300, frame_ns=FRAME_NS, sigma=0.003).bars
    spec = TrainingSpec(
        learning=learning,
        labelling=compile_labelling(learning, 0.0012),
        layout=compile_layout(SETTINGS.features),
        history_bars=HISTORY,
        rules=compile_rules(SETTINGS.entry, SETTINGS.exits),
        costs=compile_costs(SETTINGS.costs),
        cut_quantile=SETTINGS.decision.cut_quantile,
        threads=1,
        created_ns=START_NS,
    )
    trained = train_symbol(SymbolBars(one, instrument_record(one), bars), spec, lambda _: None)
    bundle = Bundle("R00USDT/bench", trained.metadata, trained.arrays)
    return BundlePredictor(bundle, policy_choice(SETTINGS.decision))
