internal import Logging
internal import PeerAPI
internal import PeerCore
internal import PeerDataPlane
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// The mesh within the node: what it asks of the other services, and what it brings them.
extension NodeController {
    /// This node itself, who has a session here, the relays that it has sessions to, and who has shown lately that it
    /// belongs to the mesh.
    func isMember(_ key: NodeKey) -> Bool {
        key == keys.key || hasSession(with: key) || mesh?.isMember(key) == true
    }

    /// Whether a session stands with that node, in either direction.
    func hasSession(with key: NodeKey) -> Bool {
        relay?.hasSession(of: key) == true
            || peer.relayStandings.contains { $0.key == key && $0.state == .connected }
    }
}

extension MeshService {
    /// For how long it counts over a restart that a node was met somewhere. Seconds.
    private static let metSpan: Int64 = 86_400

    private static func lately(_ met: [MetAddress]) -> [(NodeKey, NodeAddress)] {
        let now = WallTime.now
        return met.compactMap { met in
            guard now.seconds - met.lastSeen.wallTime.seconds < metSpan, let endpoint = Endpoint(met.address),
                let host = HostAddress(endpoint.host),
                let address = NodeAddress(host: host, port: endpoint.port)
            else { return nil }
            return (met.node, address)
        }
    }

    convenience init(
        on loop: EventLoop, _ settings: NodeSettings, _ state: OpenedHome, _ judge: DialGuard, host: any MeshHost,
        _ log: Logger
    ) {
        var setup = Setup(
            name: settings.name, software: "p2prc/\(P2PRCVersion.text)", port: settings.serverPort,
            process: state.process)
        setup.isRelay = settings.isRelay
        setup.isWidened = !settings.config.meshDial.isEmpty
        setup.records = state.kept.records
        setup.met = Self.lately(state.kept.met)
        setup.lastIssue = state.kept.lastIssue
        setup.note = state.kept.note
        let parts = Parts(client: state.client, judge: judge, writer: state.writer, log: log)
        self.init(on: loop, setup: setup, keys: state.keys, parts, host: host)
    }
}

extension RunningNode {
    /// What another node is told; from any thread.
    func answer(_ question: MeshQuestion, on control: EventLoop) async -> MeshResponse {
        await withCheckedContinuation { continuation in
            control.execute {
                guard let mesh = self.core.value.mesh else { return continuation.resume(returning: .stranger) }
                mesh.asked(question) { continuation.resume(returning: $0) }
            }
        }
    }
}
