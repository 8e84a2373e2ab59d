import pytest

from steerctl.errors import SpecError
from steerctl.spec.generator import EmbeddedGenerator, VllmGenerator
from steerctl.spec.load import load_spec
from tests.run.command import write_spec


def loaded(tmp_path, *overrides: str):
    return load_spec(write_spec(tmp_path), overrides).spec.rollout.generator


def test_the_default_is_embedded_and_the_kind_chooses(tmp_path) -> None:
    assert loaded(tmp_path) == EmbeddedGenerator()
    assert loaded(tmp_path, "rollout.generator.kind=vllm") == VllmGenerator()
    found = loaded(tmp_path, "rollout.generator={kind: vllm, servers: 2, devices: [2, 3], eager: true}")
    assert found == VllmGenerator(servers=2, devices=[2, 3], eager=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            "transport: nccl, urls: [http://a:1]",
            "transport nccl is for servers started here; servers in urls take disk",
        ),
        ("colocate: sleep, urls: [http://a:1]", "colocate: sleep is for servers started here"),
        ("transport: nccl, colocate: sleep", "colocated servers take ipc or disk"),
        ("transport: rdma", "expected one of disk, nccl, ipc"),
        ("devices: [0], tensor_parallel: 2", "1 devices for servers * tensor_parallel = 2; name 2"),
        ("urls: [localhost]", "localhost in urls is not a URL; write http://machine:port"),
        ("max_sequences: 3", "not a known key"),
        ("parity_tolerance: 0", "must be > 0"),
    ],
)
def test_what_cannot_be_is_refused_on_one_line(tmp_path, settings: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, "rollout.generator={kind: vllm, " + settings + "}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_file_there_is_nothing_to_restart_a_server_from(tmp_path) -> None:
    assert loaded(tmp_path, "rollout.generator={kind: vllm, max_restarts: 2}").restarts == 2
    assert loaded(tmp_path, "rollout.generator={kind: vllm, max_restarts: 2, transport: ipc}").restarts == 0
