"""What the losses cost, beside the forms that people use today: see `benchmarks/losses.py`."""
