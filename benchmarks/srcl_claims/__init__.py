"""How the claims of SRCL are measured: see `benchmarks/claims_srcl.py`."""
