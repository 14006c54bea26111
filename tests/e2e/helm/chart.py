"""The chart: valid for every Kubernetes it says it is for, and made so that a cluster of voters survives."""

import json
import re

import kubernetes_validate
import yaml
from arsenal_e2e import equal, holds, raises
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError
from rendered import CHART, Release, check, checked, container, release, releases

# From the oldest that Chart.yaml admits to the newest whose schemas are at hand.
KUBERNETES = ["1.31", "1.34", "1.37"]

# Kinds of others, whose schemas Kubernetes does not have: checked by name below.
CUSTOM = {"ServiceMonitor"}


@check
def the_linter_of_helm_has_nothing_to_say():
    report = lint(CHART, strict=True)
    # a recommendation (severity 1) about an icon is none about what is deployed
    equal([each for each in report["messages"] if each["severity"] > 1], [])
    equal(report["errors"], [])


@check
def every_object_is_valid_for_every_kubernetes_of_the_chart():
    for name, rendered in releases().items():
        for each in rendered.objects:
            if each["kind"] in CUSTOM:
                continue
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(each, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise AssertionError(f"{name}: {each['kind']} for {version}: {error.message}") from error


@check
def the_oldest_kubernetes_checked_is_the_oldest_admitted():
    admitted = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"]
    equal(admitted, f">={KUBERNETES[0]}.0-0")


@check
def a_misspelt_field_would_be_found():
    voters = release("default").workloads()["voters"]
    voters["spec"]["podManagmentPolicy"] = "Parallel"
    with raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(voters, KUBERNETES[0], strict=True)


@check
def every_object_is_in_the_namespace_and_has_the_labels():
    for rendered in releases().values():
        names = [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
        equal(len(names), len(set(names)))
        for each in rendered.objects:
            equal(each["metadata"]["namespace"], "prod")
            equal(each["metadata"]["labels"]["app.kubernetes.io/instance"], "demo")


@check
def the_program_accepts_every_configuration():
    for name, rendered in releases().items():
        for component, pod in rendered.pods().items():
            args = container(pod)["args"]
            environment = {each["name"]: each.get("value", "127.0.0.1") for each in container(pod).get("env", [])}
            code, said = checked(args[0], rendered.config(component), environment)
            equal((name, component, code, said.splitlines()[1:]), (name, component, 0, []))
            equal(args[1:], ["--config", "/etc/arsenal/arsenal.toml"])


@check
def the_program_refuses_a_setting_that_it_does_not_have():
    wrong = Release({"config": {"limits": {"no_such": 1}}})
    code, said = checked("node", wrong.config("voters"))
    equal(code, 4)
    holds("no_such" in said, said)


@check
def settings_of_the_values_reach_the_file_and_a_role_goes_before_all():
    rendered = release("five")
    voters, members = rendered.config("voters"), rendered.config("members")
    holds("processes_max = 1000000\n" in voters, voters)
    holds("processes_max = 4000000\n" in members, members)
    holds("sample_ratio = 0.1\n" in voters, voters)
    holds('origins = ["https://example.com"]\n' in release("gateway").config("gateway"), "origins")


@check
def voters_start_all_at_once_and_find_each_other_before_they_are_ready():
    for name, replicas in [("default", 3), ("five", 5), ("bare", 1)]:
        rendered = release(name)
        voters = rendered.workloads()["voters"]["spec"]
        equal((voters["replicas"], voters["podManagementPolicy"]), (replicas, "Parallel"))
        service = rendered.kind("Service")[voters["serviceName"]]["spec"]
        equal((service["clusterIP"], service["publishNotReadyAddresses"]), ("None", True))
        equal(rendered.chosen(service["selector"]), {"voters"})


@check
def what_voters_keep_outlives_them():
    voters = release("default").workloads()["voters"]["spec"]
    equal(voters["persistentVolumeClaimRetentionPolicy"], {"whenDeleted": "Retain", "whenScaled": "Retain"})
    [claim] = voters["volumeClaimTemplates"]
    equal(claim["spec"]["resources"]["requests"]["storage"], "8Gi")
    [mount] = [each for each in container(voters["template"])["volumeMounts"] if each["name"] == "data"]
    equal(mount["mountPath"], "/var/lib/arsenal")
    [five] = release("five").workloads()["voters"]["spec"]["volumeClaimTemplates"]
    equal(five["spec"]["storageClassName"], "fast")


@check
def no_more_than_one_voter_is_taken_away_at_a_time():
    for name in ("default", "five"):
        budget = release(name).kind("PodDisruptionBudget")["demo-arsenal-voters"]["spec"]
        equal((budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]), (1, "AlwaysAllow"))
        equal(release(name).chosen(budget["selector"]["matchLabels"]), {"voters"})
    equal(release("bare").kind("PodDisruptionBudget"), {})


@check
def voters_keep_off_each_others_machines_and_spread_over_zones():
    for name, zones in [("default", "ScheduleAnyway"), ("five", "DoNotSchedule")]:
        rendered = release(name)
        pod = rendered.pods()["voters"]["spec"]
        [apart] = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        equal(apart["topologyKey"], "kubernetes.io/hostname")
        [spread] = pod["topologySpreadConstraints"]
        equal((spread["topologyKey"], spread["whenUnsatisfiable"]), ("topology.kubernetes.io/zone", zones))
        for selector in (apart["labelSelector"], spread["labelSelector"]):
            equal(rendered.chosen(selector["matchLabels"]), {"voters"})


@check
def probes_ask_the_port_that_the_configuration_opens():
    for rendered in releases().values():
        for component, pod in rendered.pods().items():
            program = container(pod)
            ports = {each["name"]: each["containerPort"] for each in program["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                equal(program[probe]["grpc"]["port"], ports["probes"])
            # a node without a quorum or in its drain is not ready, and must not be restarted for it
            equal(program["livenessProbe"]["grpc"]["service"], "liveness")
            equal(program["readinessProbe"]["grpc"].get("service", ""), "")
            opened = dict(re.findall(r'^(grpc|rest|probes) = ".*:(\d+)"$', rendered.config(component), re.M))
            equal(int(opened["probes"]), ports["probes"])
            if "grpc" in ports:
                equal(int(opened["grpc"]), ports["grpc"])
            else:
                equal(int(opened["rest"]), ports["http"])


@check
def a_pod_has_the_time_that_its_drain_and_its_shutdown_take():
    for rendered in releases().values():
        for component, pod in rendered.pods().items():
            values = rendered.values[component]
            grace = pod["spec"]["terminationGracePeriodSeconds"]
            holds(grace > values["drainSeconds"] + values["shutdownSeconds"], f"{component}: {grace}")
            timeout = f"timeout_ms = {values['shutdownSeconds'] * 1000}"
            holds(timeout in rendered.config(component), f"{component}: {timeout}")
            holds(container(pod)["lifecycle"]["preStop"], component)


@check
def pods_have_no_rights():
    for rendered in releases().values():
        for pod in rendered.pods().values():
            spec = pod["spec"]
            equal((spec["automountServiceAccountToken"], spec["securityContext"]["runAsNonRoot"]), (False, True))
            equal(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            rights = container(pod)["securityContext"]
            equal((rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]), (False, True))
            equal(rights["capabilities"], {"drop": ["ALL"]})


@check
def a_changed_configuration_is_a_new_pod_and_nothing_else_is():
    def sums(values):
        return {
            component: pod["metadata"]["annotations"]["checksum/config"] for component, pod in Release(values).pods().items()
        }

    before = sums({})
    equal(sums({"voters": {"replicas": 3}}), before)
    after = sums({"voters": {"config": {"limits": {"processes_max": 5}}}})
    equal((after["voters"] != before["voters"], after["gateway"]), (True, before["gateway"]))


@check
def members_and_gateways_scale_by_what_they_use():
    scalers = release("five").kind("HorizontalPodAutoscaler")
    equal(set(scalers), {"demo-arsenal-members", "demo-arsenal-gateway"})
    members = scalers["demo-arsenal-members"]["spec"]
    equal((members["minReplicas"], members["maxReplicas"]), (3, 50))
    wanted = {each["resource"]["name"]: each["resource"]["target"]["averageUtilization"] for each in members["metrics"]}
    equal(wanted, {"cpu": 70, "memory": 80})
    equal(members["behavior"]["scaleDown"]["policies"], [{"type": "Pods", "value": 1, "periodSeconds": 60}])
    for scaler in scalers.values():
        target = scaler["spec"]["scaleTargetRef"]
        deployment = release("five").kind(target["kind"])[target["name"]]
        # else every upgrade would set back what the scaler did
        holds("replicas" not in deployment["spec"], target["name"])
    equal(release("default").kind("Deployment")["demo-arsenal-gateway"]["spec"]["replicas"], 2)


@check
def every_selector_chooses_pods_that_are_there():
    for name, rendered in releases().items():
        for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            for each in rendered.kind(kind).values():
                spec = each["spec"]
                selector = spec["podSelector"] if kind == "NetworkPolicy" else spec["selector"]
                chosen = rendered.chosen(selector.get("matchLabels", selector))
                holds(chosen, f"{name}: {kind} {each['metadata']['name']} chooses nothing")


@check
def every_port_of_a_service_is_one_of_its_pods():
    for rendered in releases().values():
        for service in rendered.kind("Service").values():
            for component in rendered.chosen(service["spec"]["selector"]):
                open_ports = {each["name"] for each in container(rendered.pods()[component])["ports"]}
                wanted = {each["targetPort"] for each in service["spec"]["ports"]}
                equal(wanted - open_ports, set())


@check
def the_gateway_calls_the_nodes_of_its_release_or_those_that_it_is_told():
    own = re.search(r'upstream = "(.*)"', release("five").config("gateway"))[1].split(",")
    equal(len(own), 6)
    equal(own[4], "http://demo-arsenal-voters-4.demo-arsenal-voters.prod.svc.cluster.local:7450")
    equal(own[5], "http://demo-arsenal-members.prod.svc.cluster.local:7450")
    services = release("five").kind("Service")
    holds({"demo-arsenal-voters", "demo-arsenal-members"} <= set(services), "the names are services")
    other = re.search(r'upstream = "(.*)"', release("gateway").config("gateway"))[1]
    equal(other, "http://10.0.0.1:7450,http://10.0.0.2:7450")
    equal(set(release("gateway").workloads()), {"gateway"})


@check
def the_network_admits_whom_the_values_name():
    nodes = release("five").kind("NetworkPolicy")["demo-arsenal-nodes"]["spec"]
    equal(release("five").chosen(nodes["podSelector"]["matchLabels"]), {"voters", "members"})
    admitted = {}
    for rule in nodes["ingress"]:
        for port in rule["ports"]:
            admitted.setdefault(port["port"], []).extend(rule.get("from", ["everybody"]))
    own = {"app.kubernetes.io/name": "arsenal", "app.kubernetes.io/instance": "demo"}
    orders = {"namespaceSelector": {"matchLabels": {"team": "orders"}}}
    equal(admitted[7450], [{"podSelector": {"matchLabels": own}}, orders])
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    equal(admitted[7451], [monitoring])
    left = [port["port"] for rule in nodes["egress"] for port in rule["ports"]]
    equal(left, [7450, 53, 53, 4317])
    equal(release("bare").kind("NetworkPolicy"), {})


@check
def metrics_are_scraped_from_every_node_and_from_nothing_else():
    rendered = release("five")
    monitor = rendered.kind("ServiceMonitor")["demo-arsenal"]
    equal((monitor["apiVersion"], monitor["metadata"]["labels"]["release"]), ("monitoring.coreos.com/v1", "prometheus"))
    allowed = {"jobLabel", "namespaceSelector", "selector", "podTargetLabels", "endpoints"}
    equal(set(monitor["spec"]) - allowed, set())
    [endpoint] = monitor["spec"]["endpoints"]
    equal(endpoint, {"port": "probes", "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s"})
    [only] = monitor["spec"]["selector"]["matchExpressions"]
    scraped = set()
    for service in rendered.kind("Service").values():
        labels = service["metadata"]["labels"]
        if labels[only["key"]] in only["values"] and monitor["spec"]["selector"]["matchLabels"].items() <= labels.items():
            holds(endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}, labels)
            scraped |= rendered.chosen(service["spec"]["selector"])
    equal(scraped, {"voters", "members"})
    equal(release("default").kind("ServiceMonitor"), {})


@check
def an_image_by_digest_is_that_image():
    equal(container(release("default").pods()["voters"])["image"], "ghcr.io/arsenal-cluster/arsenal:0.1.0")
    bare = container(release("bare").pods()["voters"])["image"]
    holds(bare.startswith("ghcr.io/arsenal-cluster/arsenal@sha256:0123"), bare)


@check
def names_stay_within_what_a_host_name_takes():
    long = Release({"fullnameOverride": "a" * 200, "voters": {"replicas": 5}})
    [voters] = long.kind("StatefulSet")
    holds(len(f"{voters}-4") <= 63, voters)


@check
def the_notes_tell_how_to_reach_it():
    notes = release("default").notes
    holds("kubectl -n prod port-forward svc/demo-arsenal-gateway 8080:8080" in notes, notes)
    holds("gateway" not in release("bare").notes, release("bare").notes)


@check
def the_schema_refuses_nonsense_and_names_it():
    for values, part in [
        ({"voters": {"replicas": 4}}, "/voters/replicas"),
        ({"voters": {"replica": 3}}, "replica"),
        ({"voters": {"storage": {"size": "eight"}}}, "/voters/storage/size"),
        ({"voters": {"drainSeconds": "90s"}}, "/voters/drainSeconds"),
        ({"voters": {"spread": {"zones": "Maybe"}}}, "/voters/spread/zones"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"gateway": {"upstream": ["10.0.0.1:7450"]}}, "/gateway/upstream/0"),
        ({"gateway": {"service": {"port": 0}}}, "/gateway/service/port"),
        ({"members": {"autoscaling": {"cpuPercent": 140}}}, "/members/autoscaling/cpuPercent"),
        # what the chart itself decides
        ({"config": {"listen": {"grpc": "0.0.0.0:1"}}}, "listen"),
        ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval"),
        ({"nonsense": True}, "nonsense"),
    ]:
        with raises(HelmError) as raised:
            Release(values)
        holds(part in str(raised.error), f"{values}: {raised.error}")


def leaves(values, path=""):
    """The paths of all values; a table without members is a value."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


@check
def the_readme_has_every_value_with_its_default_and_no_other():
    with Chart.load(CHART) as chart:
        values = chart.values
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]*)` \| (.+) \|$", (CHART / "README.md").read_text(), re.M)
    told = {}
    for paths, default, meaning in rows:
        holds(len(meaning) > 5, paths)
        # one row for what the roles share
        for role in ("voters", "members", "gateway") if paths.startswith("ROLE.") else ("",):
            told[paths.replace("ROLE", role, 1)] = default
    found = {path: path.split(".") for path in leaves(values)}
    for path, keys in found.items():
        value = values
        for key in keys:
            value = value[key]
        holds(path in told, f"{path} is not in README.md")
        default = told.pop(path)
        if default != "":
            equal((path, json.loads(default)), (path, value))
    equal(set(told), set())
