"""What is measured: ways from a visitor's port to the service and to the web server behind."""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager

from .ground import Loopback
from .processes import BenchError, wait_for


class Subject:
    """A tunnel, or what stands in for one. `port` leads to the service, `web` to the web server. What visitors connect
    to runs at the relay of its ground, the other end at home, as the service does."""

    key = label = None
    needs = ()
    ground = Loopback()
    made = 0

    def __init__(self, scope, behind, web_behind, web_says=b"e"):
        self.scope, self.behind, self.web_behind, self.web_says = scope, behind, web_behind, web_says
        self.port, self.web = scope.port(), scope.port()
        # Where datagrams lead to the service; None: it has no such way.
        self.datagrams = None
        self.processes = []
        self.folder = scope.folder / self.key
        self.folder.mkdir(exist_ok=True)

    @classmethod
    def missing(cls):
        """A program that is not installed, or None."""
        return next((program for program in cls.needs if not find(program)), None)

    @property
    def address(self):
        """Where visitors find `port` and `web`."""
        return self.ground.relay

    def run(self, name, words, at="relay", **more):
        child = self.scope.start(f"{self.key}-{name}", self.ground.inside(at, words), **more)
        self.processes.append(child)
        return child

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def start(self):
        """Brings it up; returns when both ports have answered."""
        self.launch()
        for port, say in ((self.port, b"e"), (self.web, self.web_says)):
            wait_for("no byte comes back", lambda: self.answers(port, say), alive=self.processes)

    def answers(self, port, say):
        if isinstance(self.ground, Loopback):
            return answers(port, say)
        return self.ground.answers(port, self.address)

    def launch(self):
        raise NotImplementedError

    def stop(self):
        for child in self.processes:
            self.scope.stop(child)

    @contextmanager
    def again(self, behind=None, web_behind=None, ground=None):
        """The same with fresh processes, elsewhere if so wished, for as long as the context lasts."""
        Subject.made += 1
        kind = type("Again", (type(self),), {
            "key": f"{self.key}-{Subject.made}", "ground": ground or self.ground})
        fresh = kind(self.scope, behind or self.behind, web_behind or self.web_behind, self.web_says)
        try:
            fresh.start()
            yield fresh
        finally:
            fresh.stop()


def find(program):
    """On the PATH, or where Debian keeps what only the administrator is meant to run."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def answers(port, say):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as visitor:
            visitor.settimeout(1)
            visitor.sendall(say)
            return bool(visitor.recv(1))
    except OSError:
        return False


class Direct(Subject):
    key, label = "direct", "direct connection"

    def launch(self):
        self.port, self.web = self.behind, self.web_behind
        self.datagrams = self.behind

    @property
    def address(self):
        return self.ground.home


class HAProxy(Subject):
    """Twice, one behind the other: as many hops as a tunnel has."""

    key, label, needs = "haproxy", "H: haproxy twice", ("haproxy",)
    options = ""

    def launch(self):
        ports = [(self.port, self.behind), (self.web, self.web_behind)]
        middle = [(self.scope.port(), target) for _, target in ports]
        home = self.ground.home
        self._one("service-side", "home", middle, "127.0.0.1")
        self._one("visitor-side", "relay", [(port, near) for (port, _), (near, _) in zip(ports, middle)], home)

    def _one(self, name, at, ways, behind):
        own = getattr(self.ground, at)
        listeners = "\n".join(
            f"listen way{port}\n  bind {own}:{port}\n  server target {behind}:{target}\n" for port, target in ways)
        path = self.write(f"{name}.cfg", f"""global
  nbthread 2
  maxconn 5000
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
{self.options}
{listeners}""")
        self.run(name, [find("haproxy"), "-db", "-f", path], at=at)


class HAProxySplicing(HAProxy):
    key, label = "haproxy-splice", "S: haproxy twice, splicing"
    options = "  option splice-request\n  option splice-response\n"


class Nginx(Subject):
    key, label, needs = "nginx", "nginx stream twice", ("nginx",)

    def launch(self):
        ways = [(self.port, self.scope.port(), self.behind), (self.web, self.scope.port(), self.web_behind)]
        self._one("service-side", [(middle, target) for _, middle, target in ways])
        self._one("visitor-side", [(port, middle) for port, middle, _ in ways])
        self.datagrams = self.port

    def _one(self, name, ways):
        servers = "\n".join(
            f"  server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{target}; }}" for port, target in ways)
        port, target = ways[0]
        servers += f"\n  server {{ listen 127.0.0.1:{port} udp reuseport; proxy_pass 127.0.0.1:{target}; }}"
        path = self.write(f"{name}.conf", f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 2;
pid {self.folder}/{name}.pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
stream {{
  proxy_timeout 10m;
{servers}
}}
""")
        self.run(name, [find("nginx"), "-e", "stderr", "-c", path])


