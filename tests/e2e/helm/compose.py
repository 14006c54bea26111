"""The compose file: three voters that find each other, and a gateway that finds them."""

import yaml
from arsenal_e2e import equal, holds
from rendered import ROOT, check, checked

PATH = ROOT / "deploy" / "compose.yaml"


def services():
    """All services, anchors resolved."""
    return yaml.safe_load(PATH.read_text())["services"]


def voters():
    """Those that run a node."""
    return {name: each for name, each in services().items() if each["command"] == ["node"]}


@check
def every_service_is_the_image_that_the_definition_makes():
    for service in services().values():
        definition = (PATH.parent / service["build"]["context"] / service["build"]["dockerfile"]).resolve()
        equal(definition, ROOT / "deploy" / "Dockerfile")


@check
def the_program_accepts_every_environment():
    for name, service in services().items():
        [program] = service["command"]
        code, said = checked(program, "", service["environment"])
        equal((name, code, said.splitlines()[1:]), (name, 0, []))


@check
def a_variable_that_names_no_setting_would_be_found():
    environment = {**voters()["voter-1"]["environment"], "ARSENAL_CLUSTER_SEED": "voter-1:7450"}
    code, said = checked("node", "", environment)
    equal((code, "cluster.seed" in said), (4, True))


@check
def as_many_voters_found_the_cluster_as_it_waits_for_and_each_is_another():
    nodes = voters()
    settings = [each["environment"] for each in nodes.values()]
    equal({each["ARSENAL_CLUSTER_BOOTSTRAP_EXPECT"] for each in settings}, {str(len(nodes))})
    equal({each["ARSENAL_CLUSTER_ADDRESS"] for each in settings}, {f"{name}:7450" for name in nodes})
    for each in settings:
        seeds = yaml.safe_load(each["ARSENAL_CLUSTER_SEEDS"])
        equal(set(seeds), {f"{name}:7450" for name in nodes})


@check
def each_voter_has_a_volume_of_its_own_where_it_keeps_its_log():
    kept = yaml.safe_load(PATH.read_text())["volumes"]
    mounted = []
    for service in voters().values():
        [volume] = service["volumes"]
        name, folder = volume.split(":")
        equal(folder, service["environment"]["ARSENAL_NODE_DATA_DIR"])
        mounted.append(name)
    equal(sorted(mounted), sorted(kept))


@check
def the_gateway_calls_every_voter_and_is_open_to_this_machine_alone():
    gateway = services()["gateway"]
    upstream = gateway["environment"]["ARSENAL_GATEWAY_UPSTREAM"].split(",")
    equal(upstream, [f"http://{name}:7450" for name in voters()])
    for port in gateway["ports"]:
        holds(port.startswith("127.0.0.1:"), port)


@check
def a_service_is_given_longer_to_stop_than_it_takes():
    for service in voters().values():
        grace = int(service["stop_grace_period"].removesuffix("s"))
        holds(grace * 1000 > int(service["environment"]["ARSENAL_SHUTDOWN_TIMEOUT_MS"]), grace)
