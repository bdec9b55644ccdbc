r"""Formulas as programs: reads the TeX of a formula and computes what stands on each side of its signs.

The names in it are given by the proof, as TeX: `{r"\delta_k": tensor, "y": tensor, r"\sigma": torch.sigmoid}`; the
longest name that fits wins. Two things side by side are multiplied: a matrix (two dimensions) by the matrix product,
all else entry by entry; `\odot` is entry by entry for all. What is read becomes a function of the indices of sums.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Value = Any  # a number, a tensor or a function
Env = dict[str, int]
Node = Callable[[Env], Value]

COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)")
SPACING = re.compile(r"(?<!\\)\\(?:[,;:!> ]|(?:left|right|[bB]igg?[lrm]?|displaystyle|(?:no)?limits)(?![A-Za-z]))")
RELATIONS = {"=": "=", r"\approx": "=", r"\equiv": "=", "<": "<", ">": ">", r"\lt": "<", r"\gt": ">", r"\le": "<=",
             r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", r"\ne": "!=", r"\neq": "!="}
FUNCTIONS: dict[str, Callable[..., Value]] = {
    r"\exp": lambda x: torch.exp(tensor(x)), r"\ln": lambda x: torch.log(tensor(x)),
    r"\log": lambda x: torch.log(tensor(x)), r"\tanh": lambda x: torch.tanh(tensor(x)),
    r"\cosh": lambda x: torch.cosh(tensor(x)), r"\sinh": lambda x: torch.sinh(tensor(x)),
    r"\sin": lambda x: torch.sin(tensor(x)), r"\cos": lambda x: torch.cos(tensor(x)),
    r"\operatorname{erf}": lambda x: torch.erf(tensor(x)), r"\operatorname{sign}": lambda x: torch.sign(tensor(x)),
    r"\operatorname{sgn}": lambda x: torch.sign(tensor(x)), r"\operatorname{tr}": lambda x: torch.trace(x),
    r"\operatorname{diag}": torch.diag, r"\operatorname{mean}": lambda x: tensor(x).mean(),
    r"\log_2": lambda x: torch.log2(tensor(x)), r"\log_{10}": lambda x: torch.log10(tensor(x)),
}
CONSTANTS = {r"\pi": math.pi, r"\infty": math.inf, "e": math.e}
BRACKETS = {"(": ")", "[": "]", r"\{": r"\}", r"\lvert": r"\rvert", "|": "|", r"\lVert": r"\rVert", r"\|": r"\|",
            r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
CLOSING = {*BRACKETS.values(), "}"}


class TexError(AssertionError):
    """The TeX cannot be computed; the message says where, and what to do."""


def tensor(value: Value) -> Tensor:
    """A value as a tensor, numbers in float64."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def rank(value: Value) -> int:
    return value.ndim if isinstance(value, Tensor) else 0


def product(a: Value, b: Value) -> Value:
    """The matrix product if one factor is a matrix and none is a number, else entry by entry."""
    if not rank(a) or not rank(b) or rank(a) == rank(b) == 1:
        return a * b
    if rank(a) == 1:  # a column before a row
        return a[:, None] @ b if b.shape[0] == 1 else a @ b
    if a.shape[-1] != b.shape[-2 if rank(b) > 1 else 0]:
        raise TexError(f"no matrix product of shapes {tuple(a.shape)} and {tuple(b.shape)}: entry by entry is \\odot in"
                       " TeX, or give vectors of one dimension where the formula is about single numbers")
    return a @ b


def transposed(a: Value) -> Value:
    return a[None, :] if rank(a) == 1 else a.mT if rank(a) > 1 else a


def power(a: Value, b: Value) -> Value:
    if not rank(b) and b == -1 and rank(a) == 2 and a.shape[0] == a.shape[1] > 1:
        return torch.linalg.inv(a)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        return float(a) ** b if a != 0 or b > 0 else tensor(a) ** b
    return a**b if isinstance(a, Tensor) or a > 0 else tensor(a) ** b


