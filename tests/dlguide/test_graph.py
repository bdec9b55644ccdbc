"""dlguide.graph against hand-known graphs, a naive walk, the engine's own order and random expressions."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from functools import partial
from itertools import combinations
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint
from torchvision.models import resnet18

from dlguide.graph import NoGraphError, to_mermaid, to_svg, to_text, trace, why_no_graph
from dlguide.graph.layout import place

SVG = "{http://www.w3.org/2000/svg}"


def leaf(*shape, **options):
    return torch.ones(*shape, requires_grad=True, **options)


@pytest.fixture(scope="module")
def resnet():
    """A real network's result, with its model: some hundred nodes, shared nodes, batch norms."""
    torch.manual_seed(0)
    model = resnet18(weights=None)
    return model, model(torch.randn(2, 3, 32, 32))


def parse(svg: str) -> Any:
    """The SVG as XML: fails unless it is well formed."""
    return ET.fromstring(svg)


def naive(function, seen):
    """The functions reachable from one, by recursion: another way than the package's."""
    if function is not None and function not in seen:
        seen.append(function)
        for target, _ in function.next_functions:
            naive(target, seen)
    return seen


def pairs(graph):
    """Edges as pairs of readable names."""
    names = [node.label or node.name for node in graph.nodes]
    return [(names[edge.source], names[edge.target]) for edge in graph.edges]


# Hand-known graphs


def test_a_line():
    w, b, x = leaf(()), leaf(()), torch.tensor(3.0)
    graph = trace(w * x + b, names={"w": w, "b": b, "x": x})
    assert [node.name for node in graph.operations] == ["AddBackward0", "MulBackward0"]
    assert sorted(pairs(graph)) == [
        ("AddBackward0", "MulBackward0"),
        ("AddBackward0", "b"),
        ("MulBackward0", "w"),
        ("result", "AddBackward0"),
    ]
    multiplication = graph.operations[1]
    assert multiplication.arity == 2  # x is an input without an edge
    assert [(saved.name, saved.shape, saved.of) for saved in multiplication.saved] == [("other", (), "x")]
    assert graph.kept_bytes == 4  # x, one float32


def test_a_shared_subexpression_is_one_node():
    x = leaf(2)
    h = x.exp()
    graph = trace((h * h).sum(), names={"x": x, "h": h})
    assert [node.name for node in graph.operations] == ["SumBackward0", "MulBackward0", "ExpBackward0"]
    assert pairs(graph).count(("MulBackward0", "h")) == 2
    assert graph.operations[2].label == "h"
    assert graph.kept_bytes == 8  # h is kept three times, in one memory
    assert to_text(graph).count("ExpBackward0") == 1


def test_in_place_operations_and_what_they_spoil():
    x = leaf(3)
    h = x.exp()
    h += 1
    graph = trace(h)
    assert [node.name for node in graph.operations] == ["AddBackward0", "ExpBackward0"]
    assert [saved.state for saved in graph.operations[1].saved] == ["changed"]
    assert "keeps result changed" in to_text(graph)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


def test_writing_into_a_view_puts_copy_slices_into_the_base():
    base = leaf(3).clone()
    view = base[1:]
    view.mul_(2)
    assert [node.name for node in trace(base).operations] == ["CopySlices", "CloneBackward0"]
    assert [node.name for node in trace(view).operations][-2:] == ["CopySlices", "CloneBackward0"]


class Cube(torch.autograd.Function):
    """x^3, saving x and x^2."""

    @staticmethod
    def forward(ctx, x):
        square = x * x
        ctx.save_for_backward(x, square)
        return x * square

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[1] * g


def test_a_custom_function_shows_its_name_and_what_it_saves():
    x = leaf(2, 3, dtype=torch.float64)
    graph = trace(Cube.apply(x), names={"x": x})
    (node,) = graph.operations
    assert node.name == "CubeBackward"
    assert [(s.name, s.shape, s.dtype, s.of) for s in node.saved] == [
        ("tensors[0]", (2, 3), torch.float64, "x"),
        ("tensors[1]", (2, 3), torch.float64, ""),
    ]
    y = Cube.apply(x)
    y.sum().backward()
    assert [(s.name, s.state) for s in trace(y).operations[0].saved] == [("tensors", "freed")]


