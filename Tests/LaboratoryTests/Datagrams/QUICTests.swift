import Foundation
import TestSupport
import Testing

extension LaboratoryTests {
    /// HTTP/3 by aioquic, through both kinds of NAT.
    @Suite(
        .serialized, .timeLimit(.minutes(2)),
        .enabled(if: AioQUIC.isThere, "Python has no aioquic (pip install aioquic; P2PRC_QUIC_PYTHON names another)"))
    struct QUICTests {

        /// Answers each request with 10 MiB.
        private static let server = """
            import asyncio, hashlib, random, sys
            from aioquic.asyncio import QuicConnectionProtocol, serve
            from aioquic.h3.connection import H3_ALPN, H3Connection
            from aioquic.h3.events import HeadersReceived
            from aioquic.quic.configuration import QuicConfiguration
            from aioquic.quic.events import ProtocolNegotiated

            body = random.randbytes(10 << 20)

            class Server(QuicConnectionProtocol):
                http = None

                def quic_event_received(self, event):
                    if isinstance(event, ProtocolNegotiated):
                        self.http = H3Connection(self._quic)
                    if self.http is None:
                        return
                    for request in self.http.handle_event(event):
                        if isinstance(request, HeadersReceived):
                            self.http.send_headers(request.stream_id, [(b":status", b"200")])
                            self.http.send_data(request.stream_id, body, end_stream=True)
                            self.transmit()

            async def main():
                configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
                configuration.load_cert_chain(sys.argv[2], sys.argv[3])
                await serve("127.0.0.1", int(sys.argv[1]), configuration=configuration, create_protocol=Server)
                print("ready", hashlib.sha256(body).hexdigest(), flush=True)
                await asyncio.Event().wait()

            asyncio.run(main())
            """

        private static let client = """
            import asyncio, hashlib, ssl, sys, time
            from aioquic.asyncio import QuicConnectionProtocol, connect
            from aioquic.h3.connection import H3_ALPN, H3Connection
            from aioquic.h3.events import DataReceived
            from aioquic.quic.configuration import QuicConfiguration

            class Client(QuicConnectionProtocol):
                def __init__(self, *words, **named):
                    super().__init__(*words, **named)
                    self.http = H3Connection(self._quic)
                    self.digest, self.count = hashlib.sha256(), 0
                    self.done = asyncio.get_running_loop().create_future()

                def quic_event_received(self, event):
                    for answer in self.http.handle_event(event):
                        if isinstance(answer, DataReceived):
                            self.digest.update(answer.data)
                            self.count += len(answer.data)
                            if answer.stream_ended:
                                self.done.set_result(None)

            async def main():
                configuration = QuicConfiguration(
                    is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, server_name="home.lab")
                host, port = sys.argv[1], int(sys.argv[2])
                begin = time.monotonic()
                async with connect(host, port, configuration=configuration, create_protocol=Client) as client:
                    stream = client._quic.get_next_available_stream_id()
                    headers = {b":method": b"GET", b":scheme": b"https", b":authority": b"home.lab", b":path": b"/"}
                    client.http.send_headers(stream, list(headers.items()), end_stream=True)
                    client.transmit()
                    await client.done
                    took = int((time.monotonic() - begin) * 1000)
                    print(client.digest.hexdigest(), client.count, took)

            asyncio.run(main())
            """

        @Test("HTTP/3 brings 10 MiB from a home, the same bytes", arguments: Lab.NAT.allCases)
        func http3(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let world = try await World(s)
                let (key, certificate) = (s.folder + "/key.pem", s.folder + "/certificate.pem")
                let made = try await s.shell(
                    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=home.lab "
                        + "-keyout \(key) -out \(certificate)")
                try #require(made.status == 0, "\(made.stderr)")
                let server = try s.start(
                    "server", AioQUIC.python, ["-c", Self.server, "4433", certificate, key], in: world.lab.home(nat))
                let digest = try await server.line(containing: "ready").split(separator: " ").last.map(String.init)
                let peer = try await world.peer(behind: nat)
                let mapped = try await peer.command(["--mp", "4433", "--udp"])
                try #require(mapped.status == ExitCode.fine, "\(mapped.stderr)")
                let port = try await peer.verified(4433).port
                let ran = try await s.run(
                    "client", AioQUIC.python, ["-c", Self.client, Lab.relayAddress, "\(port)"], in: world.lab.visitor,
                    within: .seconds(40))
                let words = ran.stdout.split(whereSeparator: \.isWhitespace).map(String.init)
                try #require(ran.status == 0 && words.count == 3, "\(ran.stdout)\(ran.stderr)")
                print("HTTP/3 through the \(nat): \(words[1]) bytes in \(words[2]) ms")
                try #require(words[0] == digest && words[1] == "\(10 << 20)")
            }
        }
    }
}

/// The Python that has it: no package of Debian 12 does.
private enum AioQUIC {
    static let python = ProcessInfo.processInfo.environment["P2PRC_QUIC_PYTHON"] ?? "python3"
    static let isThere = Ran.isInstalled(python, "-c", "import aioquic")
}
