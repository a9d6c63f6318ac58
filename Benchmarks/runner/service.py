"""What stands behind everything that is measured."""

import socket

from .processes import wait_for
from .subjects import answers, find


class Service:
    """Echo, sink and source in one (load/service.c), on one port or neighbouring ones."""

    def __init__(self, scope, load, ports=1, ground=None):
        self.port = scope.port(ports, low=10000)
        words = [load, "serve", "--port", self.port, "--ports", ports]
        if ground:
            # All the addresses that its namespace has.
            child = scope.start("service", ground.inside("home", words + ["--host", "0.0.0.0"]))
            there = lambda: ground.answers(self.port, ground.home)
        else:
            child = scope.start("service", words)
            there = lambda: answers(self.port, b"e")
        wait_for("the service does not start", there, alive=[child])


class Web:
    """nginx with one small answer, keep-alive without end; without nginx one more echo, and no row of HTTP."""

    says = b"GET / HTTP/1.0\r\n\r\n"

    def __init__(self, scope, otherwise):
        self.is_there = bool(find("nginx") and find("wrk"))
        if not self.is_there:
            self.port, self.says = otherwise, b"e"
            return
        self.port = scope.port()
        config = scope.folder / "web.conf"
        config.write_text(f"""daemon off;
worker_processes 1;
pid {scope.folder}/web.pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {scope.folder}/web1;
  proxy_temp_path {scope.folder}/web2;
  fastcgi_temp_path {scope.folder}/web3;
  uwsgi_temp_path {scope.folder}/web4;
  scgi_temp_path {scope.folder}/web5;
  server {{ listen 127.0.0.1:{self.port}; location / {{ return 200 "hello from behind\n"; }} }}
}}
""")
        child = scope.start("web", [find("nginx"), "-e", "stderr", "-c", config])
        wait_for("the web server does not start", lambda: answers(self.port, self.says), alive=[child])


def open_connections(port):
    """How many the service has open; None when it does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as visitor:
            visitor.settimeout(2)
            visitor.sendall(b"s")
            return int(visitor.recv(64).split()[1])
    except (OSError, ValueError, IndexError):
        return None
