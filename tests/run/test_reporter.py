"""One reporter that passes on to several."""

from pathlib import Path

from steerctl.run.reporter import Everyone


class Recorder:
    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


def drive(reporter):
    reporter.start("spec", Path("runs/toy"), 1, 9)
    reporter.phase(1, "generate", 1, 2)
    reporter.step(1, {"reward/mean": 0.5})
    reporter.note("a note")
    reporter.finish("done")
    reporter.close()


def test_everyone_hears_everything_in_order():
    alone, first, second = Recorder(), Recorder(), Recorder()
    drive(alone)
    drive(Everyone([first, second]))
    assert first.calls == second.calls == alone.calls
    assert [call[0] for call in alone.calls] == ["start", "phase", "step", "note", "finish", "close"]


def test_nobody_is_silent(capfd):
    drive(Everyone())
    assert capfd.readouterr() == ("", "")
