"""Hooks of the site (``make docs``): pages from outside of ``docs/``, links between them, and plain docstrings."""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def outside_pages() -> list[str]:
    """Pages of the repository that the site has beside those of ``docs/``."""
    projects = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('projects/**/*.md'))
    return ['CONTRIBUTING.md', 'CHANGELOG.md', *projects]


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside."""
    from mkdocs.structure.files import File, InclusionLevel

    for path in outside_pages():
        page = File.generated(config, path, content=(ROOT / path).read_text(encoding='utf-8'))
        page.inclusion = InclusionLevel.INCLUDED if path.count('/') < 2 else InclusionLevel.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make the links of a page those of the site."""
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, page: str) -> str:
    """Links as the repository has them, as links between the site's pages; links to other files become plain text.

    Args:
        markdown: The text of a page. Code in it stays as it is.
        page: Where the site has the page, such as ``mixing.md`` or ``projects/README.md``.
    """
    pages = outside_pages()
    folder = posixpath.dirname(page if page in pages else f'docs/{page}')

    def link(found: re.Match) -> str:
        text, target, anchor = found.groups()
        if '://' in target:
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if path.startswith('docs/'):
            path = path[len('docs/') :]
        elif path not in pages:
            return text
        return f'[{text}]({posixpath.relpath(path, posixpath.dirname(page) or ".")}{anchor or ""})'

    parts = re.split(r'(^```.*?^```|`[^`\n]+`(?!\]))', markdown, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [re.sub(r'\[([^]]*)\]\(([^)#\s]+)(#[^)]*)?\)', link, part) for part in parts[::2]]
    return ''.join(parts)


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings without the roles of reST, which Markdown shows as they are."""
    html = re.sub(r':\w+:<code>~[\w.]*?(\w+)</code>', r'<code>\1</code>', html)
    html = re.sub(r':\w+:(<code>)', r'\1', html)
    return html.replace('<p>::</p>', '')
