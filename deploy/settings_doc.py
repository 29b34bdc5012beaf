"""Writes docs/settings.md from the docstrings in runtime/settings.py; `--check` only says whether it is up to date.

Usage: python deploy/settings_doc.py [--check]
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "services/folkmoot/runtime/settings.py"
TARGET = ROOT / "docs/settings.md"

HEAD = """# Settings

Written by `deploy/settings_doc.py` from `services/folkmoot/runtime/settings.py`.

Defaults, then `folkmoot.toml` (the file that `FOLKMOOT_CONFIG` names, else the one in the data folder), then variables.
`FOLKMOOT_DATA` is the data folder; by default `folkmoot` in the user's data folder.

```toml
[model]
url = "http://127.0.0.1:8000/v1"
name = "my-model"
```
"""


def groups(tree: ast.Module) -> dict[str, str]:
    """Class name by group name, as `Settings` declares them."""
    settings = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Settings")
    fields = [n for n in settings.body if isinstance(n, ast.AnnAssign) and isinstance(n.annotation, ast.Name)]
    named = {ast.unparse(f.target): ast.unparse(f.annotation) for f in fields}
    return {group: kind for group, kind in named.items() if kind.endswith("Settings")}


def rows(body: list[ast.stmt], group: str) -> list[str]:
    """One table row a field; a field without words of its own shares the next one's."""
    found = []
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign):
            words = ast.literal_eval(after.value) if isinstance(after, ast.Expr) else ""
            default = ast.unparse(node.value) if node.value else ""
            name = f"FOLKMOOT_{group}_{ast.unparse(node.target)}".upper()
            found.append(f"| `{name}` | `{default}` | {' '.join(words.split())} |")
    return found


def document() -> str:
    tree = ast.parse(SOURCE.read_text("utf-8"))
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    parts = [HEAD]
    for group, kind in groups(tree).items():
        table = rows(classes[kind].body, group)
        parts.append(
            "\n".join([f"\n## {group}\n", "| variable | default | meaning |", "| --- | --- | --- |", *table, ""])
        )
    return "".join(parts)


def main() -> None:
    text = document()
    if "--check" in sys.argv[1:]:
        if not TARGET.is_file() or TARGET.read_text("utf-8") != text:
            raise SystemExit("docs/settings.md is out of date; run `make docs`")
        return
    TARGET.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
