"""clusters/Dockerfile, which is not built here, is what the KubeRay resources and the project say it is."""

import re
import tomllib

from tests.clusters.files import CHECKOUT, ON_KUBERNETES, ROOT, cluster_spec, pods, read

DOCKERFILE = ROOT / "clusters/Dockerfile"


def test_every_container_has_the_image_that_the_dockerfile_makes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    image = f"REGISTRY/truing:{project['version']}"
    assert {one["spec"]["containers"][0]["image"] for path in ON_KUBERNETES for one in pods(read(path))} == {image}
    assert f"-t {image} ." in DOCKERFILE.read_text(encoding="utf-8")


def test_versions_are_those_of_the_project():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pinned = dict(line.split("==") for line in dependencies if "==" in line)
    assert {cluster_spec(read(path))["rayVersion"] for path in ON_KUBERNETES} == {pinned["ray[default,data,serve]"]}
    assert set(re.findall(r"torch==([\d.]+)", DOCKERFILE.read_text(encoding="utf-8"))) == {pinned["torch"]}


def test_the_image_holds_what_is_needed_and_runs_as_its_user():
    text = DOCKERFILE.read_text(encoding="utf-8")
    instructions = re.findall(r"^([A-Z]+) (.+)$", text, flags=re.MULTILINE)
    for sources in (rest.split()[:-1] for what, rest in instructions if what == "COPY"):
        assert all((ROOT / source).exists() for source in sources)
    packages = {rest.split()[0] for what, rest in instructions if what == "COPY"}
    assert packages >= {"pyproject.toml", "truing", "actors", "trainers", "jobs", "configs"}
    assert ("WORKDIR", CHECKOUT) in instructions
    (user,) = {str(pod["spec"]["securityContext"]["runAsUser"]) for path in ON_KUBERNETES for pod in pods(read(path))}
    assert f"--uid {user} " in text
    assert [rest for what, rest in instructions if what == "USER"] == ["truing"]
