"""A small disk of a node's own, which may be filled and, where the machine has what that takes, made to hang."""

import subprocess

# The log of a test fits, and filling it up does not hold up the disks of the others.
BYTES = 16 << 20


def _done(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Disk:
    """A disk at a path. Without the rights to mount one `is_mounted` is false, and it is the machine's."""

    def __init__(self, path):
        self.path = path
        image = path.with_suffix(".image")
        with open(image, "wb") as file:
            file.truncate(BYTES)
        self._filler = path / "filler"
        # a loop device can be frozen, memory cannot
        self.can_hang = _done("mkfs.ext4", "-q", image) and _done("mount", "-o", "loop", image, path)
        self.is_mounted = self.can_hang or _done("mount", "-t", "tmpfs", "-o", f"size={BYTES}", "tmpfs", path)

    def fill(self):
        """Leaves no room."""
        for piece in (1 << 16, 1):
            try:
                with open(self._filler, "ab", buffering=0) as file:
                    while file.write(b"x" * piece):
                        pass
            except OSError:
                pass

    def make_room(self):
        """Gives it back."""
        self._filler.unlink()

    def hang(self):
        """Every write waits from now on."""
        subprocess.run(["fsfreeze", "--freeze", self.path], check=True)

    def go_on(self):
        """And now those that waited are done, if any did."""
        if self.can_hang:
            _done("fsfreeze", "--unfreeze", self.path)

    def end(self):
        """Takes it away; whoever had files there has ended."""
        if self.is_mounted:
            _done("umount", self.path)
