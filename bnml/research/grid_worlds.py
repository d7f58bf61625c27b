"""The two worlds that a grid can vary: anyone's signals under rules, and the daemon's decisions under settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import msgspec
from pydantic import ValidationError

from bnml.config import Settings
from bnml.core.errors import Misconfigured
from bnml.explain import explain_error
from bnml.options import GridOptions, SignalsOptions
from bnml.research.grid_axes import Axes, check_names, parse_axes
from bnml.research.grid_engine import GridEngine, plan
from bnml.research.grid_inputs import cut, data_range, hash_config, hash_inputs
from bnml.research.grid_names import CHOSEN, rule_axes, rules_refused, setting_axes, settings_refused
from bnml.research.grid_search import Evaluator
from bnml.research.market import load_market
from bnml.research.models import held_back, load_models, looking_ahead, policy_choice
from bnml.research.report import path_decides as path_decides_of
from bnml.research.rules import Rules
from bnml.research.rules_file import changed, load_rules
from bnml.research.runs import OFFLINE_IDS, feature_rows, initial_quote_e8, sweep_config, sweep_input
from bnml.research.signal_inputs import Prepared, compile_config, path_decides, prepare
from bnml.research.sweep import SweepConfig, SweepInput
from bnml.trading.compile import compile_engine, compile_layout

Inputs = Sequence[SweepInput]
Point = Mapping[str, float]


class RulesWorld:
    """Given signals on given bars; axes are numbers of the rules file."""

    kind = "numeric rule"

    def __init__(self, prepared: Prepared, rules: Rules) -> None:
        self._rules = rules
        self._inputs = prepared.inputs
        self._has_sizes = prepared.has_sizes
        self.data = data_range(prepared.inputs)
        self.data_hash = hash_inputs(prepared.inputs)
        self.config_hash = hash_config(prepared.config)
        self.initial_e8 = prepared.config.initial_quote_e8
        self.notes = prepared.notes
        self.names, self.refused = rule_axes(), rules_refused()

    def check(self, axes: Axes) -> None:
        if 0.0 in axes.get("fixed_quote", ()):
            raise Misconfigured("--axis fixed_quote: with 0 share_pct sizes; take values above 0")
        for corner in corners(axes):
            values = _as_declared(corner)
            try:
                changed(self._rules, **values)
            except Misconfigured as error:
                raise Misconfigured(f"{error} (in combination {_words(corner)})") from error

    def plan(self, axes: Axes) -> tuple[str, str]:
        return plan(self._inputs, self.config_of, axes)

    def evaluator(self, axes: Axes, from_ns: int, to_ns: int) -> Evaluator:
        return GridEngine(cut(self._inputs, from_ns, to_ns), self.config_of, axes)

    def config_of(self, values: Point) -> SweepConfig:
        """The sweep's records with these values in the rules."""
        rules = changed(self._rules, **_as_declared(values))
        return compile_config(rules, self.data.frame_ns, has_sizes=self._has_sizes)


def rules_world(options: GridOptions) -> RulesWorld:
    """Signals, rules and bars read as `bnml backtest --signals` reads them; Misconfigured as there."""
    if options.signals is None or options.bars is None:
        raise Misconfigured("a grid over given signals needs --signals and --bars")
    rules = Rules() if options.rules is None else load_rules(options.rules)
    axes = parse_axes(options.axes, options.grid_file)
    files = SignalsOptions(
        signals=options.signals,
        bars=options.bars,
        rules=options.rules,
        fast_bars=options.fast_bars,
        symbols=options.symbols,
        from_ns=options.from_ns,
        to_ns=options.to_ns,
        loose=options.loose,
    )
    prepared = prepare(files, rules, axes.keys())
    world = RulesWorld(prepared, rules)
    check_names(axes, world.names, world.kind, world.refused)
    world.check(axes)
    closest = changed(rules, **_as_declared(_closest(axes, "trail_pct", "trail_atr")))
    sentence = path_decides(closest, {one.instrument.symbol: one for one in prepared.inputs})
    world.notes = tuple(dict.fromkeys((*prepared.notes, *filter(None, [sentence]))))
    return world


def _closest(axes: Axes, *names: str) -> dict[str, float]:
    """One combination, with the least distance above zero of each of these axes."""
    least = {name: values[-1] for name, values in axes.items()}
    return least | {
        name: min((value for value in axes[name] if value > 0.0), default=0.0)
        for name in names
        if name in axes
    }


