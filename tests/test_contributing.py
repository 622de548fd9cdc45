"""The worked example of CONTRIBUTING.md does what it says."""

import re


def test_the_example_component_passes_its_example_test(repository):
    text = (repository / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    component, test, config = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    exec(compile(component, 'the component', 'exec'), {'__name__': 'hidden_layer_head'})
    tests = {'__name__': 'test_hidden_layer_head'}
    exec(compile(test, 'its test', 'exec'), tests)
    called = [tests[name]() for name in tests if name.startswith('test_')]
    assert len(called) == 2
    assert "type='deepunetto_mm.HiddenLayerHead'" in config
