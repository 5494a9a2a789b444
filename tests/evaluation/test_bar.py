import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation.bar import misses
from haruon_tui.settings import default_settings


def result(**figures: float) -> dict:
    def report(values: dict[str, float]) -> dict:
        estimates = {
            key: {"mean": value, "low": value, "high": value} for key, value in values.items()
        }
        return {"groups": {}, "figures": {"all": estimates}}

    return {"models": {"base": report({"complete": 0.0}), "tuned": report(figures)}}


def settings(**least: float):
    return default_settings("tiny").evaluate.model_copy(update=least)


def test_without_a_bar_everything_passes() -> None:
    assert misses(settings(), result(complete=0.0)) == []


def test_the_last_model_is_held_against_the_bar() -> None:
    bar = settings(min_complete=0.9, min_safe=1.0)
    assert misses(bar, result(complete=0.9, safe=1.0)) == []
    (miss,) = misses(bar, result(complete=0.899, safe=1.0))
    assert str(miss) == "every section there: 89.9%, below 90.0% (evaluate.min_complete)"


def test_a_figure_that_no_report_has_is_below_every_bar() -> None:
    (miss,) = misses(settings(min_grounded=0.1), result(complete=1.0))
    assert miss.value is None
    assert "quotes that were said: –" in str(miss)


def test_every_bar_of_the_settings_is_a_figure() -> None:
    names = [name for name in type(settings()).model_fields if name.startswith("min_")]
    found = misses(settings(**dict.fromkeys(names, 0.5)), result())
    assert [f"min_{miss.key}" for miss in found] == names


def test_a_bar_over_one_is_refused(workspace) -> None:
    workspace.file.write_text('profile = "tiny"\n[evaluate]\nmin_safe = 95\n')
    with pytest.raises(ConfigurationError, match=r"min_safe|less than or equal"):
        _ = workspace.settings
