"""Functions on tensors, each forward and backward from scratch: activations, losses, layers without their state."""
