import TestSupport

/// A laboratory with a relay in it, and peers behind its routers.
struct World {
    static let ports = 20000...20999

    let scenario: Scenario
    let lab: Lab
    let relay: Node

    init(_ scenario: Scenario) async throws {
        self.scenario = scenario
        lab = try scenario.lab()
        let place = lab.relay
        relay = try await scenario.relay(ports: World.ports, serverPort: 8088) {
            $0.place = place
            $0.bind = nil
        }
    }

    /// Another relay, at `Lab.relay2Address`.
    func secondRelay() async throws -> Node {
        let place = lab.relay2
        return try await scenario.relay("relay2", ports: World.ports, serverPort: 8088) {
            $0.place = place
            $0.bind = nil
        }
    }

    /// Started as a user would: the relay's address and nothing else.
    func peer(
        behind nat: Lab.NAT, mappings: [String] = [], _ change: (inout NodeSettings) -> Void = { _ in }
    ) async throws -> Node {
        let home = lab.home(nat)
        return try await scenario.peer("peer-\(nat.rawValue)", of: relay, mappings: mappings) {
            $0.place = home
            $0.bind = nil
            $0.serverPort = 8088
            $0.relays = [Lab.relayAddress]
            change(&$0)
        }
    }

    /// A service at home and a peer that exposes it.
    func tunnel(
        _ nat: Lab.NAT, _ tool: String, port: Int, _ options: [String] = []
    ) async throws -> (service: Service, peer: Node, port: Int) {
        let service = try await scenario.service(tool, port: port, options, in: lab.home(nat))
        let peer = try await peer(behind: nat, mappings: ["\(port)"])
        return (service, peer, try await peer.verified(port).port)
    }

    func visit(_ tool: String, port: Int, _ options: [String] = [], seconds: Int = 60) async throws -> [String: Any] {
        let words = ["--address", Lab.relayAddress, "--port", "\(port)"] + options
        return try await scenario.visit(tool, words, seconds: seconds, in: lab.visitor)
    }

    func startVisitor(_ tool: String, port: Int, _ options: [String] = [], seconds: Int = 60) throws -> Program {
        let words = ["--address", Lab.relayAddress, "--port", "\(port)"] + options
        return try scenario.startVisitor(tool, words, seconds: seconds, in: lab.visitor)
    }

    func url(_ port: Int, _ path: String = "/") -> String { "http://\(Lab.relayAddress):\(port)\(path)" }
}
