"""compose.yaml and docs/deploy: they name what there is, give every stop its time, and pass the tools' own checks."""

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import artemis_loader.settings
import artemis_server.settings
import pytest
from artemis_server.app import max_connections
from artemis_server.commands import health
from artemis_server.supervisor import STOP_MARGIN
from ruamel.yaml import YAML

from tests.tools import needs

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
SERVER, LOADER = artemis_server.settings.Settings(command="serve"), artemis_loader.settings.Settings(command="run")
ALERTS = ROOT / "docs" / "telemetry" / "alerts.yml"
COMMANDS: Mapping[str, Callable[[list[str], Mapping[str, str]], object]] = {
    "artemis-server": artemis_server.settings.parse,
    "artemis-loader": artemis_loader.settings.parse,
}
"""The readers of the settings of each program."""
HEALTH = {
    "server": ["artemis-server", "health"],
    "loader": ["artemis-loader", "health", "--config"],
}
MIN_STOP = {"server": SERVER.shutdown_grace + STOP_MARGIN, "loader": LOADER.shutdown_grace}
"""Seconds that a stop may take by itself."""
OWN = ("server", "loader")


@cache
def read(path: Path) -> list[Any]:
    """Returns the documents of a YAML file; 0440 is an octal number, as Kubernetes reads it (YAML 1.1)."""
    yaml = YAML(typ="safe")
    found = []
    for document in path.read_text(encoding="utf-8").split("\n---\n"):
        yaml.version = (1, 1)
        found.append(yaml.load(document))
    return found


def only(path: Path) -> Any:
    """Returns the document of a YAML file that has one."""
    (document,) = read(path)
    return document


# Functions, because to read them takes half a second, in each process that collects the tests.
compose = partial(only, ROOT / "compose.yaml")
ha = partial(only, DEPLOY / "ha" / "compose.yaml")
patroni = partial(only, DEPLOY / "ha" / "patroni.yml")
kubernetes = partial(read, DEPLOY / "kubernetes.yaml")
prometheus = partial(only, DEPLOY / "prometheus.yml")
UNITS = {name: (DEPLOY / f"artemis-{name}.service").read_text(encoding="utf-8") for name in OWN}


def known(program: str) -> set[str]:
    """Returns the variables of a program."""
    settings = artemis_loader.settings if program == "artemis-loader" else artemis_server.settings
    names = {each.name.upper() for each in dataclasses.fields(settings.Settings)}
    return {f"ARTEMIS_{name}" for name in names}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def kind(name: str, called: str) -> dict[str, Any]:
    """Returns the resource of Kubernetes of this kind and name."""
    (found,) = [each for each in kubernetes() if (each["kind"], each["metadata"]["name"]) == (name, called)]
    return dict(found)


def pod(resource: Mapping[str, Any]) -> dict[str, Any]:
    return dict(resource["spec"]["template"]["spec"])


def pods() -> Iterator[dict[str, Any]]:
    return (pod(each) for each in kubernetes() if "template" in each["spec"])


def value(unit: str, key: str) -> str:
    """Returns the last value of a key in a unit of systemd."""
    return str(re.findall(rf"^{key}=(.*)$", UNITS[unit], re.MULTILINE)[-1])


def assert_understood(command: list[str]) -> None:
    """Raises if a command of ours is not one of its program."""
    program, *arguments = command
    if command[:2] == ["artemis-server", "health"]:
        health._parser({}).parse_args(command[2:])
    else:
        COMMANDS[program.rpartition("/")[2]](arguments, {})


