"""Walk the autograd graph behind a result: from `grad_fn` along `next_functions` to the leaves."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from torch import Tensor, nn

from dlguide.graph.model import Edge, Graph, Kind, Node, NoGraphError, Saved, Shape
from dlguide.graph.reason import why_no_graph


def trace(result: object, names: nn.Module | Mapping[str, Tensor] | None = None) -> Graph:
    r"""Walk the graph that autograd recorded behind a result.

    Each operation that made part of the result left a backward function; `next_functions` points from it to the
    functions of its inputs and, for a leaf that requires a gradient, to its `AccumulateGrad`. The walk follows these
    pointers, each node once, without recursion. It computes nothing and leaves the graph as it is.

    Args:
        result: a tensor of any shape, or tuples, lists and mappings of tensors. Tensors without a graph among others
            that have one are listed in `Graph.without`.
        names: an `nn.Module`, whose parameters and buffers give the names, or a mapping from name to tensor.

    Returns:
        The graph, with the results first, then the other nodes in the order in which backward runs them.

    Raises:
        NoGraphError: if no tensor of the result has a graph.

    Example:
        ```python
        import torch
        from dlguide.graph import to_text, trace

        w = torch.tensor(2.0, requires_grad=True)
        b = torch.tensor(1.0, requires_grad=True)
        x = torch.tensor(3.0)
        print(to_text(trace(w * x + b, names={"w": w, "b": b, "x": x})))
        ```

        ``` {.text .output}
        result ()  <- 1
        1  AddBackward0 ()  <- 2, b
        2  MulBackward0 ()  <- w, -  | keeps other () = x
        leaf b ()
        leaf w ()
        ```

    References:
        - [How autograd encodes the history](https://docs.pytorch.org/docs/stable/notes/autograd.html#how-autograd-encodes-the-history)
    """
    named = _named(names)
    known = {id(tensor): name for name, tensor in named.items()}
    made: dict[Any, str] = {
        (tensor.grad_fn, tensor.output_nr): name for name, tensor in named.items() if tensor.grad_fn is not None
    }

    def name_of(tensor: Tensor) -> str:
        return known.get(id(tensor)) or made.get((tensor.grad_fn, tensor.output_nr), "")

    results, without = [], []
    for name, value in _flatten(result, "result"):
        reason = why_no_graph(value, "the result" if name == "result" else name)
        if reason is None:
            results.append((name, value))
        else:
            without.append(reason)
    if not results:
        raise NoGraphError(without[0] if without else "There is no graph because the result holds no tensor; pass one.")

    functions = _in_backward_order([tensor.grad_fn for _, tensor in results])  # this list keeps the functions alive,
    index = {function: i for i, function in enumerate(functions, len(results))}  # so that each stays one Python object
    edges = [Edge(i, index[tensor.grad_fn], 0, tensor.output_nr) for i, (_, tensor) in enumerate(results)]
    for function in functions:
        for slot, (target, output) in enumerate(function.next_functions):
            if target is not None:
                edges.append(Edge(index[function], index[target], slot, output))

    outputs: dict[int, set[int]] = {}
    for edge in edges:
        outputs.setdefault(edge.target, set()).add(edge.output)
    nodes = [Node(i, "result", name, "", (tuple(t.shape),), 1, ()) for i, (name, t) in enumerate(results)]
    storages: dict[int, int] = {}  # bytes by storage
    for i, function in enumerate(functions, len(results)):
        kind: Kind = "operation"
        label = ", ".join(made[function, output] for output in sorted(outputs[i]) if (function, output) in made)
        if (leaf := _leaf(function)) is not None:
            kind, label = "leaf", known.get(id(leaf), "")
        shapes = tuple(_shape(function, leaf, output) for output in sorted(outputs[i]))
        saved = tuple(_saved(function, name_of, storages))
        nodes.append(Node(i, kind, _name(function), label, shapes, len(function.next_functions), saved))
    for function in functions:
        if (leaf := _leaf(function)) is not None:
            storages.pop(_storage(leaf)[0], None)
    return Graph(tuple(nodes), tuple(edges), tuple(without), sum(storages.values()))


def _named(names: nn.Module | Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    if names is None:
        return {}
    if isinstance(names, nn.Module):
        return {**dict(names.named_parameters()), **dict(names.named_buffers())}
    for name, value in names.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"names must map names to tensors, but {name!r} maps to a {type(value).__name__}; "
                "pass a module by itself: names=model"
            )
    return dict(names)


def _flatten(value: object, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, f"{name}[{key!r}]")
    elif isinstance(value, tuple | list):
        for i, item in enumerate(value):
            yield from _flatten(item, f"{name}[{i}]")
    else:
        yield name, value


def _in_backward_order(roots: list[Any]) -> list[Any]:
    """All functions reachable from the roots, in the engine's order: of those ready, the youngest first."""
    waiting = dict.fromkeys(roots, 0)  # function -> users not yet run; keys in order of discovery
    stack = list(waiting)
    while stack:
        for target, _ in stack.pop().next_functions:
            if target is None:
                continue
            if target not in waiting:
                waiting[target] = 0
                stack.append(target)
            waiting[target] += 1
    rank = {function: (-function._sequence_nr(), i) for i, function in enumerate(waiting)}
    ready = [(*rank[function], function) for function, users in waiting.items() if users == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        function = heapq.heappop(ready)[-1]
        order.append(function)
        for target, _ in function.next_functions:
            if target is not None:
                waiting[target] -= 1
                if waiting[target] == 0:
                    heapq.heappush(ready, (*rank[target], target))
    return order


def _name(function: Any) -> str:
    return str(function.name()).removeprefix("torch::autograd::")


def _leaf(function: Any) -> Tensor | None:
    return function.variable if _name(function) == "AccumulateGrad" else None


def _shape(function: Any, leaf: Tensor | None, output: int) -> Shape:
    return tuple(leaf.shape) if leaf is not None else tuple(function._input_metadata[output].shape)


@cache
def _slots(kind: type) -> tuple[str, ...]:
    """The names under which a class of backward functions saves tensors."""
    return tuple(name.removeprefix("_raw") for name in dir(kind) if name.startswith("_raw_saved_"))


def _saved(function: Any, name_of: Callable[[Tensor], str], storages: dict[int, int]) -> Iterator[Saved]:
    for slot in _slots(function.__class__):
        name = slot.removeprefix("_saved_")
        try:
            raw = getattr(function, "_raw" + slot)
            # Unpacking runs the hooks of checkpointing and offloading, so packed tensors are left alone.
            if any(getattr(item, "unpack_hook", None) for item in (raw if isinstance(raw, tuple) else (raw,))):
                yield Saved(name, "packed")
                continue
            value = getattr(function, "saved_tensors" if slot == "_saved_tensors" else slot)
        except RuntimeError as error:
            yield Saved(name, "changed" if "inplace" in str(error) else "freed")
            continue
        several = isinstance(value, tuple | list)
        for i, tensor in enumerate(value if several else (value,)):
            if isinstance(tensor, Tensor):
                key, size = _storage(tensor)
                storages[key] = size
                full = f"{name}[{i}]" if several else name
                yield Saved(full, "kept", tuple(tensor.shape), tensor.dtype, name_of(tensor))


def _storage(tensor: Tensor) -> tuple[int, int]:
    """A key for the memory under a tensor, and its size in bytes."""
    try:
        storage = tensor.untyped_storage()
        return storage._cdata, storage.nbytes()
    except (NotImplementedError, RuntimeError):  # sparse tensors and the like have no single storage
        return id(tensor), tensor.numel() * tensor.element_size()
