"""Training: state, step, loop, optimizer, sharding, checkpoints; it knows none of our methods."""
