"""The mathematics of training and sampling: floats and tensors in, floats and tensors out."""
