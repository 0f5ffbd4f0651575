"""Layers and catalog to a :class:`Resolved` configuration, or to all its problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import suggestion
from ssl_host.config.host import (
    DEFAULT_COMPONENTS,
    DEFAULT_EVALUATORS,
    HOST_SECTIONS,
    INSTANCE_KINDS,
    SINGLE_KINDS,
)
from ssl_host.config.interpolation import ReferenceFault, refers_to_environment, substitute
from ssl_host.config.layers import (
    Layer,
    file_layer,
    merge_section,
    option_layer,
    preset_layers,
    python_layer,
)
from ssl_host.config.resolved import Part, Resolved, Shown
from ssl_host.config.values import (
    Key,
    LiteralFault,
    Origin,
    Value,
    read_text,
    takes_path,
    write_value,
)
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, ContractError, PluginError, Problem


def resolve_file(path: Path, options: Sequence[str], catalog: Catalog) -> Resolved:
    """An INI file with options on top.

    Raises:
        ConfigError: with every problem found.
    """
    return resolve([file_layer(path), option_layer(options)], catalog, path.stem)


def resolve_values(
    sections: Mapping[str, Mapping[str, Any]], catalog: Catalog, options: Sequence[str] = ()
) -> Resolved:
    """A configuration given in Python, as ``{"run": {"epochs": 10}, ...}``."""
    layers = [python_layer("python", sections), option_layer(options)]
    return resolve(layers, catalog, "run")


def resolve(
    user: Sequence[Layer], catalog: Catalog, name: str, notes: Sequence[str] = ()
) -> Resolved:
    """Merge, check and freeze.

    Args:
        user: the file's layer and those above it.
        name: the run's name where no layer gives one.
        notes: for the report.
    """
    return _Resolver(list(user), catalog, name, tuple(notes)).resolve()


class _Resolver:
    def __init__(
        self, user: list[Layer], catalog: Catalog, name: str, notes: tuple[str, ...]
    ) -> None:
        self.catalog = catalog
        self.name = name
        self.notes = notes
        self.problems: list[Problem] = []
        self.given = self._with_presets(user)
        self.layers = self.given
        self.broken: set[str] = set()

    def _with_presets(self, user: list[Layer]) -> list[Layer]:
        found = [layer.values[key] for layer in user if (key := ("run", "extends")) in layer.values]
        if not found or str(found[-1].raw).lower() in ("", "none"):
            return user
        return [*preset_layers(str(found[-1].raw), found[-1].origin, self.catalog), *user]

    def resolve(self) -> Resolved:
        classes = self._load_classes()
        self._check_sections(classes)
        merged = self._merge(classes)
        final = self._read(merged, classes)
        host, parts = self._validate(final, merged, classes)
        if self.problems:
            raise ConfigError(sorted(set(self.problems), key=_by_place))
        return Resolved(host, parts, self._shown(merged, host, parts), self.notes)

    # -- which components -------------------------------------------------------------------

    def _named(self, section: str, layers: Sequence[Layer]) -> Value | None:
        found = [v for layer in layers if (v := layer.values.get((section, "name"))) is not None]
        return found[-1] if found else None

    def _load_classes(self) -> dict[str, Any]:
        """Sections to component classes; builds the lowest layers on the way."""
        defaults = {k: dict(v) for k, v in DEFAULT_COMPONENTS.items()}
        defaults["run"] = {"name": self.name}
        if not any(s.split(".")[0] == "evaluator" for layer in self.given for s in layer.sections()):
            defaults |= {f"evaluator.{name}": {"name": name} for name in DEFAULT_EVALUATORS}
        host = python_layer("host default", defaults)
        classes: dict[str, Any] = {}
        for section in ("method", "data"):
            classes[section] = self._load(section, section, [host, *self.given])
        if classes["method"] is None and self._named("method", self.given) is None:
            known = ", ".join(self.catalog.names("method")) or "none is installed"
            where = self.given[-1 if len(self.given) == 1 else -2].name
            at = next((v.origin.file for v in self.given[0].values.values() if v.origin.file), where)
            message = f"no method is named; add a section [method] with name = ... ({known})"
            self.problems.append(Problem(at, message))
        lower = [host]
        for section in ("method", "data"):
            recipe = getattr(classes[section], "defaults", {})
            named = self._named(section, [host, *self.given])
            if recipe and named is not None:
                lower.append(python_layer(f"{section} {named.raw}", recipe))
        self.layers = [*lower, *self.given]
        heads = getattr(classes["method"], "heads", {})
        for section in self._sections():
            kind = section.split(".")[0]
            if section in classes or kind not in (*SINGLE_KINDS, *INSTANCE_KINDS):
                continue
            if kind in INSTANCE_KINDS and "." not in section:
                continue
            if kind == "head" and section.partition(".")[2] not in heads:
                continue
            classes[section] = self._load(section, kind, self.layers)
        for head in heads:
            if f"head.{head}" not in classes:
                classes[f"head.{head}"] = None
                message = f"the method needs a head; add a section [head.{head}] with a name"
                self.problems.append(Problem("head", message))
        return classes

    def _sections(self) -> list[str]:
        order = [*HOST_SECTIONS, *SINGLE_KINDS[:4], "head", *SINGLE_KINDS[4:], "evaluator", "logger"]
        found = dict.fromkeys(s for layer in self.layers for s in layer.sections())
        rank = {name: i for i, name in enumerate(order)}
        return sorted(found, key=lambda s: rank.get(s.split(".")[0], len(rank)))

    def _load(self, section: str, kind: str, layers: Sequence[Layer]) -> Any:
        value = self._named(section, layers)
        if value is None:
            if "." not in section:
                if kind not in ("method", "loss"):
                    at = self._where(section)
                    self.problems.append(Problem(at, f"[{section}] needs a name"))
                return None
            value = Value(section.partition(".")[2], Origin("instance name", self._where(section)))
        try:
            return self.catalog.load(kind, str(value.raw))
        except (PluginError, ContractError) as error:
            self.broken.add(section)
            self.problems.append(Problem(str(value.origin), f"[{section}] {error}"))
            return None

    def _where(self, section: str) -> str:
        for layer in reversed(self.layers):
            for (name, _), value in layer.values.items():
                if name == section and value.origin.file:
                    line = layer.lines.get(section)
                    file = value.origin.file
                    return f"{file}:{line}" if line else str(value.origin)
            if layer.lines.get(section):
                file = next((v.origin.file for v in layer.values.values()), layer.name)
                return f"{file}:{layer.lines[section]}"
        return section

    # -- sections and keys ------------------------------------------------------------------

    def _check_sections(self, classes: Mapping[str, Any]) -> None:
        heads = getattr(classes.get("method"), "heads", {})
        singular = [*HOST_SECTIONS, *SINGLE_KINDS]
        examples = [f"head.{h}" for h in heads] + [
            f"evaluator.{n}" for n in self.catalog.names("evaluator")
        ] + [f"logger.{n}" for n in self.catalog.names("logger")]
        for section in self._sections():
            kind, dot, instance = section.partition(".")
            if section in singular or (kind in INSTANCE_KINDS and instance):
                if kind == "head" and classes.get("method") is not None and instance not in heads:
                    has = f"has {', '.join(heads)}" if heads else "has no heads"
                    self._section_problem(section, f"the method {has}", list(examples))
                continue
            if kind in INSTANCE_KINDS:
                example = next((e for e in examples if e.startswith(kind)), f"{kind}.name")
                self._section_problem(section, f"name the instance, such as [{example}]", [])
            elif kind in SINGLE_KINDS:
                self._section_problem(section, f"there is one {kind}; write [{kind}]", [])
            else:
                self._section_problem(section, "", [*singular, *examples])

    def _section_problem(self, section: str, reason: str, known: list[str]) -> None:
        self.broken.add(section)
        hint = suggestion(section, known)
        text = f"[{section}] unknown section" + (f": {reason}" if reason else "") + hint
        self.problems.append(Problem(self._where(section), text))

    def _merge(self, classes: Mapping[str, Any]) -> dict[Key, Value]:
        """Every key of every known section, schema defaults included."""
        merged: dict[Key, Value] = {}
        for section in dict.fromkeys([*HOST_SECTIONS, *self._sections()]):
            schema = self._schema(section, classes)
            if schema is None:
                continue
            values, problems = merge_section(self.layers, section, schema.alternatives)
            self.problems += problems
            taken = set(values)
            displaced = {
                key for group in schema.alternatives if taken & set(group) for key in group
            }
            if section in classes:
                instance = section.partition(".")[2] or section
                merged[section, "name"] = values.pop(
                    "name", Value(instance, Origin("instance name"), is_text=True)
                )
            for key, field in schema.model_fields.items():
                if key in values:
                    merged[section, key] = values[key]
                elif not field.is_required() and key not in displaced:
                    default = field.get_default(call_default_factory=True)
                    merged[section, key] = Value(default, Origin("default"))
            for key, value in values.items():
                if key not in schema.model_fields:
                    hint = suggestion(key, schema.model_fields)
                    known = ", ".join(schema.model_fields) or "none"
                    text = f"[{section}] {key}: unknown key{hint or f'; known keys: {known}'}"
                    self.problems.append(Problem(str(value.origin), text))
        return merged

    def _schema(self, section: str, classes: Mapping[str, Any]) -> type[Settings] | None:
        if section in HOST_SECTIONS:
            return HOST_SECTIONS[section]
        cls = classes.get(section)
        return None if cls is None or section in self.broken else cls.Config

    # -- values -----------------------------------------------------------------------------

    def _read(self, merged: Mapping[Key, Value], classes: Mapping[str, Any]) -> dict[Key, Any]:
        """Text to objects, references replaced."""
        final: dict[Key, Any] = {}
        for (section, key), value in merged.items():
            try:
                raw = substitute(value, merged)
                if (section, key) in merged and key == "name" and section in classes:
                    final[section, key] = str(raw)
                    continue
                schema = self._schema(section, classes)
                assert schema is not None
                annotation = schema.model_fields[key].annotation
                if value.is_text and isinstance(raw, str):
                    raw = read_text(raw, annotation)
                if takes_path(annotation) and isinstance(raw, str) and raw:
                    raw = _absolute(raw, value.origin)
                final[section, key] = raw
            except (ReferenceFault, LiteralFault) as error:
                self.broken.add(section)
                text = f"[{section}] {key}: {error}"
                self.problems.append(Problem(str(value.origin), text))
        return final

    def _validate(
        self, final: Mapping[Key, Any], merged: Mapping[Key, Value], classes: Mapping[str, Any]
    ) -> tuple[dict[str, Settings], dict[str, Part]]:
        host: dict[str, Settings] = {}
        parts: dict[str, Part] = {}
        for section in dict.fromkeys([*HOST_SECTIONS, *classes]):
            schema = self._schema(section, classes)
            if schema is None:
                continue
            chosen = {k: v for (s, k), v in final.items() if s == section}
            name = chosen.pop("name", "") if section in classes else ""
            try:
                settings = schema.model_validate(chosen)
            except ValidationError as error:
                if section not in self.broken:
                    self._explain(section, schema, error, merged)
                continue
            if section in HOST_SECTIONS:
                host[section] = settings
                continue
            kind, _, instance = section.partition(".")
            entry = self.catalog.find(kind, name)
            parts[section] = Part(
                section, kind, instance or kind, name, classes[section], settings, entry
            )
        return host, parts

    def _explain(
        self,
        section: str,
        schema: type[Settings],
        error: ValidationError,
        merged: Mapping[Key, Value],
    ) -> None:
        for fault in error.errors():
            message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
            if not fault["loc"]:  # the section as a whole: name the lines of all keys involved
                involved = [k for k in schema.model_fields if k in message] or list(
                    schema.model_fields
                )
                places = [
                    str(v.origin)
                    for k in involved
                    if (v := merged.get((section, k))) is not None and v.origin.file
                ]
                where = ", ".join(dict.fromkeys(places)) or self._where(section)
                self.problems.append(Problem(where, f"[{section}] {message}"))
                continue
            key = str(fault["loc"][0])
            value = merged.get((section, key))
            about = schema.model_fields[key].description
            if value is None:
                text = f"[{section}] {key}: is required ({about})"
                self.problems.append(Problem(self._where(section), text))
                continue
            text = f"[{section}] {key} = {value.raw}: {message} ({about})"
            self.problems.append(Problem(str(value.origin), text))

    def _shown(
        self,
        merged: Mapping[Key, Value],
        host: Mapping[str, Settings],
        parts: Mapping[str, Part],
    ) -> dict[Key, Shown]:
        shown: dict[Key, Shown] = {}
        for (section, key), value in merged.items():
            if key == "name" and section in parts:
                found: Any = parts[section].name
                about = f"which {parts[section].kind}"
            else:
                settings = host[section] if section in host else parts[section].settings
                found = getattr(settings, key)
                about = type(settings).model_fields[key].description or ""
            environment = refers_to_environment(value)
            text = str(value.raw) if environment else write_value(found)
            shown[section, key] = Shown(found, text, value.origin, about)
        return shown


def _absolute(text: str, origin: Origin) -> str:
    """Relative paths are relative to the INI file's folder; options' to the working folder."""
    path = Path(text).expanduser()
    if path.is_absolute():
        return str(path)
    folder = Path(origin.file).parent if origin.file and origin.line else Path()
    return str((folder / path).resolve())


def _by_place(problem: Problem) -> tuple[str, int, str]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line), problem.message) if line.isdigit() else (problem.where, 0, problem.message)
