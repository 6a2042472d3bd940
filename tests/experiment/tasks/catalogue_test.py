from tvdim_jax import config
from tvdim_jax.experiment.tasks import TASK_OF


def test_every_task_of_the_config_is_there_and_says_what_it_does():
    assert tuple(TASK_OF) == config.TASKS
    for name, task in TASK_OF.items():
        assert 20 < len(task.does) < 80
        assert "\n" not in task.does
        assert task.test or task.train or name in ("vqa", "nlvr")  # which read their own images
