"""The tests mirror the sources: x/y.py of the package, and of tools/ and demo/, has tests/x/test_y.py."""

# Two names of before, and a number.
WITHOUT_TEST = {'models/heads.py', 'models/necks.py', 'version.py'}
# Of several sources, of documents, or a second file about one source; those directly in tests/ are about the whole.
WITHOUT_SOURCE = {
    'apis/test_shipped_models.py',
    'datasets/test_picture_kinds.py',
    'deployment/test_deployment_page.py',
    'deployment/test_refused_exports.py',
    'guards/test_guard_pages.py',
    'models/segmentors/test_deepunetto_prediction.py',
    'models/segmentors/test_deepunetto_training.py',
    'models/segmentors/test_earlier_checkpoints.py',
    'tools/test_dist.py',
    'web/test_page.py',
}


def test_every_source_has_its_test_and_every_test_its_source(repository):
    def below(folder, pattern, root=''):
        paths = (repository / root / folder).rglob(pattern)
        return {path.relative_to(repository / root) for path in paths if '.mim' not in path.parts}

    package = {path.relative_to('deepunetto_mm') for path in below('deepunetto_mm', '*.py') if path.stem != '__init__'}
    commands = below('tools', '*.py') | below('demo', '*.py')
    wanted = {path.with_name(f'test_{path.name}').as_posix(): path.as_posix() for path in package | commands}
    there = {path.as_posix() for path in below('.', 'test_*.py', 'tests')}
    assert {wanted[test] for test in wanted.keys() - there} == WITHOUT_TEST
    assert {test for test in there - wanted.keys() if '/' in test} == WITHOUT_SOURCE