def divided(a: Value, b: Value) -> Value:
    return a / b if isinstance(a, Tensor) or isinstance(b, Tensor) or b != 0 else tensor(a) / b


def normal(tex: str) -> str:
    """TeX with one spelling: no spacing commands, no needless braces, no space but after a command."""
    tex = SPACING.sub(" ", re.sub(r"\\[td]frac(?![A-Za-z])", r"\\frac", tex))
    tex = re.sub(r"\\(?:q?quad|(?:Long)?(?:rightarrow|Rightarrow)|implies|Longrightarrow)(?![A-Za-z])", ",", tex)
    tex = re.sub(r"(\\leftarrow)(?![A-Za-z])", r"\1 =", tex)  # `w \leftarrow w + 1`: a name of its own for the new w
    tex = re.sub(r"\\(?:mathbf|boldsymbol|mathrm|bm)\s*\{([^{}]*)\}", r"\1", tex)
    for _ in range(3):  # \hat{m}, _{1}, ^{2}
        tex = re.sub(r"(\\(?:hat|bar|tilde|dot|vec|mathcal|mathbb|operatorname\*?)|[_^])\s*\{\s*(\w|\\[A-Za-z]+)\s*\}",
                     r"\1 \2", tex)
    return _spaces(tex)


def _spaces(tex: str) -> str:
    """Drop every space that does not part a command from a letter."""
    out, last = [], ""
    for part in re.findall(r"\\[A-Za-z]+|\\.|\s|.", tex):
        if part.isspace():
            continue
        if re.fullmatch(r"\\[A-Za-z]+", last) and part[0].isalpha():
            out.append(" ")
        out.append(part)
        last = part
    return "".join(out)


def one(function: Callable[[Value], Value], a: Node) -> Node:
    return lambda env: function(a(env))


def both(function: Callable[[Value, Value], Value], a: Node, b: Node) -> Node:
    return lambda env: function(a(env), b(env))


@dataclass
class Index:
    """What a sum binds: the sizes that its letter was seen to run over."""

    sizes: set[int] = field(default_factory=set)


