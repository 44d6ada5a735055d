"""Eight steps after one another, as Metaflow has it: five more than `straight`."""

from metaflow import FlowSpec, step


class Longer(FlowSpec):
    @step
    def start(self):
        self.number = 1
        self.next(self.second)

    @step
    def second(self):
        self.number += 1
        self.next(self.third)

    @step
    def third(self):
        self.number += 1
        self.next(self.fourth)

    @step
    def fourth(self):
        self.number += 1
        self.next(self.fifth)

    @step
    def fifth(self):
        self.number += 1
        self.next(self.sixth)

    @step
    def sixth(self):
        self.number += 1
        self.next(self.seventh)

    @step
    def seventh(self):
        self.number += 1
        self.next(self.end)

    @step
    def end(self):
        self.number += 1


if __name__ == "__main__":
    Longer()
