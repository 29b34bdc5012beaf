"""The one table of tools: name, arguments, plan. Schemas for the model are made from it. No I/O here."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from folkmoot.tools import arguments as args
from folkmoot.tools import plans, review
from folkmoot.tools.answer import Plan, Setting

Schema = dict[str, Any]


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    arguments: type[args.Arguments]
    plan: Callable[[Any, Setting], Plan]


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("read_file", "Read a text file, or some of its lines.", args.ReadFile, plans.read_file),
        Tool("write_file", "Create a file, or replace it whole.", args.WriteFile, plans.write_file),
        Tool("append_file", "Add text to the end of a file.", args.AppendFile, plans.append_file),
        Tool("edit_file", "Replace an exact piece of a file; it must be unique.", args.EditFile, plans.edit_file),
        Tool("list_files", "List a folder, `depth` levels deep.", args.ListFiles, plans.list_files),
        Tool("search", "Search file contents by regular expression.", args.Search, plans.search),
        Tool("run", "Run a shell line; no state stays between calls but files.", args.Run, plans.run),
        Tool("run_tests", "Run the repository's own tests, or some of them.", args.RunTests, plans.run_tests),
        Tool("git_status", "What is changed and not yet committed.", args.GitStatus, plans.git_status),
        Tool("git_diff", "Your whole change against the base commit.", args.GitDiff, plans.git_diff),
        Tool("git_log", "The latest commits.", args.GitLog, plans.git_log),
        Tool("commit", "Commit everything that is changed.", args.Commit, plans.commit),
        Tool("submit", "Hand in your work; ends the run. Uncommitted work is committed.", args.Submit, plans.submit),
        Tool("report_finding", "Report a fault with a test that shows it.", args.ReportFinding, review.report_finding),
        Tool("finish_review", "Say that the review is done; ends the run.", args.FinishReview, review.finish_review),
    )
}


class BadCall(Exception):
    """A call that cannot be made; the message tells the model how to mend it."""


def parsed(name: str, arguments: str, allowed: tuple[str, ...]) -> args.Arguments:
    """The typed arguments. Raises BadCall for an unknown tool, bad JSON, or a wrong argument (named)."""
    if name not in allowed or name not in TOOLS:
        raise BadCall(f"there is no tool {name[:80]!r}; use one of {', '.join(allowed)}")
    try:
        return msgspec.json.decode(arguments.encode() or b"{}", type=TOOLS[name].arguments)
    except msgspec.ValidationError as error:
        raise BadCall(f"{name}: {_naming(str(error))}") from error
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadCall(f"{name}: the arguments are not valid JSON: {error}") from error


def schemas(names: tuple[str, ...]) -> tuple[Schema, ...]:
    """Function definitions as the chat API wants them, strict, in the order of `names`."""
    return tuple(_function(TOOLS[name]) for name in names)


def _function(tool: Tool) -> Schema:
    (root,), parts = msgspec.json.schema_components([tool.arguments], ref_template="{name}")
    function = {"name": tool.name, "description": tool.description, "strict": True, "parameters": _object(root, parts)}
    return {"type": "function", "function": function}


def _object(reference: Schema, parts: Mapping[str, Schema]) -> Schema:
    definition = parts[reference["$ref"]]
    properties = {name: _strict(value, parts) for name, value in definition["properties"].items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _strict(schema: Schema, parts: Mapping[str, Schema]) -> Schema:
    """In strict mode every property is required, so an optional one is nullable and has no default. An object in an
    object stands where it is used: some servers take no reference."""
    if "$ref" in schema:
        return _object(schema, parts)
    return {key: value for key, value in schema.items() if key != "default"}


def _naming(error: str) -> str:
    """msgspec says `… - at `$.path``; people and models read `path: …`."""
    problem, _, where = error.partition(" - at `$.")
    return f"{where.rstrip('`')}: {problem}" if where else problem
