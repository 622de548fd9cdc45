import json

import pytest
import torch

from deepunetto_mm.models.fine.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.structures import Taxonomy, TaxonomyError

DOGS = Taxonomy.from_dict(
    dict(classes=['grass', 'dog'], groups=[dict(name='dog', members=['dog'], fine_classes=['poodle', 'bøxer'])])
)
CATS = Taxonomy.from_dict(
    dict(classes=['grass', 'cat'], groups=[dict(name='cat', members=['cat'], fine_classes=['tabby'])])
)


def test_the_state_is_the_taxonomy_as_json():
    state = TaxonomyStamp(DOGS).state_dict()
    assert set(state) == {'code'}
    assert state['code'].dtype == torch.int64  # whose mean over processes is exact
    assert Taxonomy.from_dict(json.loads(bytes(state['code'].tolist()))) == DOGS


def test_the_same_taxonomy_loads_and_another_does_not():
    TaxonomyStamp(DOGS).load_state_dict(TaxonomyStamp(DOGS).state_dict())
    with pytest.raises(TaxonomyError, match=r"classes: without \['dog'\], with \['cat'\]"):
        TaxonomyStamp(CATS).load_state_dict(TaxonomyStamp(DOGS).state_dict())


def test_the_same_taxonomy_in_another_spelling_loads():
    stamp = TaxonomyStamp(DOGS)
    own = stamp.code.clone()
    stamp.load_state_dict(dict(code=torch.tensor(list(json.dumps(DOGS.to_dict(), indent=1).encode()))))
    assert torch.equal(stamp.code, own)


def test_checkpoints_without_a_stamp_load():
    TaxonomyStamp(DOGS).load_state_dict({}, strict=False)


@pytest.mark.parametrize('code', [[-1], [300], list(b'{'), list(b'[]'), list(b'[' * 100_000), [[1]], 5])
def test_a_stamp_that_cannot_be_read(code):
    state = dict(code=torch.tensor(code))
    with pytest.raises(TaxonomyError, match='the checkpoint holds no taxonomy where one should be: '):
        TaxonomyStamp(DOGS).load_state_dict(state)
