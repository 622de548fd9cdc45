"""Writes the pages of the site (``make docs``) into ``build/docs``: those of ``docs/`` and some from outside of it.

They are plain files there, which mkdocs and zensical build alike.
"""

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def outside_pages() -> list[str]:
    """Pages of the repository that the site has beside those of ``docs/``."""
    projects = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('projects/**/*.md'))
    return ['CONTRIBUTING.md', 'CHANGELOG.md', *projects]


def write_pages(folder: Path) -> None:
    """Write all pages, with the links of the site, and the pictures; what else the folder has goes."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / 'docs', folder, ignore=shutil.ignore_patterns('*.py'))
    for page in outside_pages():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / page, folder / page)
    for path in folder.rglob('*.md'):
        text = path.read_text(encoding='utf-8')
        path.write_text(site_links(text, path.relative_to(folder).as_posix()), encoding='utf-8')


def site_links(markdown: str, page: str) -> str:
    """Links as the repository has them, as links between the site's pages; links to other files become plain text.

    Args:
        markdown: The text of a page. Code in it stays as it is.
        page: Where the site has the page, such as ``mixing.md`` or ``projects/README.md``.
    """
    pages = outside_pages()
    folder = posixpath.dirname(page if page in pages else f'docs/{page}')

    def link(found: re.Match) -> str:
        code, text, target, anchor = found.groups()
        if code or '://' in target:
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        if path.startswith('docs/'):
            path = path[len('docs/') :]
        elif path not in pages:
            return text
        return f'[{text}]({posixpath.relpath(path, posixpath.dirname(page) or ".")}{anchor or ""})'

    # What begins first counts: code has no links, and the text of a link may be code.
    code_or_link = r'(^```.*?^```|`[^`\n]+`)|\[([^]]*)\]\(([^)#\s]+)(#[^)]*)?\)'
    return re.sub(code_or_link, link, markdown, flags=re.DOTALL | re.MULTILINE)


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings without the roles of reST, which Markdown shows as they are.

    A hook of mkdocs, the only one: zensical runs none, its reference shows the roles.
    """
    html = re.sub(r':\w+:<code>~[\w.]*?(\w+)</code>', r'<code>\1</code>', html)
    html = re.sub(r':\w+:(<code>)', r'\1', html)
    return html.replace('<p>::</p>', '')


if __name__ == '__main__':
    write_pages(ROOT / 'build' / 'docs')