class SSH(Subject):
    """`ssh -R` to an sshd of its own, with keys made for this run."""

    key, label, needs = "ssh", "ssh -R", ("ssh", "sshd", "ssh-keygen")
    cipher = ()

    def launch(self):
        port = self.scope.port()
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", self.folder / name], check=True,
                stdin=subprocess.DEVNULL, timeout=20)
        relay = self.ground.relay
        config = self.write("sshd_config", f"""ListenAddress {relay}:{port}
HostKey {self.folder}/host
AuthorizedKeysFile {self.folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
GatewayPorts clientspecified
""")
        # Where sshd, as root, locks up what has not proven itself; the system's own start script makes it otherwise.
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)
        server = self.run("server", [find("sshd"), "-D", "-e", "-f", config])
        wait_for("sshd does not listen", lambda: "listening on" in server.log.read_text(), alive=[server])
        self.run("client", [
            "ssh", "-F", "/dev/null", "-N", "-p", port, "-i", self.folder / "user", "-o", "IdentitiesOnly=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ExitOnForwardFailure=yes",
            "-o", "LogLevel=ERROR", *self.cipher, "-R", f"{relay}:{self.port}:127.0.0.1:{self.behind}",
            "-R", f"{relay}:{self.web}:127.0.0.1:{self.web_behind}", relay], at="home")


class SSHWithGCM(SSH):
    key, label = "ssh-gcm", "G: ssh -R, aes128-gcm"
    cipher = ("-c", "aes128-gcm@openssh.com")


class FRP(Subject):
    key, label, needs = "frp", "frp (default)", ("frps", "frpc")

    def launch(self):
        port = self.scope.port()
        server = self.write("frps.toml", f'bindAddr = "127.0.0.1"\nbindPort = {port}\n')
        proxies = "".join(
            f'[[proxies]]\nname = "way{public}"\ntype = "tcp"\nlocalIP = "127.0.0.1"\nlocalPort = {target}\n'
            f"remotePort = {public}\n" for public, target in ((self.port, self.behind), (self.web, self.web_behind)))
        client = self.write("frpc.toml", f'serverAddr = "127.0.0.1"\nserverPort = {port}\n{proxies}')
        self.run("server", [find("frps"), "-c", server])
        wait_for("frps does not listen", lambda: listens(port))
        self.run("client", [find("frpc"), "-c", client])


class Rathole(Subject):
    key, label, needs = "rathole", "rathole", ("rathole",)

    def launch(self):
        port = self.scope.port()
        ways = {"service": (self.port, self.behind), "web": (self.web, self.web_behind)}
        token = 'default_token = "bench"\n'
        server = self.write("server.toml", f'[server]\nbind_addr = "127.0.0.1:{port}"\n{token}' + "".join(
            f'[server.services.{name}]\nbind_addr = "127.0.0.1:{public}"\n' for name, (public, _) in ways.items()))
        client = self.write("client.toml", f'[client]\nremote_addr = "127.0.0.1:{port}"\n{token}' + "".join(
            f'[client.services.{name}]\nlocal_addr = "127.0.0.1:{target}"\n' for name, (_, target) in ways.items()))
        self.run("server", [find("rathole"), "--server", server])
        self.run("client", [find("rathole"), "--client", client])


