"""The chart: valid for every Kubernetes it says it is for, and made so that a cluster of voters survives."""

import json
import os
import re
import subprocess

import kubernetes_validate
import yaml
from arsenal_e2e import equal, holds, raises
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError
from rendered import CHART, Release, check, checked, container, release, releases

# From the oldest that Chart.yaml admits to the newest whose schemas are at hand.
KUBERNETES = ["1.31", "1.34", "1.37"]

# Kinds of others, whose schemas Kubernetes does not have: checked by name below.
CUSTOM = {"ServiceMonitor", "Issuer", "Certificate"}


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


# What Kubernetes puts in place of the fields of a pod.
FIELDS = {
    "metadata.name": "demo-arsenal-voters-1",
    "status.podIP": "10.1.2.3",
    "metadata.labels['topology.kubernetes.io/zone']": "eu-1a",
}


def environment(pod):
    """The variables of a pod as its program sees them."""
    found = {}
    for each in container(pod).get("env", []):
        value = each["value"] if "value" in each else FIELDS[each["valueFrom"]["fieldRef"]["fieldPath"]]
        found[each["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], value)
    return found


@check
def the_program_accepts_every_configuration():
    for name, rendered in releases().items():
        for component, pod in rendered.pods().items():
            args = container(pod)["args"]
            code, said = checked(args[0], rendered.config(component), environment(pod))
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
    voters, members = rendered.settings("voters"), rendered.settings("members")
    equal([each["limits"]["processes_max"] for each in (voters, members)], [1_000_000, 4_000_000])
    equal(voters["telemetry"]["sample_ratio"], 0.1)
    equal(release("gateway").settings("gateway")["gateway"]["origins"], ["https://example.com"])


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
def as_many_voters_found_the_cluster_as_there_are_and_members_join_it():
    for name, replicas in [("default", 3), ("five", 5), ("bare", 1)]:
        rendered = release(name)
        voters = rendered.settings("voters")
        equal((voters["cluster"]["bootstrap_expect"], voters["cluster"]["voters"]), (replicas, replicas))
        [seed] = voters["cluster"]["seeds"]
        host, port = seed.rsplit(":", 1)
        service = rendered.kind("Service")[host.split(".")[0]]
        holds(int(port) in {each["port"] for each in service["spec"]["ports"]}, seed)
        # its own name is one that the headless service gives its pod
        own = environment(rendered.pods()["voters"])
        equal(own["ARSENAL_CLUSTER_ADDRESS"], f"{FIELDS['metadata.name']}.{host}:{port}")
        [mount] = [each for each in container(rendered.pods()["voters"])["volumeMounts"] if each["name"] == "data"]
        equal(voters["node"]["data_dir"], mount["mountPath"])
    members = release("five").settings("members")
    equal((members["cluster"]["never_votes"], "never_votes" in release("five").settings("voters")["cluster"]), (True, False))
    equal((members["cluster"].get("bootstrap_expect", 0), members["cluster"]["seeds"]), (0, release("five").settings("voters")["cluster"]["seeds"]))
    equal(environment(release("five").pods()["members"])["ARSENAL_CLUSTER_ADDRESS"], "10.1.2.3:7450")


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
            listen = rendered.settings(component)["listen"]
            opened = {name: int(listen[name].rsplit(":", 1)[1]) for name in ("grpc", "rest", "probes") if name in listen}
            served = "rest" if component == "gateway" else "grpc"
            equal(opened, {served: ports["http" if served == "rest" else "grpc"], "probes": ports["probes"]})


@check
def a_pod_has_the_time_that_its_drain_and_its_shutdown_take():
    for rendered in releases().values():
        for component, pod in rendered.pods().items():
            values = rendered.values[component]
            grace = pod["spec"]["terminationGracePeriodSeconds"]
            holds(grace > values["drainSeconds"] + values["shutdownSeconds"], f"{component}: {grace}")
            equal(rendered.settings(component)["shutdown"]["timeout_ms"], values["shutdownSeconds"] * 1000)
            holds(container(pod)["lifecycle"]["preStop"], component)


def mounted(pod):
    """Where each secret of a pod is found."""
    volumes = {each["name"]: each["secret"]["secretName"] for each in pod["spec"]["volumes"] if "secret" in each}
    mounts = {each["name"]: each["mountPath"] for each in container(pod)["volumeMounts"]}
    return {mounts[name]: secret for name, secret in volumes.items()}


@check
def every_certificate_that_a_configuration_names_is_mounted_from_a_secret():
    for rendered in releases().values():
        for component, pod in rendered.pods().items():
            folders = set(mounted(pod))
            for path in re.findall(r'"(/etc/arsenal/[^"]+)"', rendered.config(component)):
                holds(path.rsplit("/", 1)[0] in folders, f"{component}: {path}")


@check
def nodes_admit_only_who_shows_a_certificate_unless_that_is_turned_off():
    for name in ("default", "five", "issuer", "secrets"):
        settings = release(name).settings("voters")
        equal(settings["tls"]["client_ca"], "/etc/arsenal/tls/ca.crt")
        holds("insecure" not in settings["listen"], name)
        gateway = release(name).settings("gateway")["gateway"]
        equal(gateway["upstream_certificate"], "/etc/arsenal/upstream/tls.crt")
        holds(gateway["upstream"].startswith("https://"), gateway["upstream"])
    bare = release("bare").settings("voters")
    equal((bare["listen"]["insecure"], "tls" in bare), (True, False))
    equal(release("bare").kind("Certificate"), {})


@check
def cert_manager_makes_each_secret_that_is_mounted_and_was_not_brought():
    made = {"default": {"demo-arsenal-node-tls", "demo-arsenal-client-tls"}, "secrets": set(), "gateway": set()}
    for name, expected in made.items():
        rendered = release(name)
        leaves = [each["spec"] for each in rendered.kind("Certificate").values() if not each["spec"].get("isCA")]
        equal({leaf["secretName"] for leaf in leaves}, expected)
        secrets = {secret for pod in rendered.pods().values() for secret in mounted(pod).values()}
        brought = {"my-nodes", "my-gateway", "front-client"}
        equal(secrets - brought, expected)
    equal(mounted(release("issuer").pods()["gateway"])["/etc/arsenal/tls"], "arsenal-example-com")


@check
def a_node_s_certificate_has_every_name_by_which_it_is_called():
    rendered = release("five")
    names = rendered.kind("Certificate")["demo-arsenal-node"]["spec"]["dnsNames"]

    def has(host):
        return host in names or f"*.{host.split('.', 1)[1]}" in names

    for url in rendered.settings("gateway")["gateway"]["upstream"].split(","):
        holds(has(re.match(r"https://(.+):\d+$", url)[1]), url)
    # nodes call each other by addresses that are no names, and expect the one that all have
    holds(has(rendered.settings("members")["tls"]["node_name"]), "tls.node_name")
    # who drains a pod asks from within
    command = container(rendered.pods()["voters"])["lifecycle"]["preStop"]["exec"]["command"]
    [url] = [each.split("=", 1)[1] for each in command if each.startswith("--node=")]
    holds(has(re.match(r"https://(.+):7450$", url)[1]), url)


@check
def only_nodes_have_the_name_by_which_they_are_known():
    for name in ("default", "five", "issuer"):
        rendered = release(name)
        node_name = rendered.settings("voters")["tls"]["node_name"]
        having = {
            each["metadata"]["name"]
            for each in rendered.kind("Certificate").values()
            if node_name in each["spec"].get("dnsNames", [])
        }
        equal((name, having), (name, {"demo-arsenal-node"}))
    shared = Release({"tls": {"nodeName": "nodes.example.com"}})
    equal(shared.settings("voters")["tls"]["node_name"], "nodes.example.com")
    holds("nodes.example.com" in shared.kind("Certificate")["demo-arsenal-node"]["spec"]["dnsNames"], "its name")


@check
def certificates_are_of_the_kinds_and_fields_that_cert_manager_knows():
    known = {
        *("secretName", "commonName", "isCA", "duration", "renewBefore", "privateKey", "usages", "dnsNames", "issuerRef"),
    }
    for name, rendered in releases().items():
        issuers = {issuer for issuer, each in rendered.kind("Issuer").items() if each["apiVersion"] == "cert-manager.io/v1"}
        for certificate in rendered.kind("Certificate").values():
            spec = certificate["spec"]
            equal((certificate["apiVersion"], set(spec) - known), ("cert-manager.io/v1", set()))
            equal(set(spec["privateKey"]), {"algorithm", "size", "rotationPolicy"})
            holds(int(spec["duration"][:-1]) > int(spec["renewBefore"][:-1]), certificate["metadata"]["name"])
            reference = spec["issuerRef"]
            own = reference["kind"] == "Issuer" and reference["name"] in issuers
            holds(own or (name, reference["name"]) == ("issuer", "corporate"), reference)
    # an authority whose key changes is believed by nobody
    equal(release("default").kind("Certificate")["demo-arsenal-ca"]["spec"]["privateKey"]["rotationPolicy"], "Never")


@check
def what_drains_a_node_is_a_call_that_the_program_knows():
    for name in ("default", "bare"):
        command = container(release(name).pods()["voters"])["lifecycle"]["preStop"]["exec"]["command"]
        equal(command[0], "/usr/local/bin/arsenal")
        # with no node there, what fails is that alone: neither the operation, nor its request, nor an option
        command = [os.environ["ARSENAL"], *command[1:]]
        if "--node=http://localhost:7450" in command:
            command[command.index("--node=http://localhost:7450")] = "--node=http://127.0.0.1:1"
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            equal(done.returncode, 3)
        else:
            # the files are the pod's: what is missed is the first of them
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            equal((done.returncode, "/etc/arsenal/tls/" in done.stderr), (2, True))


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
    own = release("five").settings("gateway")["gateway"]["upstream"].split(",")
    hosts = [f"demo-arsenal-{role}" for role in ("voters", "members")]
    equal(own, [f"https://{host}.prod.svc.cluster.local:7450" for host in hosts])
    for host in hosts:
        # a name for each pod, so that one may be left alone
        equal(release("five").kind("Service")[host]["spec"]["clusterIP"], "None")
    other = release("gateway").settings("gateway")["gateway"]
    equal(other["upstream"], "https://10.0.0.1:7450,https://nodes.example.com:7450")
    equal(other["upstream_server_name"], "nodes.example.com")
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
        ({"tls": {"certManager": {"duration": "90d"}}}, "/tls/certManager/duration"),
        ({"tls": {"certManager": {"issuerRef": {"kind": "Vault"}}}}, "/tls/certManager/issuerRef/kind"),
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
