internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// What the parts of a mesh service share.
struct MeshContext {
    let time: any Timekeeper
    let setup: MeshService.Setup
    let signatures: any MeshSignatures
    /// The node outlives its mesh.
    unowned let host: any MeshHost
    let dialGuard: DialGuard
    let store: any MeshStore
    let log: Logger

    /// This node's own key.
    var own: NodeKey { signatures.key }
    var now: Instant { time.clock() }
    var wall: WallTime { time.wall() }
    /// For rows of the IP table.
    var moment: UnixTime { UnixTime(time.wall()) }
}

/// What the parts of a mesh service tell the service.
protocol MeshCoordinator: AnyObject {
    /// Records came or went.
    func changed(_ changes: [Gossip.Change])
    /// Another node was heard: a record of this node's own key may be among what it has.
    func heard()
    /// A node that was asked does not answer.
    func noteSilence(of key: NodeKey)
    /// Whether others reach this node, or what it says of itself, may have changed: its record is looked at at once.
    func publishSoon()
    /// A deadline may have changed.
    func arm()
}
