"""An array of random floats handed from one step to the next, as Metaflow has it."""

import numpy as np
from metaflow import FlowSpec, Parameter, step

FLOATS = 25_000_000


class HandedOn(FlowSpec):
    kept = Parameter("kept", default=FLOATS, help="How many of the 25 million floats are handed on.")

    @step
    def start(self):
        self.array = np.random.default_rng(1).random(FLOATS)[-self.kept :].copy()
        self.next(self.end)

    @step
    def end(self):
        assert 0 <= self.array[-1] < 1


if __name__ == "__main__":
    HandedOn()
