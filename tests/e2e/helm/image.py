"""The image definition, by rules: it cannot be built where there is no container engine."""

import re
import tomllib

from arsenal_e2e import equal, holds
from rendered import ROOT, check

PATH = ROOT / "deploy" / "Dockerfile"


def instructions():
    """The instructions with their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", PATH.read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def stages():
    """The instructions of each stage, each begun by its FROM."""
    found = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


@check
def what_is_copied_into_the_build_is_there_and_is_not_ignored():
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [rest.split() for name, rest in stages()[0] if name == "COPY"]
    sources = [source for words in copied for source in words[:-1]]
    holds(sources, "nothing is copied")
    for source in sources:
        holds((ROOT / source).exists(), f"{source} does not exist")
        holds(source not in ignored, f"{source} is ignored")


@check
def every_member_of_the_workspace_is_copied():
    members = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    copied = [source for name, rest in stages()[0] if name == "COPY" for source in rest.split()[:-1]]
    for member in members:
        holds(member.split("/")[0] in copied, f"{member} would be missing")


@check
def the_program_that_is_built_is_the_one_that_starts():
    [build] = [rest for name, rest in stages()[0] if name == "RUN" and "cargo build" in rest]
    package, program = re.search(r"cargo build --release --locked -p (\S+) --bin (\S+)", build).groups()
    manifest = tomllib.loads((ROOT / "node" / "server" / "Cargo.toml").read_text())
    equal((package, program), (manifest["package"]["name"], manifest["bin"][0]["name"]))
    installed = re.search(r"target/release/(\S+) /out(\S+)", build)
    equal(installed[1], program)
    [entry] = [rest for name, rest in stages()[-1] if name == "ENTRYPOINT"]
    equal(entry, f'["{installed[2]}"]')


@check
def the_compiler_is_the_one_that_the_workspace_asks_for():
    wanted = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    arguments = dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG")
    equal(arguments["RUST_VERSION"], wanted)
    holds("latest" not in PATH.read_text(), "a base image without a version")


@check
def the_image_is_the_program_alone_and_not_root():
    last = stages()[-1]
    equal(last[0], ("FROM", "scratch"))
    [user] = [rest for name, rest in last if name == "USER"]
    uid, gid = user.split(":")
    holds(int(uid) > 0 and int(gid) > 0, user)
    equal([name for name, _ in last if name in ("RUN", "ADD")], [])
    # exec form: there is no shell
    for name, rest in last:
        holds(name not in ("CMD", "ENTRYPOINT") or rest.startswith("["), f"{name} {rest}")


@check
def the_labels_are_those_of_the_open_container_initiative():
    [labels] = [rest for name, rest in stages()[-1] if name == "LABEL"]
    found = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    equal((found["source"], found["licenses"]), (workspace["repository"], workspace["license"]))
    equal(set(found), {"title", "description", "licenses", "source", "version", "revision", "created"})
    arguments = dict(rest.split("=", 1) for name, rest in stages()[-1] if name == "ARG")
    equal(arguments["VERSION"], workspace["version"])
