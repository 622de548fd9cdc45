import pytest
from mmengine.registry import Registry

from deepunetto_mm import registry as rooms
from deepunetto_mm.registry import LazyRegistry


@pytest.fixture
def things(monkeypatch):
    """A registry of two rooms, and the list of those that were imported."""
    things = LazyRegistry('thing', Registry('root thing'), ['light', 'heavy'])
    imported = []

    def enter(room: str) -> None:
        imported.append(room)
        kinds = {'deepunetto_mm.light': ('Lamp',), 'deepunetto_mm.heavy': ('Lamp', 'Anvil')}[room]
        for kind in kinds:
            things._register_module(type(kind, (), {}), module_name=kind, force=True)

    monkeypatch.setattr(rooms, 'import_module', enter)
    return things, imported


@pytest.mark.parametrize('key', ['Lamp', 'deepunetto_mm.Lamp'])
def test_rooms_are_imported_until_the_type_is_found(things, key):
    registry, imported = things
    assert registry.get(key).__name__ == 'Lamp'
    assert imported == ['deepunetto_mm.light']
    assert registry.get('deepunetto_mm.Anvil').__name__ == 'Anvil'
    # The first room is asked again, because Python remembers what is imported.
    assert imported == ['deepunetto_mm.light', 'deepunetto_mm.light', 'deepunetto_mm.heavy']


def test_a_type_of_nobody_is_not_found(things):
    registry, imported = things
    assert registry.get('Feather') is None
    assert imported == ['deepunetto_mm.light', 'deepunetto_mm.heavy']


def test_a_type_of_another_scope_imports_nothing_of_ours(things):
    registry, imported = things
    other = Registry('thing', parent=registry.parent, scope='elsewhere')
    other._register_module(dict, module_name='Box')
    assert registry.get('elsewhere.Box') is dict
    assert imported == []
