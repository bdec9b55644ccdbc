"""What a walk finds: saved tensors, nodes, edges and the graph that holds them, none of which can be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Kind = Literal["result", "operation", "leaf"]
State = Literal["kept", "freed", "changed", "packed"]
Shape = tuple[int, ...]


class NoGraphError(ValueError):
    """There is no autograd graph to walk; the message says why and how to mend it.

    Example:
        ```python
        import torch
        from dlguide.graph import NoGraphError, trace

        try:
            trace(torch.tensor(1.0, requires_grad=True))
        except NoGraphError as error:
            print(str(error).split(";")[0])
        ```

        ``` {.text .output}
        There is no graph behind the result because it is a leaf: no operation made it
        ```
    """


@dataclass(frozen=True, slots=True)
class Saved:
    """A tensor that an operation keeps because its backward function needs it.

    Attributes:
        name: what PyTorch calls it: `self`, `other`, `result`, `mat1`, …
        state: `kept`; `freed` by a backward; `changed` in place since, so that backward will raise; or `packed` by a
            hook (checkpointing, offloading), which the walk leaves alone because unpacking may compute.
        shape: its shape, `None` unless it is kept.
        dtype: its dtype, `None` unless it is kept.
        of: the name of the tensor it is, where `trace` was given that name.

    Example:
        ```python
        import torch
        from dlguide.graph import trace

        x = torch.ones(2, requires_grad=True)
        print(trace(x.exp()).operations[0].saved[0].name)
        ```

        ``` {.text .output}
        result
        ```
    """

    name: str
    state: State
    shape: Shape | None = None
    dtype: torch.dtype | None = None
    of: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: a result, the backward function of an operation, or the AccumulateGrad of a leaf.

    Attributes:
        index: its place in `Graph.nodes`.
        kind: `result`, `operation` or `leaf`.
        name: the class of the backward function (`MulBackward0`, `AccumulateGrad`), or what the result is called.
        label: the name of the leaf, or of the tensor this operation made, where `trace` was given one.
        shapes: the shapes of the outputs that the graph uses; one for a leaf and for a result.
        arity: how many inputs PyTorch lists for it; those without an edge need no gradient.
        saved: the tensors it keeps.

    Example:
        ```python
        import torch
        from dlguide.graph import trace

        w = torch.ones(2, requires_grad=True)
        print([node.kind for node in trace(w * 3).nodes])
        ```

        ``` {.text .output}
        ['result', 'operation', 'leaf']
        ```
    """

    index: int
    kind: Kind
    name: str
    label: str
    shapes: tuple[Shape, ...]
    arity: int
    saved: tuple[Saved, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A way the gradient travels: from a node to one that made an input of it.

    Attributes:
        source: index of the node nearer to the result.
        target: index of the node nearer to the leaves.
        slot: which input of the source it is, counted from 0.
        output: which output of the target it is, counted from 0.

    Example:
        ```python
        import torch
        from dlguide.graph import trace

        w = torch.ones(2, requires_grad=True)
        print([(edge.source, edge.target) for edge in trace(w * w).edges])
        ```

        ``` {.text .output}
        [(0, 1), (1, 2), (1, 2)]
        ```
    """

    source: int
    target: int
    slot: int
    output: int


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph behind a result, as it was when it was walked.

    Attributes:
        nodes: the results, then the other nodes in the order in which backward runs them.
        edges: sorted by source, then slot.
        without: for each tensor of the result that has no graph, the sentence that says why.
        kept_bytes: bytes of memory that the saved tensors hold, each storage counted once, the leaves' own not counted.

    Example:
        ```python
        import torch
        from dlguide.graph import trace

        w = torch.ones(2, requires_grad=True)
        graph = trace((w * w).sum(), names={"w": w})
        print(len(graph.operations), [leaf.label for leaf in graph.leaves], graph.freed)
        ```

        ``` {.text .output}
        2 ['w'] False
        ```
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    without: tuple[str, ...]
    kept_bytes: int

    @property
    def results(self) -> tuple[Node, ...]:
        """The tensors that were walked from."""
        return tuple(node for node in self.nodes if node.kind == "result")

    @property
    def operations(self) -> tuple[Node, ...]:
        """The backward functions."""
        return tuple(node for node in self.nodes if node.kind == "operation")

    @property
    def leaves(self) -> tuple[Node, ...]:
        """The AccumulateGrad nodes: one for each leaf tensor that will receive a gradient."""
        return tuple(node for node in self.nodes if node.kind == "leaf")

    @property
    def freed(self) -> bool:
        """Whether a backward has freed any saved tensor."""
        return any(saved.state == "freed" for node in self.nodes for saved in node.saved)
