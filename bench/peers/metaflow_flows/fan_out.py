"""A hundred steps side by side and one that adds up, as Metaflow has it."""

from metaflow import FlowSpec, step


class FanOut(FlowSpec):
    @step
    def start(self):
        self.numbers = list(range(100))
        self.next(self.each, foreach="numbers")

    @step
    def each(self):
        self.doubled = 2 * self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(one.doubled for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        assert self.total == 9_900


if __name__ == "__main__":
    FanOut()
