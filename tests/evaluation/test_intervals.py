import itertools
import math

import pytest

from haruon_tui.evaluation.intervals import Values, of_differences, of_means


def shares(hits: int, total: int) -> list[Values]:
    return [{"safe": float(n < hits)} for n in range(total)]


def binomial_ends(total: int, share: float) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of Binomial(total, share) / total: what the mean of a resample
    of ones and zeros is distributed as."""
    masses = [
        math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(total + 1)
    ]
    summed = list(itertools.accumulate(masses))
    return tuple(
        next(k for k, mass in enumerate(summed) if mass >= level) / total
        for level in (0.025, 0.975)
    )


@pytest.mark.parametrize(("hits", "total"), [(56, 80), (70, 80), (20, 40), (1, 10)])
def test_the_interval_of_a_rate_is_the_binomial_one(hits: int, total: int) -> None:
    found = of_means(shares(hits, total), seed=7)["safe"]
    low, high = binomial_ends(total, hits / total)
    assert found.mean == pytest.approx(hits / total)
    assert found.low == pytest.approx(low, abs=1 / total + 1e-6)
    assert found.high == pytest.approx(high, abs=1 / total + 1e-6)


def test_the_same_seed_draws_the_same_samples() -> None:
    cases: list[Values] = [{"levels": n**2 / 997} for n in range(31)]
    assert of_means(cases, seed=3) == of_means(cases, seed=3)
    assert of_means(cases, seed=3) != of_means(cases, seed=4)


def test_a_case_without_a_value_counts_nowhere() -> None:
    cases: list[Values] = [{"quotes": 1.0, "none": None}, {"quotes": None, "none": None}]
    found = of_means(cases * 8, seed=1)
    assert list(found) == ["quotes"]
    assert (found["quotes"].mean, found["quotes"].low, found["quotes"].high) == (1.0, 1.0, 1.0)


def test_equal_values_have_an_interval_without_width() -> None:
    found = of_means([{"safe": 1.0}] * 40, seed=7)["safe"]
    assert (found.low, found.high) == (1.0, 1.0)


def test_pairs_are_drawn_together() -> None:
    """Hard cases are hard for both: each is 0.1 better, so the difference is sure."""
    before: list[Values] = [{"levels": n / 20} for n in range(18)]
    after: list[Values] = [{"levels": n / 20 + 0.1} for n in range(18)]
    found = of_differences(before, after, seed=7)["levels"]
    assert (found.low, found.mean, found.high) == (0.1, 0.1, 0.1)
    alone = of_means(before, seed=7)["levels"]
    assert alone.high - alone.low > 0.2


def test_no_case_has_no_figure() -> None:
    assert of_means([], seed=1) == of_differences([], [], seed=1) == {}
