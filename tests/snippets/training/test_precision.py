"""Proofs of the formulas of training/precision against torch's own types, and its exercises."""

import itertools
import math

import pytest
import torch

PAGE = "training/precision"
TYPES = {  # exponent bits, fraction bits, an integer type of the same size
    torch.bfloat16: (8, 7, torch.int16), torch.float16: (5, 10, torch.int16),
    torch.float32: (8, 23, torch.int32), torch.float64: (11, 52, torch.int64)}


def bias(dtype):
    return 2 ** (TYPES[dtype][0] - 1) - 1


def fields(x):
    """Sign, exponent and fraction of a number, as integers."""
    k, p, integer = TYPES[x.dtype]
    bits = x.view(integer).item() % 2 ** (1 + k + p)
    return bits >> (k + p), bits >> p & (2**k - 1), bits & (2**p - 1)


@pytest.mark.proves("value")
def test_value(formula):
    for dtype, number in itertools.product(TYPES, (0.1, -3.0, 1.75, 40000.0, -0.001)):
        x = torch.tensor(number, dtype=dtype)
        s, e, m = fields(x)
        formula("value").holds(
            {"x": x.item(), "s": s, "e": e, "m": m, "b": bias(dtype), "p": TYPES[dtype][1]}, rtol=1e-15, atol=0)


@pytest.mark.proves("limits")
def test_limits(formula):
    for dtype, (_, p, _) in TYPES.items():
        info = torch.finfo(dtype)
        tiny = torch.tensor(1, dtype=TYPES[dtype][2]).view(dtype).item()  # the last bit alone
        formula("limits").holds({r"\epsilon": info.eps, r"x_{\max}": info.max, r"x_{\min}": info.tiny, "x_0": tiny,
                                 "p": p, "b": bias(dtype)}, atol=0)


@pytest.mark.proves("spacing")
def test_spacing(formula):
    for dtype, number in itertools.product(TYPES, (1.0, 3.0, 300.0, -0.3, 1023.0)):
        x = torch.tensor(number, dtype=dtype)
        after = torch.nextafter(x, x * 2)
        formula("spacing").holds({r"\Delta(x)": abs(after.double() - x.double()), "x": x.double(),
                                  "p": TYPES[dtype][1]}, atol=0)


@pytest.mark.proves("rounding")
def test_rounding(formula):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(2000, dtype=torch.float64, generator=generator) * 10
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        p = TYPES[dtype][1]
        halfway = torch.tensor([1 + 2.0 ** (-p - 1), 1 + 1.5 * 2.0**-p], dtype=torch.float64)
        names = {r"\operatorname{fl}": lambda x, dtype=dtype: x.to(dtype).double(), "p": p}
        formula("rounding").holds({**names, "x": torch.cat([numbers[numbers.abs() > 1e-2], halfway])})
        error = (halfway.to(dtype).double() - halfway).abs()
        assert (error > 0.97 * formula("rounding").right({**names, "x": halfway})).any()  # nearly reached


@pytest.mark.proves("sum-error", "pairwise-error")
def test_sums(formula, page):
    one_by_one, pairwise = page(PAGE)["one_by_one"], page(PAGE)["pairwise"]
    for seed, dtype in itertools.product(range(3), (torch.bfloat16, torch.float16, torch.float32)):
        torch.manual_seed(seed)
        x = torch.randn(512).to(dtype)
        names = {"y": x.double().sum(), "x": x.double(), "n": 512, "u": torch.finfo(dtype).eps / 2}
        formula("sum-error").holds({**names, r"\hat y": one_by_one(x).double()})
        formula("pairwise-error").holds({**names, r"\hat y": pairwise(x).double()})
        right = formula("pairwise-error").right(names | {r"\hat y": 0.0})
        assert torch.isclose(right, 9 * names["u"] * x.double().abs().sum())


@pytest.mark.proves("sum-error", "pairwise-error")
def test_the_bounds_of_sums_are_nearly_reached(formula, page):
    """One, and then numbers so small that each of them is lost: n - 1 of them, or one in each round."""
    for dtype in (torch.float16, torch.float32):
        u = torch.finfo(dtype).eps / 2
        for name, add, n, lost in [("sum-error", "one_by_one", 16, 15), ("pairwise-error", "pairwise", 4, 2)]:
            x = torch.tensor([1.0] + [u] * lost + [0.0] * (n - 1 - lost), dtype=dtype)
            found = {r"\hat y": page(PAGE)[add](x).double(), "y": x.double().sum(), "x": x.double(), "n": n, "u": u}
            formula(name).holds(found)
            assert found["y"] - found[r"\hat y"] > 0.97 * formula(name).right(found)


