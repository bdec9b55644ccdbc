"""Layers with parameters or state, from scratch, each able to take over the weights of PyTorch's own."""
