"""Proofs of the formulas of practice/reproducibility, and its exercises."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

PAGE = "practice/reproducibility"
GENERATOR = torch.Generator().manual_seed(8)
U = 2.0**-24


def numbers(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def brackets(terms, choose):
    """Add in float32, two random ones at a time, until one is left."""
    terms = list(terms)
    while len(terms) > 1:
        a, b = terms.pop(choose.randrange(len(terms))), terms.pop(choose.randrange(len(terms)))
        terms.append(np.float32(a + b))
    return terms[0]


@pytest.mark.proves("sum-error")
def test_error_of_a_sum_in_any_order(formula):
    """Random orders and brackets, with exact sums by fractions; and a sum that needs nearly all of the bound."""
    choose = random.Random(0)
    for n in (2, 5, 30):
        for scale in (1.0, 1e-4):
            x = (numbers(n).exp() * torch.sign(numbers(n)) * scale).float()
            exact = sum(Fraction(v) for v in x.tolist())
            for _ in range(20):
                computed = Fraction(float(brackets(x.numpy(), choose)))
                formula("sum-error").holds({
                    r"\hat s": float(computed - exact), "s": 0.0, "n": n, "u": U, "x": x.double()})  # fmt: skip
    tiny = torch.tensor([1.0, *[U] * 2000], dtype=torch.float64)  # each is half of the last bit, and rounds away
    total = np.float32(1)
    for v in tiny[1:].tolist():
        total = np.float32(total + np.float32(v))
    assert total == 1
    values = {r"\hat s": 1.0, "s": tiny.sum().item(), "n": len(tiny), "u": U, "x": tiny}
    formula("sum-error").holds(values)
    assert abs(1 - tiny.sum().item()) > 0.999 * formula("sum-error").right(values).item()


@pytest.mark.proves("standard-error")
def test_standard_error(formula):
    for n in (2, 10):
        a = numbers(n)
        formula("standard-error").holds({
            r"\bar a": a.numpy().mean(), "n": n, "a": a, "s": a.numpy().std(ddof=1),
            "e": stats.sem(a.numpy())})  # fmt: skip


@pytest.mark.proves("variance-of-mean")
def test_variance_of_a_mean(formula):
    """All outcomes of n draws from three numbers, each with its probability."""
    values, chances = (0.2, 1.0, -3.0), (0.5, 0.3, 0.2)
    center = sum(v * p for v, p in zip(values, chances, strict=True))
    variance = sum(p * (v - center) ** 2 for v, p in zip(values, chances, strict=True))
    for n in (1, 2, 5):
        spread = 0.0
        for outcome in itertools.product(range(3), repeat=n):
            chance = math.prod(chances[i] for i in outcome)
            spread += chance * (sum(values[i] for i in outcome) / n - center) ** 2
        formula("variance-of-mean").holds({r"\operatorname{Var}[\bar a]": spread, "n": n, r"\sigma": variance**0.5})


def two_groups():
    for n, m in ((10, 10), (4, 9)):
        yield numbers(n), 0.4 + 2 * numbers(m)


@pytest.mark.proves("welch")
def test_welch(page, formula):
    for a, b in two_groups():
        theirs = stats.ttest_ind(a.numpy(), b.numpy(), equal_var=False)
        formula("welch").holds({
            "t": theirs.statistic, r"\bar a": a.mean(), r"\bar b": b.mean(), "s_a": a.std(), "s_b": b.std(),
            "n_a": len(a), "n_b": len(b), r"\nu": theirs.df})  # fmt: skip
        t, freedom = page(PAGE)["welch"](a, b)
        assert (t.item(), freedom.item()) == pytest.approx((theirs.statistic, theirs.df))


@pytest.mark.proves("paired")
def test_paired(page, formula):
    a, b = numbers(10), 0.3 + numbers(10)
    theirs = stats.ttest_rel(a.numpy(), b.numpy()).statistic
    formula("paired").holds({"t": theirs, r"\bar d": (a - b).mean(), "s_d": (a - b).std(), "n": 10})
    assert page(PAGE)["paired"](a, b).item() == pytest.approx(theirs)


@pytest.mark.proves("seeds-needed")
def test_seeds_needed(page, formula):
    """With that many runs, the difference of two means lies beyond its limit with a probability of 80 %."""
    alpha, beta = stats.norm.ppf(0.975), stats.norm.ppf(0.8)
    for s, difference in ((0.01, 0.005), (0.3, 0.1)):
        def power(n, s=s, difference=difference):  # the chance to be beyond the limit on the right side
            return stats.norm.sf(alpha - difference / (s * math.sqrt(2 / n)))

        low, high = 0.01, 1e6
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (low, middle) if power(middle) > 0.8 else (middle, high)
        formula("seeds-needed").holds(
            {"n": low, r"z_{\alpha}": alpha, r"z_{\beta}": beta, "s": s, r"\Delta": difference}, rtol=1e-8)
        assert page(PAGE)["seeds_needed"](s, difference) == pytest.approx(low, rel=0.005)
    assert page(PAGE)["seeds_needed"](1.0, 1.0) == pytest.approx(16, abs=0.4)


def test_limits_in_the_text():
    assert round(stats.norm.ppf(0.975), 2) == 1.96
    assert round(stats.norm.ppf(0.8), 2) == 0.84
    assert round(stats.t.ppf(0.975, 15), 2) == 2.13
    assert round(stats.t.ppf(0.975, 9), 2) == 2.26


def test_the_two_tests_decide_differently(page):
    names = page(PAGE)
    a, b = names["one_near"], names["three_near"]
    t, freedom = names["welch"](a, b)
    assert t < stats.t.ppf(0.975, freedom)
    assert names["paired"](a, b) > stats.t.ppf(0.975, 9)


def test_nearest_neighbours_are_those_of_scikit_learn(page):
    from sklearn.neighbors import KNeighborsClassifier

    names = page(PAGE)
    rows = torch.randperm(len(names["x"]), generator=torch.Generator().manual_seed(3))[:200]
    model = KNeighborsClassifier(1, algorithm="brute").fit(names["x"][rows].flatten(1), names["y"][rows])
    score = model.score(names["test_x"].flatten(1), names["test_y"])
    assert names["accuracy"](3, 1) == pytest.approx(score, abs=1 / 300)  # it may break a tie in another way


def test_large_steps_amplify_a_rounding(page):
    other, backwards, calm = page(PAGE)["curves"].values()
    assert backwards[0] < 1e-6
    assert backwards[-1] > 1e4 * backwards[0]
    assert calm.max() < 1e-5
    assert other.min() > 0.5


def test_workers_repeat_what_the_data_set_holds(page):
    one, two = page(PAGE)["one"], page(PAGE)["two"]
    assert one[0]["self.own"] == one[1]["self.own"] == two[0]["self.own"]
    for name in ("torch", "numpy", "random"):
        assert len({row[name] for row in one + two}) == 8
    assert len({row["seed 1000 + i"] for row in one + two}) == 4


def test_computed_sums_lie_within_the_bound(page):
    terms, sums = page(PAGE)["terms"], page(PAGE)["sums"]
    exact = float(sum(Fraction(v) for v in terms.tolist()))
    n = len(terms)
    assert len({total.item() for total in sums.values()}) >= 3
    for total in sums.values():
        assert abs(total.item() - exact) <= (n - 1) * U / (1 - (n - 1) * U) * exact


def check_seeded(seeded):
    """The same numbers inside, other seeds other numbers, and outside as if nothing had happened."""

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seed():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = [draw(), draw()]
    seed()
    outside = [draw()]
    inside = []
    for number in (3, 3, 4):
        with seeded(number):
            inside.append(draw())
    try:
        with seeded(3):
            draw()
            raise KeyError
    except KeyError:
        outside.append(draw())
    same = inside[0] == inside[1] and all(a != b for a, b in zip(inside[1], inside[2], strict=True))
    return outside == expected and same


def test_exercise_seeded(page):
    import contextlib

    assert check_seeded(page(PAGE)["seeded"])

    @contextlib.contextmanager
    def only_torch(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield

    @contextlib.contextmanager
    def without_finally(seed):
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])

    assert not check_seeded(only_torch)
    assert not check_seeded(without_finally)


def check_compensated(add_up):
    """Within two roundings of the exact sum, in both directions, however many numbers there are."""
    for terms in (1 / torch.arange(1.0, 3001), torch.full((5000,), 0.1), torch.tensor([1.0] + [U] * 1000)):
        exact = float(sum(Fraction(v) for v in terms.tolist()))
        for order in (terms, terms.flip(0)):
            if add_up(order).dtype != torch.float32 or abs(add_up(order).item() - exact) > 2 * U * exact:
                return False
    return True


def test_exercise_compensated(page):
    names = page(PAGE)
    assert check_compensated(names["add_up_exactly"])
    assert not check_compensated(names["add_up"])
    assert not check_compensated(lambda terms: names["add_up"](terms.double()).double())

    def added_instead_of_taken_off(terms):
        total, lost = torch.zeros(()), torch.zeros(())
        for number in terms:
            number = number + lost
            larger = total + number
            lost = (larger - total) - number
            total = larger
        return total

    assert not check_compensated(added_instead_of_taken_off)


def test_what_goes_wrong_does(page):
    names = page(PAGE)
    assert not torch.equal(*names["starts"])
    assert names["masks"][0] == names["masks"][1] == names["masks"][2]
    assert names["one_near"].max() > names["one_near"].mean() + 3 * names["one_near"].std() / 10**0.5
    assert set(names["result"]) >= {"seeds", "torch", "python", "device", "threads"}
