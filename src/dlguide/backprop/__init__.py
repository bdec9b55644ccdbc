"""Backpropagation by hand: a network of any depth, any activations and any loss, as a list of named steps.

Autograd has no part in it. `backprop` does the arithmetic of the chain rule; `check` compares what comes out with
autograd and with finite differences. One sample is a vector; a batch is a matrix with one sample in each row.
"""

from dlguide.backprop.compare import Report, check
from dlguide.backprop.figure import draw_network
from dlguide.backprop.network import Layer, backprop
from dlguide.backprop.rules import ACTIVATIONS, LOSSES, Activation, Loss
from dlguide.backprop.text import plain, tex
from dlguide.backprop.trace import Step, Trace

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Activation",
    "Layer",
    "Loss",
    "Report",
    "Step",
    "Trace",
    "backprop",
    "check",
    "draw_network",
    "plain",
    "tex",
]
