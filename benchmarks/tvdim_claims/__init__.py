"""How the claims of TVDIM are measured: see `benchmarks/claims_tvdim.py`."""