def test_several_outputs_and_lists_of_saved_tensors():
    x = leaf(2, 3)
    first, second = x.unbind(0)
    graph = trace(first * second)
    assert sorted((edge.slot, edge.output) for edge in graph.edges if edge.source == 1) == [(0, 0), (1, 1)]
    assert graph.operations[1].shapes == ((3,), (3,))
    assert "<- 2, 2[1]" in to_text(graph)
    (saved,) = trace(x[torch.tensor([0])]).operations[0].saved
    assert (saved.name, saved.shape, saved.dtype) == ("indices[0]", (1,), torch.int64)


def test_results_in_containers_are_named_and_those_without_a_graph_reported():
    x = leaf(2)
    graph = trace({"loss": x.sum(), "parts": (x * 2, [x.argmax()]), "epoch": 3})
    assert [node.name for node in graph.results] == ["result['loss']", "result['parts'][0]"]
    assert len(graph.without) == 2
    assert "behind result['parts'][1][0] because its dtype is torch.int64" in graph.without[0]
    assert "of type int" in graph.without[1]
    assert [node.kind for node in graph.nodes].count("leaf") == 1  # shared by both


def test_packed_tensors_are_not_unpacked():
    calls = []

    def pack(tensor):
        return tensor

    def unpack(tensor):
        calls.append(tensor)
        return tensor

    x = leaf(2)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x.exp()
    assert [saved.state for saved in trace(y).operations[0].saved] == ["packed"]
    assert not calls

    def block(t):
        calls.append(t)
        return t.exp().sin()

    y = checkpoint(block, x, use_reentrant=False)
    states = {saved.state for node in trace(y).operations for saved in node.saved}
    assert states == {"packed"}
    assert len(calls) == 1  # the forward; nothing was computed again


def test_a_freed_graph_says_so():
    x = leaf(2)
    y = (x * x).exp().sum()
    before = trace(y)
    y.backward(retain_graph=True)
    assert trace(y) == before
    y.backward()
    after = trace(y)
    assert not before.freed
    assert after.freed
    assert [saved.state for node in after.operations for saved in node.saved] == ["freed"] * 3
    assert after.kept_bytes == 0
    assert len(after.nodes) == len(before.nodes)
    assert "keeps result freed" in to_text(after)


def test_a_graph_of_gradients_can_be_walked_too():
    x = leaf((), dtype=torch.float64)
    (slope,) = torch.autograd.grad(x**3, x, create_graph=True)
    graph = trace(slope, names={"x": x})
    assert [node.label for node in graph.leaves] == ["x"]
    assert {"MulBackward0", "PowBackward0"} <= {node.name for node in graph.operations}


# Networks


def test_resnet_against_a_naive_walk(resnet):
    model, result = resnet
    graph = trace(result, model)
    functions = naive(result.grad_fn, [])
    assert Counter(node.name for node in graph.nodes if node.kind != "result") == Counter(
        function.name().split("::")[-1] for function in functions
    )
    edges = sum(target is not None for function in functions for target, _ in function.next_functions)
    assert len(graph.edges) == edges + 1
    named = dict(model.named_parameters())
    assert len(graph.leaves) == len(named)
    assert {node.label: node.shapes[0] for node in graph.leaves} == {k: tuple(p.shape) for k, p in named.items()}
    assert graph == trace(result, model)


def test_one_leaf_for_each_parameter_that_requires_a_gradient():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    graph = trace(model(torch.randn(5, 3)), model)
    assert {node.label for node in graph.leaves} == {"0.bias", "2.weight", "2.bias"}


