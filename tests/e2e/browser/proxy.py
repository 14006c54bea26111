"""A TCP proxy on the loopback interface that can cut what goes through it, as a network does."""

import contextlib
import socket
import threading


class Proxy:
    """Passes connections on to one address until it is cut, and again once it is mended."""

    def __init__(self, host, port):
        self.target = (host, port)
        self.lock = threading.Lock()
        self.open = []
        self.cut_off = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            with self.lock:
                if self.cut_off:
                    client.close()
                    continue
                server = socket.create_connection(self.target)
                self.open += [client, server]
            for pair in [(client, server), (server, client)]:
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        # A connection that was cut fails here, which is what a cut is.
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def cut(self):
        """Breaks off all connections and takes no new one."""
        with self.lock:
            self.cut_off = True
            for each in self.open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self.open.clear()

    def mend(self):
        """Takes connections again."""
        with self.lock:
            self.cut_off = False
