"""Composes the settings of all packages from config.yaml, environment and options, and explains what is wrong."""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bnml.app.settings import AlertSettings, AppSettings, DeadmanSettings, GuardSettings, LiveSettings
from bnml.core.errors import Misconfigured
from bnml.explain import explain_error, looks_like_secret, secret_sentence
from bnml.journal.settings import JournalSettings
from bnml.learn.settings import LearningSettings
from bnml.schema import Settings as Group
from bnml.schema import section
from bnml.trading.risk.settings import RiskSettings
from bnml.trading.settings import (
    CapitalSettings,
    CostSettings,
    DecisionSettings,
    EntrySettings,
    ExitSettings,
    FeatureSettings,
    ScannerSettings,
    UniverseSettings,
)
from bnml.venues.settings import Credentials, VenueSettings

DEFAULT_FILE = Path("config.yaml")
ENVIRONMENT_PREFIX = "BNML_"
SECTION_MARK = "__"
REDACTED_URL = "https://[redacted]"

RENAMED: Mapping[str, str] = {}
"""Keys of earlier versions and what they are called now, "" for those that are gone. None was renamed yet.

A file that names them is read on, with a note: an upgrade must not keep the daemon of what is held from starting.
"""

Tree = dict[str, Any]
Path_ = tuple[str, ...]


class Settings(Group):
    """Everything an operator can decide, by the package that owns it."""

    venue: VenueSettings = section(VenueSettings, "where orders go")
    universe: UniverseSettings = section(UniverseSettings, "which symbols may be traded")
    features: FeatureSettings = section(FeatureSettings, "frames of the feature row, and history")
    scanner: ScannerSettings = section(ScannerSettings, "how the candidates of one bar are ranked")
    decision: DecisionSettings = section(DecisionSettings, "from probabilities to BUY, SELL or HOLD")
    entry: EntrySettings = section(EntrySettings, "how a position is entered")
    exits: ExitSettings = section(ExitSettings, "how a position is left")
    capital: CapitalSettings = section(CapitalSettings, "how much of the account works")
    risk: RiskSettings = section(RiskSettings, "limits of every entry, and breakers")
    costs: CostSettings = section(CostSettings, "what simulated trading costs")
    learning: LearningSettings = section(LearningSettings, "how models are made and kept")
    journal: JournalSettings = section(JournalSettings, "how the journal is written")
    live: LiveSettings = section(LiveSettings, "the lock in front of real money")
    app: AppSettings = section(AppSettings, "the daemon")
    guards: GuardSettings = section(GuardSettings, "reasons around the engine to trade less")
    alerts: AlertSettings = section(AlertSettings, "where alerts go")
    deadman: DeadmanSettings = section(DeadmanSettings, "the watch beside the daemon")

    def content_hash(self) -> str:
        """Name the decisions: equal hashes mean equal settings, wherever they came from."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def to_be_shown(self) -> "Settings":
        """For the journal and for terminals: who knows a webhook's address can post to it."""
        shown = REDACTED_URL if self.alerts.webhook_url else ""
        return self.model_copy(update={"alerts": self.alerts.model_copy(update={"webhook_url": shown})})


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, tuple[Any, str]] | None = None,
) -> Settings:
    """Read settings; later sources win: defaults, file, `BNML_SECTION__KEY` variables, options.

    `path` None reads `config.yaml` of the working directory where there is one. `options` maps a dotted
    key to its value and the name of the option that gave it. Raises Misconfigured, one line per fault.
    """
    environment = os.environ if environment is None else environment
    tree, origins = _read_file(path)
    _rename(tree, origins)
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and SECTION_MARK in name:
            keys = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split(SECTION_MARK))
            if ".".join(keys) in RENAMED:
                _say_renamed(f"variable {name}", ".".join(keys))
                keys = tuple(RENAMED[".".join(keys)].split("."))
            if keys != ("",):
                _put(tree, keys, _scalar(name, text), origins, f"variable {name}")
    for dotted, (value, option) in (options or {}).items():
        _put(tree, tuple(dotted.split(".")), value, origins, f"option {option}")
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        faults = [explain_error(Settings, fault, origins) for fault in error.errors(include_url=False)]
        raise Misconfigured("\n".join(faults)) from error