def test_kept_bytes_against_saved_tensor_hooks():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    x = torch.randn(7, 1, 8, 8)
    sizes, own = {}, {p.data_ptr() for p in model.parameters()}

    def pack(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    kept = model(x)  # the first result stays alive, so that no memory is used twice
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = model(x)
    assert alive.shape == kept.shape
    assert trace(kept, model).kept_bytes == sum(size for place, size in sizes.items() if place not in own)


def visits(result):
    """The functions behind a result in the order in which the engine runs them."""
    functions, order, handles = naive(result.grad_fn, []), [], []
    for function in functions:
        if function.name() != "torch::autograd::AccumulateGrad":
            note = partial(lambda name, grads: order.append(name), function.name())
            handles.append(function.register_prehook(note))
    result.sum().backward(retain_graph=True)
    for handle in handles:
        handle.remove()
    return order


def test_operations_are_listed_in_the_order_of_the_engine(resnet):
    _, result = resnet
    names = [node.name for node in trace(result).operations]
    assert [name.split("::")[-1] for name in visits(result)] == names


def test_thousands_of_nodes_need_no_recursion():
    x = y = leaf(())
    for _ in range(5000):
        y = y + x
    graph = trace(y)
    assert len(graph.operations) == 5000
    assert to_text(graph).count("\n") == 5001
    assert parse(to_svg(graph)).tag == f"{SVG}svg"  # edges to the shared leaf exceed the dummies


# Random expressions: how many operations and leaves they have is known from how they are built.


@st.composite
def expressions(draw):
    """An expression whose value uses every operation made."""
    kinds: dict[str, Any] = {
        "sin": lambda a, b: a.sin(),
        "mul": torch.mul,
        "add": torch.add,
        "constant": lambda a, b: a * 0.5,
    }
    leaves = [leaf(2, dtype=torch.float64) for _ in range(draw(st.integers(1, 4)))]
    pool, operations, edges = list(leaves), 0, 0
    unused = list(leaves)
    for _ in range(draw(st.integers(1, 12))):
        a, b = (pool[draw(st.integers(0, len(pool) - 1))] for _ in range(2))
        kind = draw(st.sampled_from(list(kinds)))
        used = [a, b] if kind in ("mul", "add") else [a]
        pool.append(kinds[kind](a, b))
        operations, edges = operations + 1, edges + len(used)
        unused = [t for t in unused if all(t is not u for u in used)] + [pool[-1]]
    total = unused[0]
    for term in unused[1:]:
        total = total + term
        operations, edges = operations + 1, edges + 2
    return total, leaves, operations, edges


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(expressions())
def test_random_expressions(built):
    total, leaves, operations, edges = built
    graph = trace(total, names={f"x{i}": t for i, t in enumerate(leaves)})
    assert len(graph.operations) == operations
    assert len(graph.leaves) == len(leaves)
    assert len(graph.edges) == edges + 1
    assert {node.label for node in graph.leaves} == {f"x{i}" for i in range(len(leaves))}
    assert all(edge.source < edge.target for edge in graph.edges if graph.nodes[edge.target].kind != "leaf")
    assert [node.name for node in graph.operations] == visits(total)
    root = parse(to_svg(graph))
    assert len(root.findall(f"{SVG}path")) == 2 * len(graph.edges)
    assert to_mermaid(graph).count(" --> ") == len(graph.edges)
    assert len(to_text(graph).splitlines()) == len(graph.nodes)


# Drawings


def test_svg_is_accessible_and_tells_kinds_apart_by_shape(resnet):
    model, result = resnet
    graph = trace(result, model)
    svg = to_svg(graph, title="ResNet <18>")
    assert svg == to_svg(trace(result, model), title="ResNet <18>")
    root = parse(svg)
    assert root.get("role") == "img"
    assert root.get("stroke") == "currentColor"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title.text == "ResNet <18>"
    assert "AddmmBackward0" in desc.text
    assert root.get("aria-labelledby").split() == [title.get("id"), desc.get("id")]
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) == 2
    assert svg.count('<polygon class="leaf"') == len(graph.leaves) + 1  # one in the legend
    assert svg.count('<rect class="operation"') == len(graph.operations) + 1
    assert svg.count('<rect class="result"') == 2
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert set(dict(model.named_parameters())) <= words
    assert "keeps" not in re.sub(r"<desc.*?</desc>", "", to_svg(graph, keeps=False), flags=re.S)
    assert title.get("id") not in to_svg(graph, title="another")  # two drawings may stand on one page


