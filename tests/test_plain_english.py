"""Words that slow readers down stay out of the code and the documents: CONTRIBUTING.md, 'Style'."""

import re

import pytest

BANNED = re.compile(
    r'\b(?:mend(?:s|ed|ing)?|tells? apart|told|lest|thereby|wherein|likewise|anew|want of|stands? for|is none|'
    r'be (?:they|it) |hand(?:s|ed)? on\b|at hand|manyeth|of equals|(?:by|of) (?:itself|its own) accord)\b',
    re.IGNORECASE,
)


@pytest.mark.parametrize('pattern', ['*.md', 'docs/**/*.md', 'projects/**/*.md'])
def test_no_such_words(repository, pattern):
    found = [
        f'{path.relative_to(repository)}:{number}: {match.group()}'
        for path in sorted(repository.glob(pattern))
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1)
        for match in BANNED.finditer(line)
    ]
    assert not found, '\n'.join(found)
