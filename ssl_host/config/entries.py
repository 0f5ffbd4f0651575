"""Create the entries of a configuration, and check that their text can be read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_host.config.fields import origin_folder, parse_field
from ssl_host.config.interpolation import refers_to_environment, substitute
from ssl_host.config.named_sections import EVALUATOR_KEYS, NETWORK_KEYS
from ssl_host.config.quoting import QuoteError, needs_quotes, quote, strip_comment, unquote
from ssl_host.config.run_config import ComponentConfig, ConfigEntry, RunConfig
from ssl_host.config.values import (
    ConfigOrigin,
    ConfigValue,
    Key,
    LiteralError,
    accepted_types,
    escape_references,
    format_value,
)
from ssl_host.contracts.settings import Settings
from ssl_host.errors import Problem


def make_entries(
    merged: Mapping[Key, ConfigValue],
    host: Mapping[str, Settings],
    components: Mapping[str, ComponentConfig],
) -> dict[Key, ConfigEntry]:
    """Return the entry of each setting: its final value, INI text, origin and description.

    Args:
        merged: the merged values of all layers, keyed by section and key.
        host: the validated settings of the host's sections.
        components: the components of the other sections.
    """
    entries: dict[Key, ConfigEntry] = {}
    for (section, key), value in merged.items():
        component = components.get(section)
        annotation: Any = str
        if component is not None and key == "name":
            final: Any = component.name
            description = f"name of the {component.kind}"
        elif component is not None and key in component.host_values:
            host_key = {**NETWORK_KEYS, **EVALUATOR_KEYS}[key]
            annotation, description = host_key.annotation, host_key.description
            final = component.init_from if key == "init_from" else component.host_values[key]
        elif component is not None and key in component.network_references:
            final = str(value.raw)
            description = type(component.settings).model_fields[key].description or ""
        else:
            settings = host[section] if component is None else component.settings
            final = getattr(settings, key)
            description = type(settings).model_fields[key].description or ""
            annotation = type(settings).model_fields[key].annotation
        is_reference = refers_to_environment(value)
        if is_reference:
            text = _reference_text(value, merged, annotation)
        elif component is not None and key in component.network_references:
            text = str(final)
        else:
            text = format_value(final, annotation)
        entries[section, key] = ConfigEntry(final, text, value.origin, description, is_reference)
    return entries


def _reference_text(value: ConfigValue, merged: Mapping[Key, ConfigValue], annotation: Any) -> str:
    """Return the INI text of a value in which references ``${env:NAME}`` are kept.

    A relative path is made absolute, because the text is written to a different folder.
    """
    text = str(value.raw)
    if Path in accepted_types(annotation):
        path = Path(str(substitute(value, merged).raw)).expanduser()
        if not path.is_absolute():
            text = f"{escape_references(str(origin_folder(value.origin).resolve()))}/{text}"
    return quote(text) if value.is_quoted or needs_quotes(text) else text


def round_trip_problems(config: RunConfig) -> list[Problem]:
    """Return a problem for each setting that does not survive a round trip through an INI file.

    This happens if a component's validator changes a value that is already validated, or if a
    setting has a type that text cannot represent.
    """
    all_settings = {**config.host, **{s: c.settings for s, c in config.components.items()}}
    return [
        problem
        for section, settings in all_settings.items()
        for problem in _round_trip_problems_in_section(config, section, settings)
    ]


def _round_trip_problems_in_section(
    config: RunConfig, section: str, settings: Settings
) -> Iterator[Problem]:
    """Yield the problems of :func:`round_trip_problems` for one section."""
    component = config.components.get(section)
    unknown = {} if component is None else component.network_references
    entries = {
        key: config.entries.get((section, key))
        for key in type(settings).model_fields
        if key not in unknown
    }
    written = {key: entry for key, entry in entries.items() if entry is not None}
    values: dict[str, Any] = {}
    for key, entry in written.items():
        try:
            values[key] = _read_back(entry, type(settings).model_fields[key].annotation)
        except (LiteralError, QuoteError) as error:
            yield _round_trip_problem(section, key, entry, str(error))
    try:
        again = type(settings).model_validate(values)
    except ValidationError as error:
        for problem in error.errors():
            key = str(problem["loc"][0]) if problem["loc"] else next(iter(written))
            yield _round_trip_problem(section, key, written[key], problem["msg"])
        return
    for key, entry in written.items():
        found = getattr(again, key)
        if found != entry.value:
            yield _round_trip_problem(section, key, entry, f"it would be read back as {found!r}")


def _read_back(entry: ConfigEntry, annotation: Any) -> Any:
    """Parse the INI text of an entry and return the value, which is not validated."""
    if entry.refers_to_environment or entry.value is None:
        return entry.value
    text, is_quoted = unquote(strip_comment(entry.text))
    value = ConfigValue(text, ConfigOrigin("config.ini"), is_text=True, is_quoted=is_quoted)
    return parse_field(substitute(value, {}), annotation)


def _round_trip_problem(section: str, key: str, entry: ConfigEntry, reason: str) -> Problem:
    """Return the problem for a setting whose value does not survive a round trip."""
    return Problem(
        str(entry.origin),
        f"[{section}] {key} = {entry.value} cannot be written to the run's config.ini ({reason}); "
        "the component that declares the setting must accept its validated values unchanged",
    )