@pytest.mark.proves("stops")
def test_stops(formula):
    for dtype in (torch.bfloat16, torch.float16):
        one, count = torch.ones((), dtype=dtype), torch.ones((), dtype=dtype)
        while count + one != count:
            count = count + one
        formula("stops").holds({"n": count.item(), "p": TYPES[dtype][1]})
    big = torch.tensor(2.0**24)
    formula("stops").holds({"n": big.item(), "p": 23})
    assert big + 1 == big
    assert big - 1 != big


@pytest.mark.proves("lost-update")
def test_lost_update(formula):
    """The updates that the formula calls lost are those that change nothing; the half itself is a tie."""
    for dtype, number in itertools.product(TYPES, (1.0, 3.0, 0.3, 1000.0)):
        w, p = torch.tensor(number, dtype=dtype), TYPES[dtype][1]
        half = (torch.nextafter(w, w * 2).double() - w.double()).item() / 2
        for share in (0.1, 0.9, 1.1, 1.9):
            update = torch.tensor(half * share, dtype=dtype)
            try:
                formula("lost-update").holds({r"\eta": 0.5, "g": update.double() * 2, "w": w.double(), "p": p})
                lost = True
            except AssertionError:
                lost = False
            assert lost == bool(w + update == w), (dtype, number, share)


@pytest.mark.proves("loss-scale")
def test_loss_scale(formula):
    w = torch.tensor([0.3, -2.0], dtype=torch.float64, requires_grad=True)
    for scale in (8.0, 65536.0):
        loss = (w**3).sum()
        formula("loss-scale").holds({
            r"\frac{\partial (S L)}{\partial w}": torch.autograd.grad(scale * loss, w, retain_graph=True)[0],
            r"\frac{\partial L}{\partial w}": torch.autograd.grad(loss, w)[0], "S": scale})


