"""The taxonomy inside a checkpoint."""

import json
from typing import Any

import torch
from torch import nn

from deepunetto_mm.structures import Taxonomy, TaxonomyError


class TaxonomyStamp(nn.Module):
    """A part of a model that does nothing but carry its taxonomy into checkpoints, and compare it when one is loaded.

    It is a buffer of numbers, the bytes of JSON, since mmengine's checkpoints carry parameters and buffers only:
    ``get_extra_state`` is left out of its state dicts. Checkpoints without a stamp load as they would otherwise.

    Args:
        taxonomy: The model's taxonomy.

    Raises:
        TaxonomyError: On loading a checkpoint of another taxonomy, in which case the message says what differs, or of
            one that cannot be read.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        super().__init__()
        self.taxonomy = taxonomy
        code = json.dumps(taxonomy.to_dict(), sort_keys=True).encode()
        # 64 bits: mmengine's SyncBuffersHook averages buffers over the processes, and sums of bytes would overflow.
        self.register_buffer('code', torch.tensor(list(code), dtype=torch.int64))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        code = state_dict.get(f'{prefix}code')
        if code is not None:
            try:
                trained = Taxonomy.from_dict(json.loads(bytes(code.cpu().tolist())))
            except (TypeError, ValueError, RecursionError) as error:
                raise TaxonomyError(f'the checkpoint holds no taxonomy where one should be: {error}') from error
            difference = trained.difference(self.taxonomy)
            if difference:
                # Raised, not collected: mmengine would only warn, and the labels would silently mean something else.
                raise TaxonomyError(
                    f'the checkpoint was trained with another taxonomy than the config has: {difference}. To start '
                    'from weights of its parts alone, give the parts '
                    "init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.') instead"
                )
            # The same taxonomy may be spelt otherwise, in another number of bytes.
            state_dict[f'{prefix}code'] = self.code
        super()._load_from_state_dict(state_dict, prefix, *args)
