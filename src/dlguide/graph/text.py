"""A graph as lines of text and as a Mermaid flowchart."""

from __future__ import annotations

from dlguide.graph.model import Edge, Graph, Node, Saved, Shape


def to_text(graph: Graph) -> str:
    """Write a graph as a list: one line for each node, in the order in which backward runs the operations.

    `<-` is followed by what a node's gradient goes to: the numbers of operations, the names of leaves, `-` for an
    input that needs no gradient; `3[1]` is output 1 of operation 3. A node that several others use has one line and is
    referred to by number. After `|` stand the tensors it keeps for backward.

    Args:
        graph: what `trace` returned.

    Returns:
        The lines, without a newline at the end.

    Example:
        ```python
        import torch
        from dlguide.graph import to_text, trace

        x = torch.ones(2, requires_grad=True)
        h = x.exp()
        print(to_text(trace((h * h).sum(), names={"x": x, "h": h})))
        ```

        ``` {.text .output}
        result ()  <- 1
        1  SumBackward0 ()  <- 2
        2  MulBackward0 (2,)  <- 3, 3  | keeps other (2,) = h, self (2,) = h
        3  ExpBackward0 (2,), makes h  <- x  | keeps result (2,) = h
        leaf x (2,)
        ```
    """
    ways: dict[int, dict[int, Edge]] = {}
    for edge in graph.edges:
        ways.setdefault(edge.source, {})[edge.slot] = edge
    marks = _marks(graph)
    width = max((len(marks[node.index]) for node in graph.operations), default=1)
    lines = []
    for node in (*graph.results, *graph.operations, *graph.leaves):
        if node.kind == "leaf":
            lines.append(f"leaf {marks[node.index]} {shapes_of(node)}")
            continue
        inputs = [_way(ways.get(node.index, {}).get(slot), marks) for slot in range(node.arity)]
        head = node.name if node.kind == "result" else f"{marks[node.index]:>{width}}  {node.name}"
        makes = f", makes {node.label}" if node.label else ""
        arrow = f"  <- {', '.join(inputs)}" if inputs else ""
        kept = f"  | keeps {', '.join(map(saved_text, node.saved))}" if node.saved else ""
        lines.append(f"{head} {shapes_of(node)}{makes}{arrow}{kept}")
    return "\n".join(lines)


def to_mermaid(graph: Graph) -> str:
    """Write a graph as a Mermaid flowchart, names and shapes escaped.

    Results are stadiums, operations rectangles and leaves hexagons; arrows show the way the gradient travels.

    Args:
        graph: what `trace` returned.

    Returns:
        The text of the diagram, for a ```` ```mermaid ```` fence.

    Example:
        ```python
        import torch
        from dlguide.graph import to_mermaid, trace

        w = torch.ones(2, requires_grad=True)
        print(to_mermaid(trace(w * 3, names={"w": w})))
        ```

        ``` {.text .output}
        flowchart TD
            n0(["result<br/>(2,)"])
            n1["MulBackward0<br/>(2,)"]
            n2{{"w<br/>(2,)"}}
            n0 --> n1
            n1 --> n2
        ```

    References:
        - [Flowcharts](https://mermaid.js.org/syntax/flowchart.html)
    """
    around = {"result": ("([", "])"), "operation": ("[", "]"), "leaf": ("{{", "}}")}
    lines = ["flowchart TD"]
    for node in graph.nodes:
        start, end = around[node.kind]
        text = "<br/>".join(_escape(line) for line in (caption(node), shapes_of(node)))
        lines.append(f'    n{node.index}{start}"{text}"{end}')
    lines += [f"    n{edge.source} --> n{edge.target}" for edge in graph.edges]
    return "\n".join(lines)


def caption(node: Node) -> str:
    """The first line of a node's box: the name of a leaf or result, the function of an operation and what it makes."""
    if node.kind == "leaf":
        return node.label or node.name
    return f"{node.name}: {node.label}" if node.label else node.name


def shapes_of(node: Node) -> str:
    """The shapes of a node's used outputs, as text."""
    return " ".join(_shape(shape) for shape in node.shapes)


def saved_text(saved: Saved) -> str:
    """A saved tensor as text: its name, and its shape or what became of it."""
    rest = saved.state if saved.shape is None else _shape(saved.shape)
    return f"{saved.name} {rest} = {saved.of}" if saved.of else f"{saved.name} {rest}"


def _shape(shape: Shape) -> str:
    return str(tuple(int(size) for size in shape))


def _marks(graph: Graph) -> dict[int, str]:
    """How lines refer to a node: operations by number, leaves by name, or `#1`, `#2`, … where they have none."""
    marks = {node.index: str(i) for i, node in enumerate(graph.operations, 1)}
    for i, leaf in enumerate(graph.leaves, 1):
        marks[leaf.index] = leaf.label or f"#{i}"
    return marks


def _way(edge: Edge | None, marks: dict[int, str]) -> str:
    if edge is None:
        return "-"
    return f"{marks[edge.target]}[{edge.output}]" if edge.output else marks[edge.target]


def _escape(text: str) -> str:
    """Mermaid's own entities for everything that could end the label or mean something in it."""
    return "".join(c if c.isalnum() or c in " ()[],.:_-'" else f"#{ord(c)};" for c in text)
