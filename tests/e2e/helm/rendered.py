"""The chart rendered with values, and questions about what came out."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import yaml
from arsenal_e2e import Checks
from helm_python.chart import Chart

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy" / "helm" / "arsenal"
VALUES = Path(__file__).with_name("values")

# What the objects are named after.
RELEASE, NAMESPACE = "demo", "prod"


check = Checks()


class Release:
    """All objects that the chart makes of some values."""

    def __init__(self, values):
        with Chart.load(CHART) as chart:
            self.values = chart.merge_values(values)
            texts = chart.render(values, name=RELEASE, namespace=NAMESPACE)
        # Templates that hold definitions alone, and notes for people, are no manifests.
        manifests = [text for name, text in texts.items() if name.endswith(".yaml")]
        self.notes = "".join(text for name, text in texts.items() if name.endswith("NOTES.txt"))
        self.objects = [each for text in manifests for each in yaml.safe_load_all(text) if each]

    def kind(self, kind):
        """The objects of a kind, by name."""
        found = [each for each in self.objects if each["kind"] == kind]
        return {each["metadata"]["name"]: each for each in found}

    def workloads(self):
        """What starts pods, by component."""
        found = [each for each in self.objects if each["kind"] in ("StatefulSet", "Deployment")]
        return {each["metadata"]["labels"]["app.kubernetes.io/component"]: each for each in found}

    def pods(self):
        """The pods' templates, by component."""
        return {component: workload["spec"]["template"] for component, workload in self.workloads().items()}

    def chosen(self, labels):
        """The components whose pods have these labels."""
        return {
            component
            for component, pod in self.pods().items()
            if labels.items() <= pod["metadata"]["labels"].items()
        }

    def config(self, component):
        """The configuration file of a component's pods, as text."""
        [volume] = [each for each in self.pods()[component]["spec"]["volumes"] if each["name"] == "config"]
        return self.kind("ConfigMap")[volume["configMap"]["name"]]["data"]["arsenal.toml"]


    def settings(self, component):
        """The same, read."""
        return tomllib.loads(self.config(component))


def container(pod):
    """The only container of a pod."""
    [only] = pod["spec"]["containers"]
    return only


def release(name):
    """The release of a file of values."""
    return Release(yaml.safe_load((VALUES / f"{name}.yaml").read_text()))


def releases():
    """Every file of values with its release."""
    return {path.stem: release(path.stem) for path in sorted(VALUES.glob("*.yaml"))}


@functools.cache
def papers():
    """A folder as pods have it at /etc/arsenal: a certificate that is its own authority, wherever one is looked for."""
    folder = Path(tempfile.mkdtemp(prefix="arsenal-papers-"))
    atexit.register(shutil.rmtree, folder)
    for place in ("tls", "upstream"):
        (folder / place).mkdir()
        certificate, key = folder / place / "tls.crt", folder / place / "tls.key"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "1", "-subj", "/CN=node", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
        shutil.copy(certificate, folder / place / "ca.crt")
    return folder


def checked(program, text, environment=None):
    """Exit code of the real program's check of a configuration, and what it says."""
    # Only what the pod would have, so that nothing of this shell decides.
    environment = {name: value for name, value in (environment or {}).items() if name.startswith("ARSENAL_")}
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text.replace("/etc/arsenal/", f"{papers()}/"))
        file.flush()
        command = [os.environ["ARSENAL"], program, "--check", "--config", file.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr
