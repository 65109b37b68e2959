"""The reference as Markdown, from the code itself: the config, the command line, result.json and the Python API."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

API = ("evernas.search", "evernas.spaces")
WIDTH = 64


@functools.cache
def pages() -> Mapping[str, str]:
    """Text by name of the page."""
    from evernas.config import Config
    from evernas.result import Result

    config = "Every key of the YAML config. `evernas schema` prints the same as JSON schema; unknown keys are refused."
    result = "What each run leaves in `result.json`, beside its report. `evernas schema result` prints the JSON schema."
    return {
        "reference/cli.md": "\n".join(_cli()),
        "reference/config.md": "\n".join(_schema("The config", config, Config.model_json_schema())),
        "reference/result.md": "\n".join(_schema("result.json", result, Result.model_json_schema())),
        "reference/api.md": "\n".join(_api()),
    }


def _schema(title: str, introduction: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {title}\n\n{introduction}\n"
    parts = schema["$defs"]
    yield from _fields("Top level", schema, parts)
    for name in _in_order(schema, parts):
        yield from _fields(name, parts[name], parts)


def _in_order(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    """The parts in the order in which a reader meets them."""
    found: list[str] = []
    for part in re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema.get("properties", {}))):
        found += [name for name in (part, *_in_order(parts[part], parts)) if name not in found]
    return found


def _fields(title: str, part: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {title}\n\n{part.get('description', '')}\n"
    if "properties" not in part:
        return
    needed = part.get("required", [])
    yield "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    for key, field in part["properties"].items():
        default = "required" if key in needed else _code(json.dumps(field["default"])) if "default" in field else ""
        of_part = parts.get(field.get("$ref", "").rpartition("/")[2], {}).get("description", "")
        meaning = field.get("description", of_part) + _limits(field)
        yield f"| `{key}` | {_kind(field)} | {default} | {_cell(meaning)} |"
    yield ""


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field or "const" in field:
        return " \\| ".join(_code(json.dumps(value)) for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return " or ".join(_kind(kind) for kind in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if field.get("items") else "list"
    if isinstance(field.get("additionalProperties"), Mapping):
        return f"map of {_kind(field['additionalProperties'])}"
    return str(field.get("type", "any"))


def _limits(field: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    told = [f"{word} {field[name]:g}" for name, word in words.items() if name in field]
    return f" ({', '.join(told)})" if told else ""


def _cli() -> Iterator[str]:
    import typer.main

    from evernas.cli import app

    yield "# Command line\n\n| exit code | meaning |\n| --- | --- |"
    yield "| 0 | done, whether promoted, held or nothing new |\n| 1 | a failure of evernas or of the machine |"
    yield "| 2 | wrong usage or config |\n| 3 | held, with `--fail-on-hold` |\n| 4 | the data was refused |\n"
    yield "`evernas --install-completion` teaches your shell (bash, zsh, fish or PowerShell) to complete commands.\n"
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        shown = "".join(f" {p.name.upper()}" if p.required else f" [{p.name.upper()}]" for p in arguments)
        yield f"## evernas {name}\n\n{inspect.cleandoc(command.help or '')}\n"
        yield f"```text\nevernas {name}{shown} [OPTIONS]\n```\n"
        yield "| | default | meaning |\n| --- | --- | --- |"
        for parameter in command.params:
            options = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
            label = f"`{parameter.name.upper()}`" if parameter in arguments else options
            default = "required" if parameter.required else _default(parameter.default)
            yield f"| {label} | {default} | {_cell(parameter.help or '')} |"
        yield ""


def _default(value: Any) -> str:
    return "" if value is None or value is False else _code(str(value))


def _api() -> Iterator[str]:
    yield "# Python API\n\nSearch and spaces import neither torch nor MLflow, and work on any discrete space.\n"
    for name in API:
        module = importlib.import_module(name)
        yield f"## {name}\n\n{inspect.getdoc(module)}\n"
        for public in module.__all__:
            yield from _object(public, getattr(module, public))


def _object(name: str, thing: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if inspect.isclass(thing) or inspect.isfunction(thing):
        kind = "class " if inspect.isclass(thing) else ""
        yield f"```python\n{kind}{name}{_signature(thing)}\n```\n"
    yield f"{_prose(thing)}\n"
    if not inspect.isclass(thing):
        return
    for member, value in inspect.getmembers(thing):
        ours = (getattr(value, "__module__", None) or "").startswith("evernas")
        if inspect.isfunction(value) and ours and not member.startswith("_") and inspect.getdoc(value):
            yield f"#### {name}.{member}\n\n```python\n{member}{_signature(value)}\n```\n\n{_prose(value)}\n"


class _Written:
    """An annotation as it stands in the source, without the quotes that a text would be shown in."""

    def __init__(self, annotation: Any) -> None:
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        self.text = re.sub(r"(?:\w+\.)+(?=[A-Z])", "", text)

    def __repr__(self) -> str:
        return self.text


def _signature(thing: Any) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(...)"
    empty = inspect.Parameter.empty
    parameters = [
        p if p.annotation is empty else p.replace(annotation=_Written(p.annotation)) for p in found.parameters.values()
    ]
    result = empty if inspect.isclass(thing) or found.return_annotation is empty else _Written(found.return_annotation)
    written = inspect.Signature(parameters, return_annotation=result)
    text = str(written)
    if len(text) <= WIDTH:
        return text
    # One parameter a line, with the bare * and / that the whole signature has.
    inner, _, after = text.rpartition(")")
    parts = _split(inner.removeprefix("("))
    return "(\n" + "".join(f"    {part},\n" for part in parts) + ")" + after


def _split(text: str) -> list[str]:
    """Parameters at the commas outside of all brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _prose(thing: Any) -> str:
    return _escaped(inspect.getdoc(thing) or "")


def _escaped(text: str) -> str:
    """Plain text as Markdown; what stands between backticks is code, in which a backslash would show."""
    parts = text.split("`")
    return "`".join(re.sub(r"([*_<|\[\]])", r"\\\1", part) if i % 2 == 0 else part for i, part in enumerate(parts))


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return _escaped(re.sub(r"\s+", " ", text))
