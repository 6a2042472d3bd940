"""What studies share: arms trained alike over several seeds, one JSON record each, and tables."""
