"""How mutual information is estimated by training a critic: see `benchmarks/mi_estimation.py`."""
