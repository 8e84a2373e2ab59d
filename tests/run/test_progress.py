from steerctl.run.progress import SamplingProgress


class Spy:
    def __init__(self):
        self.told = []

    def phase(self, *arguments):
        self.told.append(arguments)


def test_counts_tokens_of_the_step_and_does_not_flood(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("steerctl.run.progress.time.monotonic", lambda: now[0])
    spy = Spy()
    progress = SamplingProgress(spy, 100)
    progress.begin(3)
    for _ in range(10):
        now[0] += 0.06
        progress(4)
    assert spy.told == [(3, "generate", tokens, 100) for tokens in (8, 16, 24, 32, 40)]
    progress.begin(4)
    now[0] += 1
    progress(1)
    assert spy.told[-1] == (4, "generate", 1, 100)
