"""A network prepared for inference: the same predictions, sooner."""

import copy
import logging
from types import SimpleNamespace
from typing import Any, Callable, Optional

import torch
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# The change of a logit, relative to the largest one, that rounding explains.
TOLERANCE = 1e-3


@torch.no_grad()
def prepared_for_inference(model: nn.Module, bf16: bool = False) -> nn.Module:
    """A copy of a segmentor in evaluation mode, with its batch norms folded into convolutions, and channels-last.

    Its logits are the same up to rounding. The copy is for prediction alone, and its state dict has other keys.

    Which batch norm follows which convolution is seen in one forward pass of noise, and not read off names or the order
    of attributes: a batch norm is folded if its input is the very tensor that a convolution returned. What that pass
    paints, and what it sees in a crop, is computed again afterwards. If that differs, the copy keeps its batch norms,
    with a warning: something else reads the output of a convolution, too.

    Args:
        model: A segmentor, or a model for test-time augmentation around one. Other models, and segmentors with an
            unpadded decode head, only get the memory format.
        bf16: Keep the weights of convolutions in bfloat16, for predictions under autocast of that type, which would
            cast them in every call. The predictions are the same.
    """
    folded = copy.deepcopy(model).eval()
    if isinstance(folded, BaseTTAModel):
        folded.module = prepared_for_inference(folded.module, bf16)
        return folded
    run = _probe(folded)
    if run is not None:
        expected = run()
        _fold(folded, run)
        if not all(_equal(a, b) for a, b in zip(expected, run())):
            print_log(
                f'{type(model).__name__}: the network computes something else when its batch norms are folded into its '
                'convolutions; they are kept, and it is slower',
                'current',
                logging.WARNING,
            )
            folded = copy.deepcopy(model).eval()
    if bf16:
        for module in folded.modules():
            if type(module) is nn.Conv2d:  # others may compute with their weights
                module.bfloat16()
    return folded.to(memory_format=torch.channels_last)


def _probe(model: Any) -> Optional[Callable[[], list[Tensor]]]:
    """What runs all parts of a segmentor once, on the same noise at each call, and returns what they make of it."""
    if not hasattr(model, 'decode_head') or getattr(model.decode_head, 'output_margin', False):
        return None
    device = next(model.parameters()).device
    inputs = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).to(device)

    def run() -> list[Tensor]:
        if not hasattr(model, 'paint_feats'):
            return [model(inputs, mode='tensor')]
        feats = model.extract_feat(inputs)
        outputs = list(model.paint_feats(feats).values())
        if not model.with_fine:
            return outputs
        # The same region at each call: which regions are found depends on the logits.
        certain = inputs.new_ones(1, len(model.taxonomy.groups), 64, 64)
        view = SimpleNamespace(inputs=inputs, feats=feats, maps=SimpleNamespace(group_probs=certain))
        one = torch.ones(1, dtype=torch.int64, device=device)
        region = InstanceData(ids=one, labels=one - 1, bboxes=inputs.new_tensor([[8, 8, 56, 56]]))
        looks = model.fine_branch.crop(view, [region], one.expand(1, 64, 64))
        return [*outputs, *looks, model.fine_branch.fine_head(looks)]

    return run


def _fold(model: nn.Module, run: Callable[[], Any]) -> None:
    """Fold the batch norms that ``run`` applies to the output of a convolution."""
    outputs: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensor is kept, or its id would be given to another one
    before: dict[nn.Module, set[Optional[nn.Module]]] = {}
    after: dict[nn.Module, set[nn.Module]] = {}

    def convolved(module: nn.Module, _: Any, output: Tensor) -> None:
        outputs[id(output)] = module, output

    def normalised(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        convolution = outputs[id(inputs[0])][0] if id(inputs[0]) in outputs else None
        before.setdefault(module, set()).add(convolution)
        if convolution is not None:
            after.setdefault(convolution, set()).add(module)

    handles = [m.register_forward_hook(convolved) for m in model.modules() if isinstance(m, nn.Conv2d)]
    handles += [m.register_forward_hook(normalised) for m in model.modules() if isinstance(m, _BatchNorm)]
    run()
    for handle in handles:
        handle.remove()
    pairs = {}
    for norm, convolutions in before.items():
        (convolution, *others) = convolutions
        fixed = isinstance(norm, _BatchNorm) and norm.track_running_stats and not norm.training
        if convolution is not None and not others and len(after[convolution]) == 1 and fixed:
            pairs[norm] = convolution
    for norm, convolution in pairs.items():
        _absorb(convolution, norm)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if child in pairs:
                # timm's batch norms contain the dropout and the activation that follow.
                rest = [getattr(child, part) for part in ('drop', 'act') if hasattr(child, part)]
                setattr(module, name, nn.Sequential(*rest))


def _absorb(convolution: Any, norm: Any) -> None:
    scale = (norm.running_var + norm.eps).rsqrt()
    shift = -norm.running_mean * scale
    if norm.affine:
        scale, shift = scale * norm.weight, shift * norm.weight + norm.bias
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    convolution.weight = nn.Parameter(convolution.weight * scale[:, None, None, None], requires_grad=False)
    convolution.bias = nn.Parameter(shift, requires_grad=False)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * a.abs().max())
