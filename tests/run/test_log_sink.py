from steerctl.run.log_sink import LogSink
from steerctl.store.folder import RunFolder


def test_notes_and_the_end_stand_in_the_log_with_their_time(tmp_path):
    with RunFolder.create(tmp_path / "r", '{"name": "r", "steps": 1}', environment={"run_id": "x"}) as folder:
        log = LogSink(folder)
        log.note("first")
        log.finish("done")
        lines = folder.log.read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["first", "done"]
    assert all(line[4] == "-" and "T" in line for line in lines)
