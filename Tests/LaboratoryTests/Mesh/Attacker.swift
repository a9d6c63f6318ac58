import Foundation
import Glibc
import PeerCore
import PeerProbing
import PeerWire
import TestSupport

/// A member of the mesh that says what it likes, from a namespace of the laboratory.
final class Attacker: @unchecked Sendable {
    /// As the nodes of tests have it.
    static let meshKey = MeshKey(bytes: [UInt8](repeating: 0x5e, count: MeshKey.byteCount))!

    let identity: NodeIdentity
    private let client: NodeClient

    /// - Parameter number: of its key.
    init(_ number: UInt64, in place: Place) throws {
        let seed = Self.seed(number)
        identity = NodeIdentity(seed: seed)!
        // The client's thread, and so its sockets, are where the thread is that makes it.
        client = try Self.within(place) { try NodeClient(seed: seed) }
    }

    deinit { client.stop() }

    var key: NodeKey { identity.key }

    static func seed(_ number: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: number)
        return (0..<32).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
    }

    /// setns(2), which the C library's module hides: this thread is in that network from now on.
    private static func enter(_ descriptor: Int32) -> Bool {
        typealias SetNamespace = @convention(c) (Int32, Int32) -> Int32
        guard let symbol = dlsym(nil, "setns") else { return false }
        return unsafeBitCast(symbol, to: SetNamespace.self)(descriptor, 0x4000_0000) == 0
    }

    private static func within<Value: Sendable>(
        _ place: Place, _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        guard let name = place.namespace else { return try body() }
        let done = DispatchSemaphore(value: 0)
        let result = Locked<Result<Value, any Error>?>(nil)
        Thread {
            let descriptor = open("/var/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
            let isThere = descriptor >= 0 && enter(descriptor)
            if descriptor >= 0 { close(descriptor) }
            result.with {
                $0 = isThere ? Result { try body() } : .failure(Failure("there is no namespace \(name)"))
            }
            done.signal()
        }.start()
        done.wait()
        return try result.with { $0! }.get()
    }

    /// Posts to a node's mesh; its answer, whatever that is.
    ///
    /// - Parameter isAlone: over a connection of its own.
    func post(_ body: [UInt8], to host: String, _ key: NodeKey, isAlone: Bool = true) async throws -> NodeAnswer {
        var request = NodeRequest(
            host: host, port: 8088, key: key, path: "/v1/mesh", body: body,
            proof: MemberProof.text(of: self.key, to: key, with: [Self.meshKey]),
            limits: .init(total: .seconds(8)))
        request.isAlone = isAlone
        return try await withCheckedContinuation { continuation in
            client.send(request) { continuation.resume(returning: $0) }
        }.get()
    }

    /// A digest that says it is that time, and lacks everything; again while the node is busy.
    func ask(_ host: String, _ key: NodeKey, time: Int64) async throws -> GossipDifference {
        let digest = GossipDigest(time: time, records: 0, sums: [0])!
        return try await eventually("\(host) answers", within: .seconds(10), every: .milliseconds(60)) {
            let answer = try await post(digest.bytes, to: host, key)
            return answer.status == 200 ? try GossipDifference(answer.body) : nil
        }
    }

    /// Records that name an address where no node is, each of a key of its own, with the word of two friends for it.
    static func madeUp(_ count: Int, from first: UInt64, at address: NodeAddress, by friends: [Attacker]) throws
        -> [SignedRecord]
    {
        let now = Int64(Date.now.timeIntervalSince1970)
        return try (0..<UInt64(count)).map { index in
            let own = NodeIdentity(seed: seed(first + index))!
            return try SignedRecord(
                NodeRecord(
                    key: own.key, issue: UInt64(now) * 1_000, process: .init(began: 1, instance: first + index),
                    issued: now, lifetime: 3_600,
                    content: .init(
                        roles: .relay, name: "relay\(index)", addresses: [address],
                        witnesses: friends.map {
                            DialBackStatement(subject: own.key, time: now, address: address, by: $0.identity)
                        })),
                by: own)
        }
    }

    /// As many records as a body has room for, each of a key that is drawn, all with one signature, which is nobody's.
    static func forged() throws -> GossipDifference {
        var random = SeededGenerator(seed: 37)
        let now = Int64(Date.now.timeIntervalSince1970)
        let signature = (0..<NodeKey.signatureByteCount).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
        var difference = GossipDifference(time: now, room: 0)
        while true {
            let key = NodeKey(bytes: (0..<NodeKey.byteCount).map { _ in .random(in: 0 ... .max, using: &random) })!
            let record = try SignedRecord(
                NodeRecord(
                    key: key, issue: UInt64(now) * 1_000, process: .init(began: 1, instance: 1), issued: now,
                    lifetime: 3_600, content: .init(name: "forged")),
                signature: { _ in signature })
            guard difference.byteCount + record.bytes.count + 2 <= GossipDifference.maximumByteCount else {
                return difference
            }
            difference.records.append(record)
        }
    }

    /// A record without addresses, as a node behind NAT has it.
    ///
    /// - Parameter lifetime: in seconds.
    func plainRecord(lifetime: UInt32 = 3_600) throws -> SignedRecord {
        let now = Int64(Date.now.timeIntervalSince1970)
        return try SignedRecord(
            NodeRecord(
                key: key, issue: UInt64(now) * 1_000, process: .init(began: 1, instance: 1), issued: now,
                lifetime: lifetime, content: .init(name: "member")),
            by: identity)
    }
}
