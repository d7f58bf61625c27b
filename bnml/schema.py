"""The common form of every setting: frozen, no unknown keys, and a unit, a range and a meaning for each value."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Section = TypeVar("Section", bound=BaseModel)


class Settings(BaseModel):
    """A group of settings as one package owns it; immutable once read, unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=False,
    )


def setting(default: Any, unit: str, meaning: str, **bounds: Any) -> Any:
    """Declare one value; `unit` may be "" only where a value has none, `bounds` are pydantic's ge, gt, le, lt."""
    return Field(default, description=meaning, json_schema_extra={"unit": unit}, **bounds)


def section(model: type[Section], meaning: str) -> Any:
    """Declare a group of values whose defaults are those of `model`."""
    return Field(default_factory=model, description=meaning)
