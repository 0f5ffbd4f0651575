"""Declared figures by their names in ``results.json``."""

from ssl_host import Evaluator, Figure, declared_figures, find_figure

ERROR = Figure("error rate", higher_is_better=False, unit="%")
SCORE = Figure("score")


class FewLabelError(Evaluator):
    figures = {"N.error": ERROR, "": SCORE}


def test_declared_figures_have_the_name_of_the_instance():
    declared = declared_figures({"mine": FewLabelError})
    assert declared["mine.N.error"] == ERROR
    assert declared["mine"] == SCORE


def test_declared_figures_include_those_of_the_host():
    assert declared_figures({})["online.top1"].unit == "%"


def test_number_in_a_metric_matches_the_placeholder():
    declared = declared_figures({"mine": FewLabelError})
    assert find_figure(declared, "mine.10.error") == ERROR
    assert find_figure(declared, "mine.ten.error") is None
    assert find_figure(declared, "online.top1") == declared["online.top1"]
