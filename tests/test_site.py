"""The site has every page once, and links within it; that none is broken is checked when `make docs` builds it."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SITE = runpy.run_path(str(ROOT / 'docs' / 'site_pages.py'))


def test_every_page_is_in_the_navigation_once():
    def pages(node):
        if isinstance(node, str):
            return [node]
        return [page for item in (node.values() if isinstance(node, dict) else node) for page in pages(item)]

    listed = pages(yaml.safe_load((ROOT / 'mkdocs.yml').read_text())['nav'])
    own = [path.name for path in (ROOT / 'docs').glob('*.md')]
    assert sorted(listed) == sorted([*own, 'CONTRIBUTING.md', 'CHANGELOG.md', 'projects/README.md'])


def test_every_page_is_in_the_list_by_question():
    linked = set(re.findall(r'\]\((\w+\.md)', (ROOT / 'docs' / 'index.md').read_text()))
    assert {path.name for path in (ROOT / 'docs').glob('*.md')} - linked == {'index.md'}


@pytest.mark.parametrize(
    ('page', 'text', 'expected'),
    [
        ('mixing.md', '[a](../projects/cls_heads/README.md)', '[a](projects/cls_heads/README.md)'),
        ('mixing.md', '[a](results.md#nuclei), ![b](pictures/b.png)', '[a](results.md#nuclei), ![b](pictures/b.png)'),
        ('mixing.md', 'see [a file](../deepunetto_mm/version.py).', 'see a file.'),
        ('mixing.md', '[`a.py`](../setup.py), `b`, [`c`](plan.md)', '`a.py`, `b`, [`c`](plan.md)'),
        ('mixing.md', '[a](#here) [b](https://mkdocs.org)', '[a](#here) [b](https://mkdocs.org)'),
        ('CONTRIBUTING.md', '[a](docs/design.md)', '[a](design.md)'),
        ('projects/README.md', '[a](../docs/mixing.md)', '[a](../mixing.md)'),
        ('projects/README.md', '[b](own_parts/README.md)', '[b](own_parts/README.md)'),
        ('projects/own_parts/README.md', '[a](../../CONTRIBUTING.md#style)', '[a](../../CONTRIBUTING.md#style)'),
        ('plan.md', '```python\nf[a](b)\n```\n`g[a](b)`', '```python\nf[a](b)\n```\n`g[a](b)`'),
    ],
)
def test_links_are_those_of_the_site(page, text, expected):
    assert SITE['site_links'](text, page) == expected


def test_pages_from_outside_are_written_beside_those_of_docs(tmp_path):
    (tmp_path / 'site' / 'projects').mkdir(parents=True)
    (tmp_path / 'site' / 'projects' / 'old.md').touch()
    SITE['write_pages'](tmp_path / 'site')
    written = {path.relative_to(tmp_path / 'site').as_posix() for path in tmp_path.rglob('*.md')}
    assert written == {*SITE['outside_pages'](), *(path.name for path in (ROOT / 'docs').glob('*.md'))}
    assert not list(tmp_path.rglob('*.py'))
    assert '](projects/unet_decoder/README.md)' in (tmp_path / 'site' / 'mixing.md').read_text()


def test_roles_of_rest_become_code():
    html = '<p>A :class:<code>~mmcv.cnn.Scale</code> of :func:<code>make</code>.</p>\n<p>::</p>\n<pre>x</pre>'
    assert SITE['on_page_content'](html) == '<p>A <code>Scale</code> of <code>make</code>.</p>\n\n<pre>x</pre>'
