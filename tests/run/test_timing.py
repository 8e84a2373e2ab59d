import time

from steerctl.run.timing import Clock, TimedGenerator, TimedPolicy, TimedVerifier
from steerctl.types import Request, Sampling
from tests.fakes import FakeGenerator, FakePolicy, FakeVerifier, problems


def test_a_clock_adds_up_and_forgets():
    clock = Clock()
    for _ in range(2):
        with clock("a"):
            time.sleep(0.01)
    laps = clock.lap()
    assert set(laps) == {"a"}
    assert laps["a"] >= 0.02
    assert clock.lap() == {}


def test_time_counts_although_the_block_raised():
    clock = Clock()
    try:
        with clock("a"):
            raise KeyError  # noqa: TRY301 (the point of the test)
    except KeyError:
        pass
    assert "a" in clock.lap()


def test_wrappers_pass_through_and_book_under_their_names():
    clock = Clock()
    generator = TimedGenerator(FakeGenerator(), clock)
    rollouts = generator.generate([Request("p", (1,), (5, 6))], Sampling(1.0, 1.0, 0, 4))
    assert [r.seed for r in rollouts[0]] == [5, 6]
    policy = TimedPolicy(FakePolicy(), clock)
    generator.load_weights(policy.weights(), 3)
    assert policy.all_gather(1) == [1]
    assert (policy.rank, policy.world_size) == (0, 1)
    verdicts = TimedVerifier(FakeVerifier(), clock).verify([(problems(1)[0], "0 1")])
    assert verdicts[0].value == 1
    assert set(clock.lap()) == {"generate", "push", "wait", "verify"}