def _as_declared(values: Point) -> dict[str, Any]:
    """Whole numbers where the rules have whole numbers, true and false where they have switches."""
    kinds = {field.name: type(field.default) for field in msgspec.structs.fields(Rules)}
    made: dict[str, Any] = dict(values)
    for name, value in values.items():
        if kinds[name] is bool and value not in {0.0, 1.0}:
            raise Misconfigured(f"--axis {name}: {value:g} is no switch; 0 is off, 1 is on")
        if kinds[name] in {int, bool} and value == int(value):
            made[name] = kinds[name](value)
    return made


class ModelWorld:
    """The daemon's decisions with its bundles (or its rule) on a market; axes are numbers of the settings."""

    kind = "numeric setting"

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self._settings = settings
        self._inputs = inputs
        symbols = [one.instrument.symbol for one in inputs]
        config = model_config(settings, symbols)
        self.data = data_range(inputs)
        self.data_hash = hash_inputs(inputs)
        self.config_hash = hash_config(config, settings.decision.model_dump_json())
        self.initial_e8 = config.initial_quote_e8
        self.notes: tuple[str, ...] = ()
        self.names, self.refused = setting_axes(), settings_refused()

    def check(self, axes: Axes) -> None:
        chosen = next((name for name in CHOSEN if name in axes), None)
        if chosen and self._settings.decision.rule != "absolute":
            raise Misconfigured(f"--axis {chosen}: only decision.rule absolute reads it; set that rule")
        if chosen and all(one.probabilities is None for one in self._inputs):
            raise Misconfigured(f"--axis {chosen}: it is read with a model, and no symbol has one")
        for corner in corners(axes):
            changed_settings(self._settings, corner)

    def plan(self, axes: Axes) -> tuple[str, str]:
        return plan(self._inputs, self._configure(self._inputs), axes)

    def evaluator(self, axes: Axes, from_ns: int, to_ns: int) -> Evaluator:
        inputs = cut(self._inputs, from_ns, to_ns)
        return GridEngine(inputs, self._configure(inputs), axes)

    def _configure(self, inputs: Inputs) -> Callable[[Point], SweepConfig]:
        symbols = [one.instrument.symbol for one in inputs]
        return lambda values: model_config(changed_settings(self._settings, values), symbols)


def model_world(settings: Settings, options: GridOptions) -> ModelWorld:
    """Market and bundles as `bnml backtest` takes them; Misconfigured as there."""
    market = load_market(settings, options)
    models = load_models(settings, compile_layout(settings.features), market.symbols)
    engine = compile_engine(settings, OFFLINE_IDS)
    inputs = [
        sweep_input(engine, market, name, feature_rows(engine, market, name), models.predictor(name))
        for name in market.symbols
    ]
    axes = parse_axes(options.axes, options.grid_file)
    world = ModelWorld(settings, inputs)
    check_names(axes, world.names, world.kind, world.refused)
    closest = changed_settings(settings, _closest(axes, "exits.trail_atr"))
    ahead = looking_ahead(settings, models, market.first_ns)
    world.notes = tuple(filter(None, (*market.notes, held_back(models), ahead, path_decides_of(closest))))
    return world


def changed_settings(settings: Settings, values: Point) -> Settings:
    """The settings with other numbers; Misconfigured as a configuration file with them would be."""
    tree = settings.model_dump()
    origins: dict[tuple[str, ...], str] = {}
    for name, value in values.items():
        group, key = name.split(".")
        tree[group][key] = value
        origins[group, key] = f"--axis {name}"
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = explain_error(Settings, first, origins)
        raise Misconfigured(f"{said} (in combination {_words(values)})") from error


def model_config(settings: Settings, symbols: Sequence[str]) -> SweepConfig:
    """The records of these settings as the sweep of these symbols takes them."""
    made = sweep_config(compile_engine(settings, OFFLINE_IDS), symbols, initial_quote_e8(settings))
    return replace(made, choice=policy_choice(settings.decision))


def corners(axes: Axes) -> Iterator[dict[str, float]]:
    """The combinations that can be out of range or contradict themselves: extremes, zeros, least above zero."""
    kept = [
        sorted({values[0], values[-1], *(v for v in values if v == 0.0), *[v for v in values if v > 0.0][:1]})
        for values in axes.values()
    ]
    for chosen in product(*kept):
        yield dict(zip(axes, chosen, strict=True))


def _words(values: Point) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
