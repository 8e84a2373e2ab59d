from steerctl.rollout.collect import Collected
from steerctl.run.colocate import RestAfter


def test_the_servers_rest_once_the_groups_are_there() -> None:
    told = []

    class Source:
        def collect(self, step, cursor):
            told.append(("collect", step, cursor))
            return Collected((), cursor + 4, 4, 0)

    class Servers:
        def rest(self):
            told.append("rest")

    found = RestAfter(Source(), Servers()).collect(3, 8)
    assert found.cursor == 12
    assert told == [("collect", 3, 8), "rest"]