class Chisel(Subject):
    key, label, needs = "chisel", "chisel", ("chisel",)

    def launch(self):
        port = self.scope.port()
        self.run("server", [find("chisel"), "server", "--reverse", "--host", "127.0.0.1", "--port", port])
        wait_for("chisel does not listen", lambda: listens(port))
        self.run("client", [
            find("chisel"), "client", f"http://127.0.0.1:{port}", f"R:127.0.0.1:{self.port}:127.0.0.1:{self.behind}",
            f"R:127.0.0.1:{self.web}:127.0.0.1:{self.web_behind}"])


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class P2PRC(Subject):
    """A relay and a peer; `more` maps further neighbouring ports of the service."""

    key, label = "p2prc-tls", "p2prc, TLS"
    binary = None
    flags = ()

    def __init__(self, *arguments, more=()):
        super().__init__(*arguments)
        self.more = more

    @classmethod
    def missing(cls):
        return None if cls.binary and cls.binary.exists() else f"{cls.binary} (swift build -c release)"

    def launch(self):
        server, node = self.scope.port(), self.scope.port()
        relay = self.run("relay", [
            self.binary, "-s", "--reverse-proxy", "--home", self.folder / "relay", "--bind", self.ground.relay,
            "--server-port", server, *self.flags])
        link = wait_for("the relay prints no join link", lambda: join_link(relay.log), alive=[relay])
        ways = [f"{self.behind}:{self.port}", f"{self.web_behind}:{self.web}", *map(str, self.more)]
        peer = self.run("peer", [
            self.binary, "-s", "--connect-reverse-proxy", link, "--home", self.home, "--bind",
            self.ground.home, "--server-port", node, "--no-server-port", *self.flags,
            *(word for way in ways for word in ("--mp", way))], at="home")
        wait_for(
            "the peer has no verified mapping", lambda: peer.log.read_text().count(" verified") >= len(ways),
            limit=20 + len(ways) / 10, alive=[peer])
        # The rows with a distance have none.
        if isinstance(self.ground, Loopback):
            self.datagrams = self.map_datagrams(self.behind)

    def map_datagrams(self, port):
        """The public port; None where the program knows no UDP."""
        words = [self.binary, "--mp", str(port), "--udp", "--home", self.home]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, text=True)
        except subprocess.TimeoutExpired:
            return None
        return int(done.stdout.split()[0].rsplit(":", 1)[1]) if done.returncode == 0 else None

    @property
    def home(self):
        return self.folder / "peer"

    def map(self, port):
        """Makes a mapping by command line, and takes it back; returns nothing before it is verified."""
        done = subprocess.run(
            [self.binary, "--mp", str(port), "--home", self.home], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=20, text=True)
        if done.returncode != 0:
            raise BenchError(f"p2prc --mp {port} ended with {done.returncode}: {done.stderr.strip()}")

    def unmap(self, port):
        subprocess.run(
            [self.binary, "unmap", str(port), "--home", self.home], stdin=subprocess.DEVNULL, capture_output=True,
            timeout=20, check=True)


class P2PRCPlain(P2PRC):
    key, label, flags = "p2prc-plain", "p2prc, plaintext", ("--plain",)


def beside(binary):
    """The same two with another build of the program."""
    return [type(kind.__name__ + "Beside", (kind,), {
        "key": kind.key + "-beside", "label": f"{kind.label}, {binary}", "binary": binary}) for kind in (P2PRCPlain, P2PRC)]


def join_link(log):
    return next((word for word in log.read_text().split() if word.startswith("p2prc://")), None)


ALL = [Direct, HAProxy, HAProxySplicing, Nginx, SSH, SSHWithGCM, FRP, Rathole, Chisel, P2PRCPlain, P2PRC]
