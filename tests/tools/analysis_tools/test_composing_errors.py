import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from deepunetto_mm.structures import Taxonomy

# Composed: road 0, car 1, bus 2, person 3, rider 4; 5 is ignored.
ROADS = Taxonomy.from_dict(
    dict(
        classes=['road', 'vehicle', 'human'],
        groups=[
            dict(name='vehicle', members=['vehicle'], fine_classes=['car', 'bus']),
            dict(name='human', members=['human'], fine_classes=['person', 'rider']),
        ],
    )
)


@pytest.fixture
def tool(load_module):
    return load_module('tools/analysis_tools/composing_errors.py')


def test_each_step_corrects_one_kind_of_error(tool):
    maps = dict(
        pred_sem_seg=[[1, 1, 1, 0, 1, 2]],
        pred_region_map=[[3, 3, 3, 0, 0, 0]],
        pred_fine_seg=[[2, 2, 2, 0, 0, 0]],  # a bus, and small regions that became road
    )
    sample = SegDataSample()
    sample.set_data({name: PixelData(data=torch.tensor([values])) for name, values in maps.items()})
    gt = np.array([[1, 1, 2, 1, 2, 5]])  # two pixels of a car and one of a bus are one region
    steps = tool.correct_names(sample, gt, ROADS)
    assert [step.tolist() for step in steps] == [
        [[2, 2, 2, 0, 0, 0]],
        [[1, 1, 1, 0, 0, 0]],
        [[1, 1, 2, 0, 0, 0]],
        [[1, 1, 2, 0, 2, 0]],  # what the segmentation calls road stays, and so does what is ignored
    ]


def test_a_region_that_is_no_object_keeps_its_name(tool):
    sample = SegDataSample()
    maps = dict(pred_sem_seg=[[1, 1]], pred_region_map=[[1, 1]], pred_fine_seg=[[2, 2]])
    sample.set_data({name: PixelData(data=torch.tensor([values])) for name, values in maps.items()})
    for step in tool.correct_names(sample, np.array([[0, 3]]), ROADS):
        assert step.tolist() == [[2, 2]]


@pytest.mark.parametrize('checkpoint', ['iter_1.pth', ''], ids=['file', 'work directory'])
def test_data_without_a_composed_map_is_refused(in_process, config, capsys, tmp_path, checkpoint):
    from deepunetto_mm.registry import MODELS

    model = MODELS.build(dict(Config.fromfile(config).model, _scope_='mmseg'))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'iter_1.pth')
    with pytest.raises(SystemExit):
        in_process('tools/analysis_tools/composing_errors.py')(config, tmp_path / checkpoint)
    assert 'no annotated composed map; load it by deepunetto_mm.LoadComposedAnnotations' in capsys.readouterr().err
