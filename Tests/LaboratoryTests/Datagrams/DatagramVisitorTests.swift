import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// Who may say what to whom: many visitors, visitors of both families, and answers from elsewhere.
    @Suite(.serialized, .timeLimit(.minutes(4)))
    struct DatagramVisitorTests {
        /// A digest before the question: nobody else's answer fits.
        private static let digester = """
            import hashlib, socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)
            s.bind(("127.0.0.1", 5300))
            print("ready", flush=True)
            while True:
                text, source = s.recvfrom(65535)
                s.sendto(hashlib.sha256(text).digest() + text, source)
            """

        /// All ask at once, ten times; a question without an answer is asked again.
        private static let crowd = """
            import hashlib, os, random, select, socket, sys, time
            host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
            visitors = {}
            poll = select.poll()
            for number in range(count):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.setblocking(False)
                s.connect((host, port))
                visitors[s.fileno()] = s
                poll.register(s.fileno(), select.POLLIN)
            answered = mixed = again = 0
            begin = time.monotonic()
            for round in range(10):
                open = {fd: b"%d of %d " % (fd, round) + os.urandom(random.randrange(1000)) for fd in visitors}
                asked = dict(open)
                for attempt in range(5):
                    if attempt > 0:
                        again += len(open)
                    for fd in open:
                        visitors[fd].send(open[fd])
                    until = time.monotonic() + 1
                    while open and time.monotonic() < until:
                        for fd, _ in poll.poll(100):
                            answer = visitors[fd].recv(65535)
                            if answer != hashlib.sha256(asked[fd]).digest() + asked[fd]:
                                # A question that was asked again may be answered twice, a round later.
                                mixed += not answer[32:].startswith(b"%d of " % fd)
                            elif open.pop(fd, None):
                                answered += 1
                    if not open:
                        break
            print(answered, mixed, again, int((time.monotonic() - begin) * 1000))
            """

        @Test("500 visitors at once get each their own answers")
        func crowd() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .hard, service: Self.digester)
                let told = try await tunnel.visit(Self.crowd, ["500"], within: .seconds(60))
                let figures = told.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
                try #require(figures.count == 4, "\(told)")
                print(
                    "500 visitors: \(figures[0]) answers in \(figures[3]) ms, \(figures[1]) of somebody else, "
                        + "\(figures[2]) questions asked again")
                try #require(figures[0] == 5_000 && figures[1] == 0, "\(told)")
            }
        }

        /// Each question is answered first from another port, then from another address, then from the right one.
        private static let stray = """
            import socket
            def bound(address, port):
                s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                s.bind((address, port))
                return s
            right, port, address = bound("127.0.0.1", 5300), bound("127.0.0.1", 5301), bound("127.0.0.2", 5300)
            print("ready", flush=True)
            while True:
                text, source = right.recvfrom(65535)
                for other in (port, address):
                    other.sendto(b"from elsewhere", source)
                right.sendto(text, source)
            """

        private static let listener = """
            import socket, sys, time
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect((sys.argv[1], int(sys.argv[2])))
            s.settimeout(0.2)
            heard = []
            for number in range(20):
                s.send(b"%d" % number)
                try:
                    heard.append(s.recv(100).decode())
                except TimeoutError:
                    pass
            s.settimeout(0.5)
            try:
                while True:
                    heard.append(s.recv(100).decode())
            except TimeoutError:
                print(" ".join(heard))
            """

        @Test("what comes to the node from another port or address than the target's does not reach the visitor")
        func stray() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary, service: Self.stray)
                let heard = try await tunnel.visit(Self.listener).split(whereSeparator: \.isWhitespace)
                try #require(heard.count > 15 && heard.count <= 20, "\(heard)")
                try #require(heard.allSatisfy { Int($0) != nil }, "\(heard)")
                // The mapping has taken no harm from it.
                try #require(try await tunnel.peer.verified(DatagramTunnel.local).port == tunnel.port)
            }
        }

        @Test("visitors of IPv4 and of IPv6 are served beside each other, whatever the way between node and relay is")
        func families() async throws {
            try await scenario { s in
                let tunnel = try await DatagramTunnel(s, .ordinary)
                let visitors = try [Lab.relayAddress, Lab.relayAddress6].map { address in
                    let words = ["--address", address, "--port", "\(tunnel.port)", "--rate", "100", "--for", "2"]
                    return try s.startVisitor("datagram-pings", words, seconds: 10, in: tunnel.world.lab.visitor)
                }
                for (visitor, family) in zip(visitors, ["IPv4", "IPv6"]) {
                    let figures = try await DatagramFigures(of: visitor, within: .seconds(10))
                    print("\(family): \(figures)")
                    try #require(figures.answered >= 190 && figures.flows == 1, "\(family): \(figures)")
                }
            }
        }

        @Test("flows from forged addresses cost a relay and a node little, and one that is alive keeps its place")
        func forged() async throws {
            try await scenario { s in
                // Each costs the node a socket. An unoptimized one on busy processors opens some thousands a second,
                // and loses what it does not get to, of whatever flow.
                let (count, seconds) = (Scale.pick(6_000, long: 100_000), Scale.pick(3, long: 10))
                let tunnel = try await DatagramTunnel(s, .ordinary)
                let lab = tunnel.world.lab
                // Answers to those who do not exist have a way, and end at a host that knows nothing of them.
                let words = ["route", "add", "198.18.0.0/15", "via", Lab.visitorAddress]
                try #require(try await s.run("ip", "ip", words, in: lab.relay).status == 0)
                _ = try await s.service("http", port: 8080, in: lab.home(.ordinary))
                try #require(try await tunnel.peer.command(["--mp", "8080"]).status == ExitCode.fine)
                let web = tunnel.world.url(try await tunnel.peer.verified(8080).port)
                let nodes = [tunnel.world.relay, tunnel.peer]
                let before = try nodes.map { try $0.program.facts() }

                let visitor = try await tunnel.visitor(seconds: seconds + 2)
                let forger = try tunnel.world.startVisitor(
                    "datagram-forger", port: tunnel.port, ["--count", "\(count)", "--for", "\(seconds)"])
                var fetches: [Int] = []
                while forger.isRunning {
                    fetches.append(try await milliseconds { _ = try await s.curl(web, in: lab.visitor) })
                }
                try #require(forger.status == 0, "\(forger.transcript)")
                let sent = try forger.json()
                let figures = try await DatagramFigures(of: visitor, within: .seconds(20))
                let after = try nodes.map { try $0.program.facts() }
                print("forged: \(sent); the flow that is alive: \(figures)")
                print("relay: \(before[0]), then \(after[0]); node: \(before[1]), then \(after[1])")
                print("\(fetches.count) fetches over TCP meanwhile, the slowest \(fetches.max() ?? 0) ms")
                try #require(figures.flows == 1, "the service heard it from \(figures.flows) ports")
                try #require(figures.lost < 5, "\(figures)")
                try #require(!fetches.isEmpty && fetches.allSatisfy { $0 < 2_000 }, "\(fetches)")
                for (old, new) in zip(before, after) {
                    try #require(new.memory - old.memory < 32 << 10, "\(old), then \(new)")
                }
                // At most 4,096 flows, each with a socket.
                try #require(after[1].descriptors - before[1].descriptors < 4_200, "\(after[1])")
                for node in nodes { try #require(node.program.find("ended") == nil, "a session was lost") }
                try #require(try await s.curl(web, in: lab.visitor) != "")
            }
        }
    }
}