def scales(slopes, interval=3):
    """What GradScaler does with these gradients."""
    w = torch.tensor([1.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.125)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0, growth_interval=interval)
    for slope in slopes:
        optimizer.zero_grad()
        scaler.scale((w * slope).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        yield w.item(), scaler.get_scale()


SLOPES = [1.0, 1.0, 1.0, math.inf, 1.0, 1.0, math.nan, -math.inf, *[1.0] * 8, math.inf, 1.0, 1.0, 1.0]


@pytest.mark.proves("scaler")
def test_scaler(formula):
    before, good = 16.0, 0
    for slope, (_, scale) in zip(SLOPES, scales(SLOPES), strict=True):
        bad = int(not math.isfinite(slope))
        good = 0 if bad else good + 1
        formula("scaler").holds({"S_{t+1}": scale, "S_t": before, "q": bad, "j": good, "N": 3})
        before, good = scale, 0 if good == 3 else good


def test_our_scaler_steps_as_torch_does(page):
    w = torch.tensor([1.0], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.125)
    ours = page(PAGE)["Scaler"](scale=16.0, interval=3)
    for slope, theirs in zip(SLOPES, scales(SLOPES), strict=True):
        optimizer.zero_grad()
        (w * slope * ours.scale).sum().backward()
        ours.step(optimizer)
        assert (w.item(), ours.scale) == theirs


@pytest.mark.proves("cancellation")
def test_cancellation(formula):
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        for _ in range(50):
            a = 1 + torch.rand((), dtype=torch.float64, generator=generator)
            b = a + 0.01 * torch.randn((), dtype=torch.float64, generator=generator)
            formula("cancellation").holds({
                "a": a, "b": b, r"\hat a": a.to(dtype).double(), r"\hat b": b.to(dtype).double(),
                "u": torch.finfo(dtype).eps / 2})
        u = torch.finfo(dtype).eps / 2
        a, b = torch.tensor([1 + u, 1 + 3 * u], dtype=torch.float64)  # one is rounded down, the other up
        worst = {"a": a, "b": b, r"\hat a": a.to(dtype).double(), r"\hat b": b.to(dtype).double(), "u": u}
        formula("cancellation").holds(worst)
        assert formula("cancellation").left(worst) > 0.97 * formula("cancellation").right(worst)


@pytest.mark.proves("variance")
def test_variance_formulas(formula):
    x = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 2
    formula("variance").holds({"v": x.var(correction=0), "x": x, r"\bar x": x.mean(), "n": 7})


@pytest.mark.proves("best-step")
def test_best_step(formula):
    """The sum of both errors is least there: its slope, by autograd, changes its sign."""
    for f, third, u in [(2.7, 0.4, 2.0**-24), (1.0, 8.0, 2.0**-53), (0.5, 0.5, 0.01)]:
        def slope(h, f=f, third=third, u=u):
            h = torch.tensor(h, dtype=torch.float64, requires_grad=True)
            return torch.autograd.grad(h**2 / 6 * third + u / h * f, h)[0].item()

        low, high = 1e-9, 10.0
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        formula("best-step").holds({"h^*": low, "u": u, "f": f, "f'''": third})


DEFAULTS = {torch.float16: (1e-3, 1e-5), torch.bfloat16: (1.6e-2, 1e-5), torch.float32: (1.3e-6, 1e-5),
            torch.float64: (1e-7, 1e-7)}


@pytest.mark.proves("closeness")
def test_closeness(formula):
    """What the formula accepts with the tolerances of the page is what assert_close accepts by itself."""
    seen = set()
    for (dtype, (relative, absolute)), size, share in itertools.product(
            DEFAULTS.items(), (0.0, 1e-3, 1.0, 500.0), (0.0, 0.5, 0.8, 1.25, 3.0)):
        b = torch.tensor(size, dtype=dtype)
        a = (b.double() + share * (absolute + relative * b.double())).to(dtype)

        def accepts(check):
            try:
                check()
            except AssertionError:
                return False
            return True

        by_formula = accepts(lambda a=a, b=b, t=(absolute, relative): formula("closeness").holds(
            {"a": a.double(), "b": b.double(), "t_a": t[0], "t_r": t[1]}))
        assert by_formula == accepts(lambda a=a, b=b: torch.testing.assert_close(a, b)), (dtype, size, share)
        seen.add(by_formula)
    assert seen == {True, False}
    torch.testing.assert_close(1.0, 1.9, rtol=0.5, atol=0)  # relative to the second
    formula("closeness").holds({"a": 1.0, "b": 1.9, "t_a": 0, "t_r": 0.5})


def test_what_autocast_does_on_the_cpu(page):
    names = page(PAGE)
    assert names["logits"].dtype == torch.bfloat16
    assert abs(names["loss"].item() - names["full"].item()) < 0.01


def check_decode(decode):
    for number in range(2**16):
        if number % 7 and number & 0x7FFF not in (0, 1, 0x7F, 0x80, 0x7F7F, 0x7F80, 0x7F81):
            continue
        expected = torch.tensor(number - 2**16 if number >= 2**15 else number, dtype=torch.int16).view(torch.bfloat16)
        found = decode(f"{number:016b}")
        assert found == expected.item() or (math.isnan(found) and expected.isnan()), f"{number:016b}"


def test_exercise_decode(page):
    check_decode(page(PAGE)["decode"])


def no_subnormal(bits):
    s, e, m = int(bits[0]), int(bits[1:9], 2), int(bits[9:], 2)
    if e == 255:
        return math.nan if m else (-1) ** s * math.inf
    return (-1) ** s * 2.0 ** (e - 127) * (1 + m / 128)


def no_infinity(bits):
    s, e, m = int(bits[0]), int(bits[1:9], 2), int(bits[9:], 2)
    return (-1) ** s * (2.0 ** (e - 127) * (1 + m / 128) if e else 2.0**-126 * m / 128)


@pytest.mark.parametrize("wrong", [no_subnormal, no_infinity])
def test_exercise_decode_rejects(wrong):
    with pytest.raises(AssertionError):
        check_decode(wrong)


def check_kahan(kahan):
    for dtype in (torch.bfloat16, torch.float16):
        numbers = torch.rand(2000, generator=torch.Generator().manual_seed(0)).to(dtype)
        for x in (torch.ones(3000, dtype=dtype), numbers):
            found, exact = kahan(x), x.double().sum()
            assert found.dtype == dtype
            assert abs(found.double() - exact) <= 2 * torch.finfo(dtype).eps * exact


def test_exercise_kahan(page):
    check_kahan(page(PAGE)["kahan"])


@pytest.mark.parametrize("wrong", [
    lambda x: sum(x, torch.zeros((), dtype=x.dtype)), lambda x: x.float().sum(),
], ids=["one by one", "in float32"])
def test_exercise_kahan_rejects(wrong):
    with pytest.raises(AssertionError):
        check_kahan(wrong)


def check_variance(variance):
    for seed, mean in itertools.product(range(3), (0.0, 10000.0)):
        x = torch.randn(500, generator=torch.Generator().manual_seed(seed)) + mean
        expected = x.double().var(correction=0)
        assert abs(variance(ReadOnce(x)).double() - expected) < 0.01 * expected


class ReadOnce:
    """A list that can be read only once."""

    def __init__(self, x):
        self.x, self.dtype, self.read = x, x.dtype, False

    def __len__(self):
        return len(self.x)

    def __iter__(self):
        assert not self.read, "the numbers are read twice"
        self.read = True
        return iter(self.x)


def test_exercise_variance(page):
    check_variance(page(PAGE)["variance"])


def squares_first(x):
    numbers = torch.stack(list(x))
    return (numbers**2).mean() - numbers.mean() ** 2


def two_passes(x):
    mean = sum(x) / len(x)
    return sum((number - mean) ** 2 for number in x) / len(x)


@pytest.mark.parametrize("wrong", [squares_first, two_passes])
def test_exercise_variance_rejects(wrong):
    with pytest.raises(AssertionError):
        check_variance(wrong)