class Reader:
    """One pass over a formula, from left to right."""

    def __init__(self, tex: str, values: Mapping[str, Value], first: int = 1) -> None:
        self.tex, self.at, self.first = normal(tex), 0, first
        self.values = {normal(name).rstrip("="): value for name, value in values.items()}
        self.names = sorted(self.values, key=len, reverse=True)
        self.bound: dict[str, Index] = {}
        self.bars: list[str] = []  # the | and ‖ that are open

    # reading ----------------------------------------------------------------------------------------------------------

    def fail(self, what: str) -> TexError:
        given = ", ".join(sorted(self.values)) or "none"
        return TexError(f"{what} at …{self.tex[self.at:self.at + 40]!r}\nin {self.tex}\nnames given: {given}")

    def peek(self) -> str:
        """The next token: a command, or one character."""
        while self.at < len(self.tex) and self.tex[self.at] in " &":
            self.at += 1
        match = COMMAND.match(self.tex, self.at)
        return match[0] if match else self.tex[self.at : self.at + 1]

    def take(self, *wanted: str) -> str | None:
        """Step over the next token if it is one of these."""
        token = self.peek()
        if token and token in wanted:
            self.at += len(token)
            return token
        return None

    def need(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(f"expected {token!r}")

    def name(self) -> str | None:
        """The longest given name that stands here."""
        self.peek()
        for name in self.names:
            end = self.at + len(name)
            if self.tex.startswith(name, self.at) and not (
                re.search(r"\\[A-Za-z]+$", name) and self.tex[end : end + 1].isalpha()
            ) and self.tex[end : end + 1] != "'":
                return name
        return None

    def group(self) -> str:
        """The text of `{…}` or of one token."""
        self.peek()
        if self.tex[self.at : self.at + 1] != "{":
            token = self.peek()
            self.at += len(token)
            return token
        depth, start = 0, self.at
        for match in re.finditer(r"\\.|[{}]", self.tex[start:]):
            depth += {"{": 1, "}": -1}.get(match[0], 0)
            if depth == 0:
                self.at = start + match.end()
                return self.tex[start + 1 : self.at - 1]
        raise self.fail("a brace is not closed")

    def inside(self, tex: str, read: str = "sum") -> Node:
        """Read a text that stood in braces with the same names."""
        outer, self.tex, self.at = (self.tex, self.at), tex, 0
        node: Node = getattr(self, read)()
        if self.peek():
            raise self.fail("cannot read on")
        self.tex, self.at = outer
        return node

    # sentences --------------------------------------------------------------------------------------------------------

    def statements(self) -> list[list[tuple[str, Node]]]:
        """Chains of sides: `a = b < c` is [("", a), ("=", b), ("<", c)]; a row that begins with a sign goes on."""
        chains: list[list[tuple[str, Node]]] = []
        for row in self.rows():
            self.tex, self.at = row, 0
            while self.peek():
                if self.take(",", ";", "."):
                    continue
                if self.peek() == r"\text" and self.name() is None:
                    self.at += len(r"\text")
                    self.group()
                    continue
                chain = chains.pop() if self.peek() in RELATIONS and chains else [("", self.sum())]
                while (token := self.peek()) in RELATIONS:
                    self.at += len(token)
                    chain.append((RELATIONS[token], self.sum()))
                chains.append(chain)
                if self.peek() and self.peek() not in (",", ";", ".", r"\text"):
                    raise self.fail("cannot read on")
        return chains

    def rows(self) -> list[str]:
        whole = re.fullmatch(r"\\begin\{(aligned|gathered|split|align\*?)\}(.*)\\end\{\1\}[.,]?", self.tex, re.S)
        if not whole:
            return [self.tex]
        rows, depth, start = [], 0, 0
        for match in re.finditer(r"\\begin|\\end|\\\\", whole[2]):
            depth += {r"\begin": 1, r"\end": -1}.get(match[0], 0)
            if match[0] == r"\\" and not depth:
                rows.append(whole[2][start : match.start()])
                start = match.end()
        return [*rows, whole[2][start:]]

    # arithmetic -------------------------------------------------------------------------------------------------------

    def sum(self) -> Node:
        sign = self.take("+", "-")
        node = one(operator.neg, self.term()) if sign == "-" else self.term()
        while sign := self.take("+", "-"):
            node = both(operator.add if sign == "+" else operator.sub, node, self.term())
        return node

    def term(self) -> Node:
        node = self.factor()
        while True:
            token = self.peek()
            if self.take(r"\odot", r"\circ"):
                node = both(operator.mul, node, self.factor())
            elif self.take("/"):
                node = both(divided, node, self.factor())
            elif self.take(r"\cdot", r"\times", "@") or self.goes_on(token):
                node = both(product, node, self.factor())
            else:
                return node

    def goes_on(self, token: str) -> bool:
        """Whether a factor follows without a sign between."""
        if not token or token in RELATIONS or (token in CLOSING and token not in ("|", r"\|")):
            return False
        if token in ("|", r"\|") and self.bars and self.bars[-1] == token:
            return False
        return token not in ("+", "-", ",", ";", ".", r"\\", r"\text", r"\end", "^", "_", ":", "!", r"\mid")

    def factor(self) -> Node:
        if sign := self.take("+", "-"):
            return one(operator.neg, self.factor()) if sign == "-" else self.factor()
        node = self.atom()
        while True:
            if self.peek() == "^":
                node = self.raised(node)
            elif self.take("!"):
                node = one(lambda n: float(math.factorial(int(n))), node)
            elif self.peek() == "'":
                raise self.fail("a prime: give the derivative a name of its own, such as \"f'\",")
            else:
                return node

    def raised(self, a: Node) -> Node:
        self.need("^")
        text = self.group()
        if text in (r"\top", r"\intercal", r"\mathsf T") or (text == "T" and "T" not in self.values):
            return one(transposed, a)
        return both(power, a, self.inside(text))

    def atom(self) -> Node:
        if (name := self.name()) is not None and name not in self.bound:
            self.at += len(name)
            return self.named(name)
        token = self.peek()
        if number := re.compile(r"\d+(?:\.\d+)?|\.\d+").match(self.tex, self.at):
            self.at = number.end()
            value = float(number[0])
            return lambda env: value
        if token in BRACKETS:
            return self.bracket(token)
        if token == "{":
            return self.inside(self.group())
        if token in (r"\frac", r"\sqrt", r"\sum", r"\prod", r"\max", r"\min", r"\begin"):
            self.at += len(token)
            return {r"\frac": self.fraction, r"\sqrt": self.root, r"\begin": self.environment}.get(
                token, lambda: self.over(token))()
        for known, function in sorted(FUNCTIONS.items(), key=lambda item: -len(item[0])):
            end = self.at + len(known)
            if self.tex.startswith(known, self.at) and not self.tex[end : end + 1].isalpha():
                self.at = end
                return self.call(function)
        if index := self.letter():
            return lambda env: self.counted(index, env)
        if token in CONSTANTS:
            self.at += len(token)
            constant = CONSTANTS[token]
            return lambda env: constant
        raise self.fail("no name or number that is known")

    def letter(self) -> str | None:
        """A bound index that stands here as a number."""
        for index in sorted(self.bound, key=len, reverse=True):
            if self.tex.startswith(index, self.at):
                self.at += len(index)
                return index
        return None

    def counted(self, index: str, env: Env) -> float:
        if index not in env:
            raise self.fail(f"the index {index} has no value")
        return float(env[index])

    def named(self, name: str) -> Node:
        value = self.values[name]
        if callable(value) and not isinstance(value, Tensor):
            return self.call(value)
        if self.peek() == "_":
            return self.indexed(value)
        return lambda env: value

    def call(self, function: Callable[..., Value]) -> Node:
        exponent: Node | None = None
        if self.peek() == "^":
            self.at += 1
            exponent = self.inside(self.group())
        if self.peek() in ("(", "[", r"\{"):
            close = BRACKETS[self.peek()]
            self.at += len(self.peek())
            arguments = [self.sum()]
            while self.take(",", ";", r"\mid", r"\|"):
                while self.take(","):
                    pass
                arguments.append(self.sum())
            self.need(close)
        else:
            arguments = [self.product_after_function()]
        if exponent is None:
            return lambda env: function(*(a(env) for a in arguments))
        return lambda env: power(function(*(a(env) for a in arguments)), exponent(env))

    def product_after_function(self) -> Node:
        r"""`\ln 2 x` means ln(2x), and `\ln a \cdot b` means ln(a) times b."""
        node = self.factor()
        while self.goes_on(self.peek()) and self.peek() not in (r"\cdot", r"\times", r"\odot", "/", "(", *FUNCTIONS,
                                                                r"\sum", r"\operatorname", r"\circ"):
            node = both(product, node, self.factor())
        return node

    # indices ----------------------------------------------------------------------------------------------------------

    def indexed(self, value: Value) -> Node:
        """`x_{ij}`: an entry of a tensor, counted from `first`."""
        self.need("_")
        text = self.group()
        parts = text.split(",") if "," in text else [text]
        if re.fullmatch(r"[A-Za-z0-9]+", parts[0]) and len(parts) == 1 and rank(value) > 1:
            parts = list(parts[0])
        if not isinstance(value, Tensor) or len(parts) > value.ndim:
            raise self.fail(f"the index {text!r} needs a tensor of {len(parts)} dimensions or a name of its own")
        nodes = []
        for axis, part in enumerate(parts):
            if part in self.bound:
                self.bound[part].sizes.add(value.shape[axis])
            nodes.append(self.inside(part))

        def entry(env: Env) -> Value:
            places = [int(node(env)) - self.first for node in nodes]
            for place, size in zip(places, value.shape, strict=False):
                if not 0 <= place < size:
                    raise TexError(f"the index {text} = {place + self.first} is outside 1..{size}, in {self.tex}")
            return value[tuple(places)]

        return entry

    def over(self, token: str) -> Node:
        r"""`\sum_{i=1}^{n}`, `\prod_i`, `\max_j`, `\max(a, b)`."""
        apply: Callable[[list[Value]], Value] = {
            r"\sum": lambda parts: sum(parts[1:], parts[0]) if parts else 0.0,
            r"\prod": lambda parts: math.prod(parts[1:], start=parts[0]) if parts else 1.0,
            r"\max": lambda parts: _pairwise(torch.maximum, parts),
            r"\min": lambda parts: _pairwise(torch.minimum, parts),
        }[token]
        if token in (r"\max", r"\min") and self.peek() != "_":
            if not self.take("(", r"\{"):
                raise self.fail(f"expected ( after {token}")
            arguments = [self.sum()]
            while self.take(","):
                arguments.append(self.sum())
            if not self.take(")", r"\}"):
                raise self.fail("expected )")
            return lambda env: apply([a(env) for a in arguments])
        self.need("_")
        low = self.group()
        high = None
        if self.peek() == "^":
            self.at += 1
            high = self.inside(self.group())
        letter = r"(?:[A-Za-z]|\\(?!in|ne|le)[A-Za-z]+)'?"
        matched = re.fullmatch(rf"(?P<letters>{letter}(?:,{letter})*)(?P<rest>(?:=|\\in|\\neq?|<|\\le).*)?", low)
        if not matched:
            raise self.fail(f"cannot read the limits {low!r}")
        letters, rest = matched["letters"].split(","), matched["rest"] or ""
        outer = dict(self.bound)
        mine = {letter: Index() for letter in letters}
        start = self.inside(rest[1:]) if rest.startswith("=") else None
        chosen = self.values.get(rest.removeprefix(r"\in").strip()) if rest.startswith(r"\in") else None
        bar = re.match(r"(\\neq?|<|\\le(?![a-z]))(.*)", rest)
        self.bound.update(mine)
        limit = self.inside(bar[2].strip()) if bar else None
        body = self.term()
        self.bound = outer

        def places(letter: str, env: Env) -> list[int]:
            if chosen is not None:
                return [int(place) for place in chosen]
            if start is not None and high is not None:
                return list(range(int(start(env)), int(high(env)) + 1))
            sizes = mine[letter].sizes
            if len(sizes) != 1:
                ran = sorted(sizes) or "nothing"
                raise TexError(f"the index {letter} runs over {ran}: write its limits, in {self.tex}")
            every = range(self.first, self.first + next(iter(sizes)))
            if bar is None or limit is None:
                return list(every)
            other = int(limit(env))
            if bar[1].startswith(r"\ne"):
                return [place for place in every if place != other]
            return [place for place in every if place < other + (bar[1] == r"\le")]

        def total(env: Env) -> Value:
            parts: list[Value] = []

            def run(rest: list[str], env: Env) -> None:
                if not rest:
                    parts.append(body(env))
                    return
                for place in places(rest[0], env):
                    run(rest[1:], {**env, rest[0]: place})

            run(letters, env)
            return apply(parts)

        return total

    # what braces hold -------------------------------------------------------------------------------------------------

    def bracket(self, token: str) -> Node:
        self.at += len(token)
        outer = self.bars
        self.bars = [*outer, token] if token in ("|", r"\|") else []
        inner = self.sum()
        self.bars = outer
        self.need(BRACKETS[token])
        if token in (r"\lVert", r"\|"):
            order: float = 2
            if self.peek() == "_":
                self.at += 1
                text = self.group()
                order = {"F": 2.0, r"\infty": math.inf}.get(text) or float(text)
            return lambda env: torch.linalg.vector_norm(tensor(inner(env)), order)
        if token in (r"\lvert", "|"):
            return lambda env: abs(inner(env))
        if token in (r"\lfloor", r"\lceil"):
            function = math.floor if token == r"\lfloor" else math.ceil
            return lambda env: float(function(float(inner(env))))
        return inner

    def fraction(self) -> Node:
        above, below = self.inside(self.group()), self.inside(self.group())
        return both(divided, above, below)

    def root(self) -> Node:
        degree = 2.0
        if self.take("["):
            degree = float(self.tex[self.at : self.tex.index("]", self.at)])
            self.at = self.tex.index("]", self.at) + 1
        a = self.inside(self.group())
        return lambda env: tensor(a(env)) ** (1 / degree) if degree != 2 else torch.sqrt(tensor(a(env)))

    def environment(self) -> Node:
        kind = self.group()
        depth, start = 1, self.at
        for match in re.finditer(r"\\begin\{|\\end\{", self.tex[start:]):
            depth += 1 if match[0] == r"\begin{" else -1
            if not depth:
                break
        else:
            raise self.fail(f"{kind} is not closed")
        body = self.tex[start : start + match.start()]
        self.at = start + match.start() + len(rf"\end{{{kind}}}")
        lines = [line for line in re.split(r"\\\\(?:\[[^\]]*\])?", body) if line.strip()]
        rows = [[cell.strip(" ,") for cell in line.split("&")] for line in lines]
        if kind == "cases":
            return self.cases(rows)
        if kind in ("pmatrix", "bmatrix", "matrix"):
            cells = [[self.inside(cell) for cell in row] for row in rows]
            return lambda env: torch.tensor([[float(cell(env)) for cell in row] for row in cells], dtype=torch.float64)
        raise self.fail(f"cannot compute the environment {kind}")

    def cases(self, rows: list[list[str]]) -> Node:
        branches: list[tuple[Node, Node]] = []
        for row in rows:
            value = self.inside(row[0].rstrip(","))
            said = re.sub(r"\\text\{\s*(?:if|for|when)?\s*\}", "", row[1] if len(row) > 1 else "")
            otherwise = not said or re.fullmatch(r"\\text\{\s*(?:otherwise|else|if not)\.?\s*\}[.,]?", said)
            branches.append(((lambda env: True) if otherwise else self.inside(said.rstrip(",."), "condition"), value))

        def choose(env: Env) -> Value:
            result, decided = torch.tensor(torch.nan, dtype=torch.float64), torch.tensor(False)
            for holds, value in branches:  # the first condition that holds decides
                where = tensor(holds(env)).bool() & ~decided
                result, decided = torch.where(where, tensor(value(env)), result), decided | where
            return result

        return choose

    def condition(self) -> Node:
        sides, signs = [self.sum()], []
        while (token := self.peek()) in RELATIONS:
            self.at += len(token)
            signs.append(RELATIONS[token])
            sides.append(self.sum())
        if not signs:
            raise self.fail("a condition needs a sign such as >")

        def holds(env: Env) -> Tensor:
            values = [side(env) for side in sides]
            found = [compare(sign, a, b) for sign, a, b in zip(signs, values, values[1:], strict=False)]
            return math.prod(found[1:], start=found[0])

        return holds


def compare(sign: str, a: Value, b: Value) -> Tensor:
    """Entry by entry, whether `a sign b`."""
    a, b = tensor(a), tensor(b)
    return {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign]


def _pairwise(function: Callable[[Tensor, Tensor], Tensor], parts: list[Value]) -> Tensor:
    result = tensor(parts[0])
    for part in parts[1:]:
        result = function(*torch.broadcast_tensors(result, tensor(part).to(result.dtype)))
    return result


def statements(tex: str, values: Mapping[str, Value], first: int = 1) -> list[list[tuple[str, Value]]]:
    """Compute a formula: for each chain such as `a = b < c` its sides with the sign before each."""
    chains = Reader(tex, values, first).statements()
    return [[(sign, node({})) for sign, node in chain] for chain in chains]
