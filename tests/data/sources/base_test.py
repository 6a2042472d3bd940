import inspect

import pytest

from tvdim_jax.data.sources import CaptionsFolder, NoisyCaptions, Scenes
from tvdim_jax.data.sources.base import Source
from tvdim_jax.data.sources.coco import CocoCaptions
from tvdim_jax.data.sources.mimic_cxr import MimicCxr

METHODS = [
    name
    for name, member in vars(Source).items()
    if inspect.isfunction(member) and name != "__init__"
]


@pytest.mark.parametrize("kind", [CaptionsFolder, CocoCaptions, MimicCxr, NoisyCaptions, Scenes])
@pytest.mark.parametrize("method", [name for name in METHODS if not name.startswith("_")])
def test_every_source_has_the_methods_with_their_arguments(kind, method):
    ours = inspect.signature(getattr(kind, method)).parameters
    wanted = inspect.signature(getattr(Source, method)).parameters
    assert {name: p.default for name, p in ours.items()} == {
        name: p.default for name, p in wanted.items()
    }
    assert "__len__" in vars(kind)
