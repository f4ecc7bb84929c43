"""What `make docs` does beyond MkDocs: pages for users come first in the search, and the examples are shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_FOR_MAINTAINERS = ("docs/decisions/", "docs/architecture.md", "docs/figures.md", "CHANGELOG.md", "CONTRIBUTING.md")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs calls it for each page before it is rendered."""
    path = page.file.src_uri
    page.meta.setdefault("search", {"boost": 0.3 if path.startswith(_FOR_MAINTAINERS) else 1})
    return with_code(markdown) if path == "docs/examples.md" else markdown


def with_code(markdown: str) -> str:
    """The page of examples with the code of each, to which its links lead."""
    names = re.findall(r"\]\(\.\./dags_examples/(\w+)\.py\)", markdown)
    for name in dict.fromkeys(names):
        code = (ROOT / "dags_examples" / f"{name}.py").read_text()
        markdown = markdown.replace(f"](../dags_examples/{name}.py)", f"](#{name})")
        markdown += f"\n## {name}\n\n```python\n{code}```\n"
    return markdown
