import PeerCore
import PeerReactor
import PeerServices
import PeerWire
import Synchronization

@testable import PeerDataPlane

/// What the nodes of one process know of each other, in place of what handshakes would prove.
final class ScriptedNetwork: Sendable {
    private struct Announced {
        let purpose: Purpose
        let key: NodeKey
    }

    private struct State {
        var nodes: [SocketAddress: KeyRing] = [:]
        var announced: [UInt64: Announced] = [:]
        var next: UInt64 = 1
        var provesNothing = false
        var proofs = 0
    }

    private let state = Mutex(State())

    /// A node accepts there.
    func add(_ keys: KeyRing, at address: SocketAddress) { state.withLock { $0.nodes[address] = keys } }

    /// No stream proves anything, for as long as this holds.
    var provesNothing: Bool {
        get { state.withLock(\.provesNothing) }
        set { state.withLock { $0.provesNothing = newValue } }
    }

    /// Streams that were dialled and proven.
    var proofs: Int { state.withLock(\.proofs) }

    fileprivate func key(at address: SocketAddress?) -> NodeKey? {
        state.withLock { state in
            guard !state.provesNothing, let address, let keys = state.nodes[address] else { return nil }
            state.proofs += 1
            return keys.key
        }
    }

    fileprivate func announce(_ purpose: Purpose, by key: NodeKey) -> UInt64 {
        state.withLock { state in
            defer { state.next += 1 }
            state.announced[state.next] = Announced(purpose: purpose, key: key)
            return state.next
        }
    }

    fileprivate func take(_ number: UInt64) -> (purpose: Purpose, key: NodeKey)? {
        state.withLock { $0.announced.removeValue(forKey: number) }.map { ($0.purpose, $0.key) }
    }

    /// The same at both ends of a stream.
    fileprivate static func secrets(_ number: UInt64) -> SessionSecrets? {
        SessionSecrets { label in
            var seed = SeededGenerator(seed: number &+ label.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
            return (0..<SessionSecrets.byteCount).map { _ in UInt8.random(in: 0...255, using: &seed) }
        }
    }
}

/// A carrier without cryptography: a stream begins with a number, by which each end is told who the other one is. With
/// it the shells run against each other as fast as the machine goes; and it is the example of a carrier: this file, and
/// a line in the list of carriers.
final class ScriptedCarrier: Carrier {
    private static let firstByte: UInt8 = 0x02
    private static let prefaceByteCount = 9

    let name = CarrierName(rawValue: "scripted")
    private let network: ScriptedNetwork
    private let keys: KeyRing

    init(_ network: ScriptedNetwork, _ keys: KeyRing) {
        self.network = network
        self.keys = keys
    }

    func carries(_ purpose: Purpose) -> Bool {
        switch purpose {
        case .session: true
        case .channel(_, let protection, _): !protection.isPlain
        }
    }

    func dial(_ dial: Dial, on loop: EventLoop, done: @escaping (consuming Dialled) -> Void) -> any Cancellable {
        let (network, keys) = (network, keys)
        return DialAttempt(dial, on: loop, done: done) { attempt, stream in
            guard let key = network.key(at: stream.remoteAddress) else {
                return attempt.finish(.notProven("the script proves nothing"))
            }
            let number = network.announce(dial.purpose, by: keys.key)
            let preface = [Self.firstByte] + (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
            guard stream.sendAtOnce(preface) else { return attempt.finish(.notProven("no room")) }
            attempt.finish(
                .proven(stream, isRegistered: false, key: key, secrets: ScriptedNetwork.secrets(number)))
        }
    }

    func claims(firstByte: UInt8) -> Bool { firstByte == Self.firstByte }

    func accept(
        _ stream: consuming Stream, on loop: EventLoop, within limit: Instant.Span,
        done: @escaping (consuming Accepted?) -> Void
    ) -> (any Accepting)? {
        _ = FirstBytes(
            on: loop, stream, maximum: Self.prefaceByteCount, limit: limit,
            isEnough: { $0.count == Self.prefaceByteCount },
            done: { [network] stream, bytes in
                let number = bytes.dropFirst().reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                guard let (purpose, key) = network.take(number) else { return done(nil) }
                switch purpose {
                case .session:
                    guard let secrets = ScriptedNetwork.secrets(number) else { return done(nil) }
                    done(Accepted(stream, .session(key, secrets)))
                case .channel(let group, _, _): done(Accepted(stream, .channel(group)))
                }
            })
        return nil
    }
}

extension Carriers {
    /// Those of the program.
    static func encrypted(_ keys: KeyRing) -> Carriers { Carriers([TLSCarrier(keys), PlainCarrier()]) }
}
