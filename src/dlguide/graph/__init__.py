"""The autograd graph behind a result: walk it with `trace`, draw it with `to_text`, `to_mermaid` or `to_svg`.

The graph that PyTorch records holds backward functions, not tensors: one for each operation, and one AccumulateGrad
for each leaf that will receive a gradient. Arrows show the way the gradient travels: from the result to the leaves.
"""

from dlguide.graph.model import Edge, Graph, Node, NoGraphError, Saved
from dlguide.graph.reason import why_no_graph
from dlguide.graph.svg import to_svg
from dlguide.graph.text import to_mermaid, to_text
from dlguide.graph.walk import trace

__all__ = ["Edge", "Graph", "NoGraphError", "Node", "Saved", "to_mermaid", "to_svg", "to_text", "trace", "why_no_graph"]
