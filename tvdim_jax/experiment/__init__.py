"""The composition root: config in; data, model, training and evaluation out."""