def test_boxes_of_a_drawing_do_not_overlap_and_lie_inside(resnet):
    model, result = resnet
    root = parse(to_svg(trace(result, model)))
    x0, y0, width, height = map(float, root.get("viewBox").split())
    boxes = []
    for group in root.findall(f"{SVG}g"):
        shape = group[0]
        if shape.tag == f"{SVG}rect":
            x, y, w, h = (float(shape.get(name)) for name in ("x", "y", "width", "height"))
            boxes.append((x, y, x + w, y + h))
        else:
            xs, ys = zip(*(map(float, point.split(",")) for point in shape.get("points").split()), strict=True)
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
    assert all(x0 <= a and y0 <= b and c <= x0 + width and d <= y0 + height for a, b, c, d in boxes)
    apart = 10
    for (a, b, c, d), (e, f, g, h) in combinations(boxes, 2):
        assert c + apart < e or g + apart < a or d + apart < f or h + apart < b


def test_layout_points_down_and_keeps_a_chain_straight():
    pairs = [(0, 1), (1, 2), (2, 3), (0, 3)]
    centres, bends = place([(50, 20)] * 4, pairs)
    assert all(centres[a][1] < centres[b][1] for a, b in pairs)
    assert len(bends[0, 3]) == 4  # two rows are passed
    centres, _ = place([(50, 20), (80, 20), (60, 40)], [(0, 1), (1, 2)])
    assert len({round(x, 6) for x, _ in centres}) == 1


def test_a_wide_table_of_names_survives_every_drawing():
    evil = 'a"]:::x --> b<script>&%%{init}%%#quot;`\n\x00权重'
    w = leaf(2)
    graph = trace(w * 2, names={evil: w})
    root = parse(to_svg(graph, title=evil))
    assert any("权重" in (text.text or "") for text in root.iter(f"{SVG}text"))
    lines = to_mermaid(graph).splitlines()
    assert lines[0] == "flowchart TD"
    node = re.compile(
        r'    n\d+(\(\["[^"<>`%&]*<br/>[^"<>`%&]*"\]\)|\["[^"<>`%&]*<br/>.*"\]|\{\{"[^"<>`%&]*<br/>.*"\}\})'
    )
    assert all(node.fullmatch(line) or re.fullmatch(r"    n\d+ --> n\d+", line) for line in lines[1:])
    (label,) = re.findall(r'\{\{"(.*)<br/>', to_mermaid(graph))
    assert re.sub(r"#(\d+);", lambda m: chr(int(m.group(1))), label) == evil


# No graph


def test_every_cause_of_no_graph_is_told_apart():
    x = leaf(3)
    with torch.inference_mode():
        inference = x * 2
    with torch.no_grad():
        unrecorded, view = x * 2, x[1:]
        inside = why_no_graph(x * 2)
    causes = {
        "not a tensor but of type float": (x * 2).sum().item(),
        "of type ndarray": x.detach().numpy(),
        "of type NoneType": x.grad,
        "dtype is torch.int64": x.argmax(),
        "dtype is torch.bool": x > 0,
        "made under torch.inference_mode()": inference,
        "it is a leaf": x,
        "a view, made under torch.no_grad()": view,
        "it was detached, or made under torch.no_grad()": (x * 2).detach(),
    }
    for cause, value in causes.items():
        assert cause in str(why_no_graph(value))
        with pytest.raises(NoGraphError, match=re.escape(cause)):
            trace(value)
    assert why_no_graph(unrecorded) == why_no_graph((x * 2).detach()) == why_no_graph(torch.ones(2))
    assert "switched off here" in str(inside)
    assert why_no_graph(x * 2) is None
    for value in causes.values():
        sentence = str(why_no_graph(value))
        assert sentence.startswith("There is no graph behind the result because ")
        assert sentence.endswith(".")
        assert "; " in sentence  # the mend


def test_nothing_and_wrong_names_are_refused():
    with pytest.raises(NoGraphError, match="holds no tensor"):
        trace([])
    with pytest.raises(TypeError, match="'model' maps to a Linear"):
        trace(leaf(2) * 2, names={"model": nn.Linear(2, 2)})  # type: ignore[dict-item]


def test_complex_tensors_have_graphs():
    z = torch.ones(2, dtype=torch.complex64, requires_grad=True)
    assert [node.name for node in trace(z * z).operations] == ["MulBackward0"]


def test_nothing_can_be_changed():
    graph = trace(leaf(2) * 2)
    for thing, field in ((graph, "nodes"), (graph.nodes[0], "name"), (graph.edges[0], "slot")):
        with pytest.raises(AttributeError):
            setattr(thing, field, None)
