"""How the claims of LMI are measured: see `benchmarks/claims_lmi.py`."""
