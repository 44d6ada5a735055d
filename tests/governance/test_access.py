from headwater.governance.access import Action, ColumnAction, Decision, authorize


def test_everything_is_allowed_within_the_project() -> None:
    decision = authorize("user:ana", Action.READ, "lake.flights", ("month", "carrier"), "training")
    assert decision.allowed
    assert decision.row_filter == ""
    assert decision.columns == (("month", ColumnAction.ALLOW), ("carrier", ColumnAction.ALLOW))


def test_a_decision_names_the_columns_it_denies() -> None:
    decision = Decision(True, columns=(("month", ColumnAction.ALLOW), ("name", ColumnAction.DENY)))
    assert decision.denied_columns() == ("name",)
