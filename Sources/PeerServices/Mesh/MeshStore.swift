internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Where a mesh service keeps what it learns. All but the own record may be lost: nobody waits for it.
protocol MeshStore: AnyObject {
    func apply(_ changes: [Gossip.Change], at moment: UnixTime)
    /// - Parameter done: whether it is on the disk; called once, on the control loop.
    func save(own record: SignedRecord, done: @escaping (Bool) -> Void)
    func save(_ met: MetAddress)
    func seedAnswered(_ seed: String, at moment: UnixTime)
    func record(_ samples: [NodeSample])
    func record(_ sample: BandwidthSample)
}

/// The IP table.
final class TableMeshStore: MeshStore {
    private let loop: EventLoop
    private let writer: TableWriter

    init(_ writer: TableWriter, on loop: EventLoop) {
        self.loop = loop
        self.writer = writer
    }

    func apply(_ changes: [Gossip.Change], at moment: UnixTime) {
        writer.write("records", for: .mesh, { table throws(StorageError) in try table.apply(changes, at: moment) })
    }

    func save(own record: SignedRecord, done: @escaping (Bool) -> Void) {
        let bound = LoopBound(done, on: loop)
        writer.write(
            "the own record", { table throws(StorageError) in try table.save(own: record) },
            done: { [loop] error in loop.execute { bound.value(error == nil) } })
    }

    func save(_ met: MetAddress) {
        writer.write("where a node was met", for: .mesh, { table throws(StorageError) in try table.save([met]) })
    }

    func seedAnswered(_ seed: String, at moment: UnixTime) {
        writer.write(
            "an answer of a seed", for: .mesh,
            { table throws(StorageError) in try table.seedAnswered(seed, at: moment) })
    }

    func record(_ samples: [NodeSample]) {
        writer.write("probes", for: .mesh, { table throws(StorageError) in try table.record(samples) })
    }

    func record(_ sample: BandwidthSample) {
        writer.write("a bandwidth", for: .mesh, { table throws(StorageError) in try table.record(sample) })
    }
}
