"""The worked example of CONTRIBUTING.md is that of projects/example_project, whose own test runs it."""

import re


def test_the_example_is_the_projects(repository):
    text = (repository / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    component, test, config = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    folder = repository / 'projects' / 'example_project'
    assert component == (folder / 'hidden_layer_head.py').read_text(encoding='utf-8')
    imports, functions = test.split('\n\nTAXONOMY', 1)
    of_project = (folder / 'test_hidden_layer_head.py').read_text(encoding='utf-8')
    assert f'\n\nTAXONOMY{functions}' in of_project
    assert imports in of_project
    base, model = config.splitlines()
    project = (folder / 'deepunetto_shapes_hidden-layer.py').read_text(encoding='utf-8')
    assert base.replace("'./", "'../../configs/") in project
    assert model in project
