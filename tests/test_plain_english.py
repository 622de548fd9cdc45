"""Words that slow readers down stay out of the code and the documents: CONTRIBUTING.md, 'Style'."""

import re

import pytest

BANNED = re.compile(
    r'\b(?:[Mm]end(?:s|ed|ing)?|tells? apart|told|lest|thereby|wherein|[Ll]ikewise|anew|[Ww]ant of|[Ss]tands? for|'
    r'(?<!there )is none|be (?:they|it) |hand(?:s|ed)? on|at hand|manyeth|of equals|so many|whoever|[Pp]art objects)\b'
)


@pytest.mark.parametrize(
    'pattern',
    [
        '*.md',
        'docs/**/*.md',
        'projects/**/*.*',
        'deepunetto_mm/**/*.py',
        'configs/**/*.py',
        'tools/**/*.*',
        'demo/*.py',
        'conftest.py',
        'tests/**/conftest.py',
    ],
)
def test_no_such_words(repository, pattern):
    found = [
        f'{path.relative_to(repository)}:{number}: {match.group()}'
        for path in sorted(repository.glob(pattern))
        if path.suffix in ('.md', '.py', '.sh')
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
        for match in BANNED.finditer(line)
    ]
    assert not found, 'say it in plain words (CONTRIBUTING.md):\n' + '\n'.join(found)