def load_credentials(environment: Mapping[str, str] | None = None) -> Credentials:
    """Read the API key from systemd's credentials folder if there is one, else from the environment."""
    environment = os.environ if environment is None else environment
    found = {}
    folder = environment.get("CREDENTIALS_DIRECTORY")
    for field, variable in (("api_key", "BINANCE_API_KEY"), ("api_secret", "BINANCE_API_SECRET")):
        file = Path(folder) / variable.lower() if folder else None
        try:
            text = file.read_text("utf-8") if file and file.is_file() else environment.get(variable, "")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"the credential {variable.lower()} cannot be read ({error}); check LoadCredential"
            ) from error
        found[field] = text.strip()
    if bool(found["api_key"]) != bool(found["api_secret"]):
        raise Misconfigured("only one of BINANCE_API_KEY and BINANCE_API_SECRET is set; set both or neither")
    return Credentials.model_validate(found)


def _read_file(path: Path | None) -> tuple[Tree, dict[Path_, str]]:
    if path is None and not DEFAULT_FILE.is_file():
        return {}, {}
    file = path or DEFAULT_FILE
    try:
        loader = yaml.SafeLoader(file.read_text("utf-8"))
        node = loader.get_single_node()
        origins: dict[Path_, str] = {}
        faults: list[str] = []
        if node is not None:
            _survey(node, (), file.name, origins, faults)
        if faults:
            raise Misconfigured("\n".join(faults))
        data = loader.construct_document(node) if node is not None else {}
    except FileNotFoundError as error:
        raise Misconfigured(
            f"there is no configuration file {file}; name an existing one with --config"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise Misconfigured(
            f"{file.name}{where} is not valid YAML: {getattr(error, 'problem', error)}"
        ) from error
    if not isinstance(data, dict):
        raise Misconfigured(f"{file.name} must hold sections such as `venue:`, it holds a single value")
    # A section whose keys are all commented out is one that keeps its defaults.
    return {
        key: {} if value is None and key in Settings.model_fields else value for key, value in data.items()
    }, origins


def _survey(node: yaml.Node, keys: Path_, file: str, origins: dict[Path_, str], faults: list[str]) -> None:
    """Note the line of each key; report duplicates, keys that are no text, and secrets."""
    where = f"{file} line {node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode) and looks_like_secret(keys, node.value):
        faults.append(secret_sentence(where, keys))
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _survey(child, (*keys, str(index)), file, origins, faults)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, child in node.value:
        line = f"{file} line {key.start_mark.line + 1}"
        here = (*keys, str(key.value))
        if here in origins:
            faults.append(
                f"{line}: {'.'.join(here)} stands twice, the first time in {origins[here]}; keep one of them"
            )
        origins[here] = line
        _survey(child, here, file, origins, faults)


def _rename(tree: Tree, origins: dict[Path_, str]) -> None:
    """Move what stands under a key of an earlier version to where it belongs now; what stands there already counts."""
    for old, new in RENAMED.items():
        keys, wanted = tuple(old.split(".")), tuple(new.split("."))
        if keys not in origins:
            continue
        branch = tree
        for key in keys[:-1]:
            branch = branch[key]
        value, origin = branch.pop(keys[-1]), origins.pop(keys)
        _say_renamed(origin, old)
        if new and wanted not in origins:
            _put(tree, wanted, value, origins, origin)


def _say_renamed(origin: str, old: str) -> None:
    new = RENAMED[old]
    told = f"is now called {new}; write that" if new else "is gone and does nothing; remove it"
    sys.stderr.write(f"note: {origin}: {old} {told}\n")


def _put(tree: Tree, keys: Path_, value: Any, origins: dict[Path_, str], origin: str) -> None:
    branch = tree
    for key in keys[:-1]:
        child = branch.get(key)
        if not isinstance(child, dict):
            child = branch[key] = {}
        branch = child
    branch[keys[-1]] = value
    for length in range(1, len(keys) + 1):
        origins.setdefault(keys[:length], origin)
    origins[keys] = origin


def _scalar(name: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Misconfigured(f'variable {name} holds "{text}", which is no YAML value; quote it') from error
