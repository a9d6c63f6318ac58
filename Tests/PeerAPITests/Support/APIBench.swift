import Dispatch
import Foundation
import Glibc
import Logging
import PeerAPI
import PeerWire
import Synchronization

/// A server on a socket of its own, and who may talk to it. The scenario runs on a thread that may block; the
/// server's own threads stay free.
final class APIBench: Sendable {
    static let member = NodeKey(bytes: [UInt8](repeating: 0x11, count: 32))!
    static let other = NodeKey(bytes: [UInt8](repeating: 0x22, count: 32))!
    static let address = VisitorAddress(isIPv6: false, host: [198, 51, 100, 7], port: 49_152)
    static let server = VisitorAddress(isIPv6: false, host: [203, 0, 113, 11], port: 8088)
    static let facts = NodeFacts(name: "büro-1", key: member, version: "0.1.0", roles: ["relay", "peer"])

    let folder: String
    let members = Mutex<Set<NodeKey>>([member])
    let lines = LogLines()
    private let serving = Mutex<APIServer?>(nil)

    init() {
        var template = Array("/tmp/p2prc-api-XXXXXX".utf8CString)
        folder = String(cString: mkdtemp(&template)!)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    var path: String { "\(folder)/api.sock" }

    func listen(
        _ limits: APILimits = APILimits(), facts: @escaping @Sendable () async -> NodeFacts = { APIBench.facts },
        mesh: MeshResponder? = nil
    ) async throws -> APIServer {
        let lines = lines
        return try await APIServer.listen(
            at: path, limits: limits, facts: facts, isMember: { [self] key in members.withLock { $0.contains(key) } },
            mesh: mesh, log: Logger(label: "test") { _ in lines.handler })
    }

    /// Ends the server from within a scenario.
    func stop() { serving.withLock { $0?.stop() } }

    static func run(
        _ limits: APILimits = APILimits(), facts: @escaping @Sendable () async -> NodeFacts = { APIBench.facts },
        mesh: MeshResponder? = nil, _ scenario: @escaping @Sendable (APIBench) throws -> Void
    ) async throws {
        let bench = APIBench()
        let server = try await bench.listen(limits, facts: facts, mesh: mesh)
        bench.serving.withLock { $0 = server }
        let running = Task { await server.run() }
        let outcome = await aside { Result { try scenario(bench) } }
        server.stop()
        await running.value
        try outcome.get()
    }

    /// A connection as the reactor makes it.
    func client(_ key: NodeKey? = nil) throws -> RawClient {
        let client = try RawClient(path)
        client.send(Self.preface(key))
        return client
    }

    static func preface(_ key: NodeKey? = nil) -> [UInt8] {
        ProxyPreface.proxied(ProxyPreface.Connection(source: address, destination: server, nodeKey: key)!).bytes
    }
}

/// Runs what blocks on a thread of its own: tasks share a pool, and the server's are among them.
func aside<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: body()) }
    }
}

/// What was logged, from warnings on.
final class LogLines: Sendable {
    private let state = Mutex<[String]>([])

    var all: [String] { state.withLock { $0 } }
    var handler: any LogHandler { Handler(lines: self) }

    private struct Handler: LogHandler {
        let lines: LogLines
        var logLevel = Logger.Level.warning
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { lines.state.withLock { $0.append("\(event.message)") } }
    }
}

func get(_ path: String, _ headers: String...) -> String {
    "GET \(path) HTTP/1.1\r\nHost: node\r\n" + headers.map { $0 + "\r\n" }.joined() + "\r\n"
}

/// Returns as soon as `condition` holds; blocks its thread.
func eventually(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = DispatchTime.now() + 20
    while try !condition() {
        guard DispatchTime.now() < deadline else { throw RawClient.Broken(description: "never: \(what)") }
        usleep(1_000)
    }
}

func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
}
