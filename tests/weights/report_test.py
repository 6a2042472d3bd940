from tvdim_jax.weights.report import LoadReport


def test_a_few_lines_say_everything():
    new = {"pooler/kernel": "not in the file", "pooler/bias": "not in the file"}
    unused = dict.fromkeys(["a", "b", "c", "d"], "not asked for") | {"e": "no part of ours"}
    report = LoadReport({"norm/bias": 5, "norm/scale": 2000}, new, unused, ("cut",))
    assert str(report).split("\n") == [
        "loaded 2 arrays, 2,005 parameters",
        "new, as initialised (not in the file): pooler/kernel, pooler/bias",
        "left in the file (not asked for): a, b and 2 more",
        "left in the file (no part of ours): e",
        "remark: cut",
    ]
    assert str(LoadReport({}, {}, {}, ())) == "loaded 0 arrays, 0 parameters"
