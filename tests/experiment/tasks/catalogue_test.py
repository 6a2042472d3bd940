from tvdim_jax import config
from tvdim_jax.experiment.tasks import TASK_OF


def test_every_task_of_the_config_is_there_and_says_what_it_does():
    assert tuple(TASK_OF) == config.TASKS
    for task in TASK_OF.values():
        assert 20 < len(task.does) < 80
        assert "\n" not in task.does
        assert task.test
