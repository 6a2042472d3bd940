"""The sets: scenes with one sentence per object, and photographs with captions."""

from ml_collections import ConfigDict

from tvdim_jax.data.sources.scenes import Scenes
from tvdim_jax.experiment.data import Splits, make_splits


class SceneSentences(Scenes):
    """Scenes whose captions are one sentence for each object of `boxes`, in its order."""

    def captions(self, index: int) -> list[str]:
        """Such as "there is a dotted blue square"."""
        return [f"there is a {name}" for name, _ in self.boxes(index)]


def open_splits(config: ConfigDict) -> Splits:
    """The two parts of the set that the config names."""
    if config.data.source != "scenes":
        return make_splits(config)
    size = config.data.image_size
    return Splits(
        SceneSentences(config.data.num_examples, seed=0, image_size=size),
        SceneSentences(config.eval.num_test_examples, seed=1, image_size=size),
    )