def passes(*command: "str | Path") -> None:
    """Runs a tool that checks a file."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_sets_settings_that_exist() -> None:
    for name in (*OWN, "migrate"):
        program = "artemis-loader" if name == "loader" else "artemis-server"
        assert set(compose()["services"][name]["environment"]) <= known(program), name


@pytest.mark.parametrize("name", OWN)
def test_compose_asks_for_the_health_and_gives_a_stop_its_time(name: str) -> None:
    service = compose()["services"][name]
    _, *command = service["healthcheck"]["test"]
    assert command[: len(HEALTH[name])] == HEALTH[name]
    assert_understood(command)
    assert seconds(service["stop_grace_period"]) > MIN_STOP[name]


@pytest.mark.parametrize("document", [compose, ha], ids=["one machine", "high availability"])
def test_compose_limits_and_checks_all_that_goes_on_running(document: Callable[[], Any]) -> None:
    for name, service in document()["services"].items():
        if service.get("restart") == "unless-stopped":
            assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
            assert service["healthcheck"]["test"], name


def test_compose_runs_two_servers_on_the_ports_of_this_machine() -> None:
    server = compose()["services"]["server"]
    assert server["deploy"]["replicas"] == 2
    assert server["ports"] == ["127.0.0.1:50051-50052:50051"]


def test_the_database_of_compose_has_connections_for_all_servers_and_the_loader() -> None:
    (limit,) = re.findall(r"max_connections=(\d+)", " ".join(compose()["services"]["database"]["command"]))
    replicas = compose()["services"]["server"]["deploy"]["replicas"]
    assert replicas * max_connections(SERVER) + 20 <= int(limit)


def test_the_servers_of_high_availability_know_every_node() -> None:
    services = ha()["services"]
    nodes = sorted(name for name, each in services.items() if "PATRONI_NAME" in each.get("environment", {}))
    for name in ("server", "migrate"):
        environment = services[name]["environment"]
        assert set(environment) <= known("artemis-server")
        assert environment["ARTEMIS_DATABASE_URL"] == f"postgresql://postgres@{','.join(nodes)}/postgres"
    assert_understood(services["server"]["healthcheck"]["test"][1:])
    assert seconds(services["server"]["stop_grace_period"]) > MIN_STOP["server"]


def test_a_commit_of_high_availability_waits_for_a_standby_and_there_is_room_for_the_servers() -> None:
    settings = patroni()["bootstrap"]["dcs"]
    assert (settings["synchronous_mode"], settings["synchronous_mode_strict"]) == ("quorum", True)
    assert settings["postgresql"]["parameters"]["synchronous_commit"] == "on"
    replicas = ha()["services"]["server"]["deploy"]["replicas"]
    assert replicas * max_connections(SERVER) + 20 <= settings["postgresql"]["parameters"]["max_connections"]


def test_compose_mounts_what_is_there_or_made_by_its_page() -> None:
    sources = {
        volume.partition(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    }
    missing = {source for source in sources if not (ROOT / source).exists()}
    assert missing <= {"./secrets"}


def test_the_rejects_of_compose_are_in_a_volume_that_the_image_has_a_folder_for() -> None:
    assert "rejects:/data/rejects" in compose()["services"]["loader"]["volumes"]
    assert {"database", "rejects", "prometheus"} <= compose()["volumes"].keys()
    assert " /data/rejects " in (ROOT / "loader" / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OWN)
def test_prometheus_scrapes_every_server_and_the_loader_of_compose(name: str) -> None:
    (job,) = [each for each in prometheus()["scrape_configs"] if each["job_name"] == f"artemis-{name}"]
    (found,) = job["dns_sd_configs"]
    environment = compose()["services"][name]["environment"]
    assert found["names"] == [name]
    assert environment["ARTEMIS_METRICS_LISTEN"] == f"0.0.0.0:{found['port']}"


@pytest.mark.parametrize("name", OWN)
def test_kubernetes_tells_prometheus_the_port_of_the_metrics(name: str) -> None:
    deployment = kind("Deployment", f"artemis-{name}")
    (container,) = pod(deployment)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    (listen,) = [each["value"] for each in container["env"] if each["name"] == "ARTEMIS_METRICS_LISTEN"]
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["metrics"]) == listen.rpartition(":")[2]


def test_kubernetes_sets_settings_that_exist_and_runs_commands_that_exist() -> None:
    for each in pods():
        for container in each["containers"]:
            program = container["image"].partition(":")[0]
            assert {variable["name"] for variable in container["env"]} <= known(program)
            for probe in ("startupProbe", "readinessProbe"):
                if probe in container:
                    assert_understood(container[probe]["exec"]["command"])
            if "command" in container:
                assert_understood(container["command"])


@pytest.mark.parametrize("name", OWN)
def test_kubernetes_asks_for_the_health_and_gives_a_stop_its_time(name: str) -> None:
    found = pod(kind("Deployment", f"artemis-{name}"))
    (container,) = found["containers"]
    assert container["readinessProbe"]["exec"]["command"][: len(HEALTH[name])] == HEALTH[name]
    assert container["readinessProbe"]["timeoutSeconds"] > health.TIMEOUT
    assert found["terminationGracePeriodSeconds"] > MIN_STOP[name]


def test_kubernetes_does_not_end_a_server_because_its_database_is_away() -> None:
    (container,) = pod(kind("Deployment", "artemis-server"))["containers"]
    assert container["livenessProbe"].keys() & {"tcpSocket", "exec", "grpc", "httpGet"} == {"tcpSocket"}


def test_no_pod_may_do_more_than_it_needs() -> None:
    for each in pods():
        assert each["securityContext"]["runAsNonRoot"] is True
        assert each["automountServiceAccountToken"] is False
        for container in each["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"].keys() == {"requests", "limits"}


def test_the_files_that_kubernetes_mounts_are_where_the_settings_say_and_not_for_others() -> None:
    for each in pods():
        volumes = {volume["name"]: volume for volume in each["volumes"]}
        for container in each["containers"]:
            folders = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
            for variable in container["env"]:
                if variable["value"].startswith("/"):
                    assert str(Path(variable["value"]).parent) in folders, variable
        assert {volume["secret"]["defaultMode"] for volume in volumes.values() if "secret" in volume} == {0o440}


def test_the_service_has_every_server_and_some_stay_while_nodes_are_drained() -> None:
    server, service = kind("Deployment", "artemis-server"), kind("Service", "artemis")
    budget = kind("PodDisruptionBudget", "artemis-server")
    labels = server["spec"]["template"]["metadata"]["labels"]
    assert labels == server["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert labels == budget["spec"]["selector"]["matchLabels"]
    assert service["spec"]["clusterIP"] == "None"
    assert 0 < budget["spec"]["minAvailable"] < server["spec"]["replicas"]
    (container,) = pod(server)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports


@pytest.mark.parametrize("name", OWN)
def test_a_unit_of_systemd_runs_a_command_that_exists_and_gives_a_stop_its_time(name: str) -> None:
    assert_understood(value(name, "ExecStart").split())
    assert seconds(value(name, "TimeoutStopSec")) > MIN_STOP[name]
    assert value(name, "Restart") == "always"
    assert value(name, "User") == "artemis"
    set_here = set(re.findall(r"^Environment=(ARTEMIS_\w+)", UNITS[name], re.MULTILINE))
    assert set_here <= known(f"artemis-{name}")


@needs("systemd-analyze")
@pytest.mark.parametrize("name", OWN)
def test_systemd_accepts_a_unit(name: str, tmp_path: Path) -> None:
    unit = tmp_path / f"artemis-{name}.service"
    unit.write_text(UNITS[name].replace(f"/opt/artemis/bin/artemis-{name}", sys.executable), encoding="utf-8")
    passes("systemd-analyze", "verify", "--man=no", unit)


@needs("promtool")
def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    """With the rules, which Compose mounts beside it."""
    configuration = Path(shutil.copy(DEPLOY / "prometheus.yml", tmp_path))
    shutil.copy(ALERTS, tmp_path)
    passes("promtool", "check", "config", configuration)
