internal import FoundationEssentials
internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerWire

/// The running node behind its control socket: holds the services together, answers commands, and keeps the two
/// registries up to date. Belongs to the control loop.
final class NodeController {
    let loop: EventLoop
    let settings: NodeSettings
    let keys: KeyRing
    let server: NodeServer
    let relay: RelayService?
    let peer: PeerService
    /// What finds other nodes, and keeps the IP table.
    var mesh: MeshService?
    let tokens: TokenService
    let writer: TableWriter
    let membershipSaver: CoalescingWriter<KnownRelays>
    let listings: ListingsWriter
    var meshKey: MeshKeyFile?
    /// For the end of a former mesh key.
    var meshKeyTimer: LoopTimer?
    let home: Home
    let log: Logger
    let started: Instant
    var mapWaits = MapWaits()
    var joins = Joins()
    /// Ends the process.
    let end: (ExitStatus) -> Void
    let meter = LoadMeter()

    /// Parts of the node that the controller holds together.
    struct Parts {
        var server: NodeServer
        /// `nil`: this node is no relay.
        var relay: RelayService?
        var peer: PeerService
        /// The tokens that this node issues and judges.
        var tokens: TokenService
        var writer: TableWriter
        var membershipSaver: CoalescingWriter<KnownRelays>
        var listings: ListingsWriter
        var home: Home
    }

    /// - Parameter end: ends the process; may be called more than once.
    init(
        on loop: EventLoop, settings: NodeSettings, keys: KeyRing, meshKey: MeshKeyFile?, parts: Parts, log: Logger,
        end: @escaping (ExitStatus) -> Void
    ) {
        self.loop = loop
        self.settings = settings
        self.keys = keys
        self.meshKey = meshKey
        self.log = log
        self.end = end
        started = loop.clock()
        server = parts.server
        relay = parts.relay
        peer = parts.peer
        tokens = parts.tokens
        writer = parts.writer
        membershipSaver = parts.membershipSaver
        listings = parts.listings
        home = parts.home
        useMeshKeys(at: .now)
    }

    /// Another process with this node's key goes on in place of this one.
    func superseded() { end(.superseded) }

    /// What the node does at present: `relay`, `peer`, both or neither.
    var roles: [String] { (relay == nil ? [] : ["relay"]) + (peer.relayStandings.isEmpty ? [] : ["peer"]) }

    func ownEndpoint(_ relay: RelayService) -> Endpoint {
        Endpoint(host: relay.publicHost ?? Self.ownHost(settings), port: settings.serverPort)
    }

    // MARK: Changes

    func changed() {
        settleWaiters()
        settleJoins()
        listings.changed { [weak self] in
            guard let self else { return }
            listings.write(documents(), of: Set(peer.allWishes.map(\.id)), at: peer.publishedRelays)
        }
    }

    /// A reverse proxy that nobody reaches, and what to do about it.
    var remarkOnReach: [String]? {
        guard relay != nil, mesh?.standing == .notReachable else { return nil }
        let ports = settings.relayPolicy.ports.usual
        let protocols = settings.carriesDatagrams ? "TCP and UDP" : "TCP"
        return [
            "other nodes cannot reach this node, so none uses it as a reverse proxy: open \(protocols) "
                + "port \(settings.serverPort), and port\(ports.count == 1 ? "" : "s") \(ports) for visitors, in "
                + "its firewall"
        ]
    }

    // MARK: Commands

    static func reply(_ document: some RegistryDocument) -> ControlReply {
        do throws(RegistryFault) {
            return ControlReply(
                status: .success, text: "", document: String(decoding: try document.json(), as: UTF8.self))
        } catch {
            return ControlReply(status: .failure, text: "the listing cannot be written: \(error)", document: nil)
        }
    }

    /// Why waiting for a relay is no use: none was named, and this node will find none by itself.
    var lack: String? {
        guard settings.sessions > 0 else {
            return "this node is connected to no reverse proxy; join one: p2prc join LINK"
        }
        guard mesh?.isAlone != false else { return nil }
        return "this node knows no other node, so it finds no reverse proxy; join one: "
            + "p2prc join LINK, or name any node of the mesh: p2prc --as HOST"
    }

    /// The node's own server port is a mapping like any other, unless the user left it out.
    func exposeServerPort() {
        guard settings.exposesServerPort, !peer.relayStandings.isEmpty,
            !peer.allWishes.contains(where: { $0.target == .serverPort })
        else { return }
        let wish = MappingWish(
            id: MappingID(value: UInt64.random(in: 1 ... .max)), target: .serverPort, protocols: .tcp,
            ports: .any(count: 1))
        keep(wish)
        peer.add(wish, isTemporary: false)
    }
}
