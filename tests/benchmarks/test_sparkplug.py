from __future__ import annotations

import pytest

from benchmarks.sparkplug import main, measure


def test_what_a_message_costs_is_measured_on_messages_that_are_all_taken(capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(300, 1)  # asserts itself that each message led to a row and each metric to a value
    assert 0 < found["decode_us"] < found["to_row_us"]
    assert main(["--messages", "20", "--runs", "1"]) == 0
    assert "50 metrics" in capsys.readouterr().out
