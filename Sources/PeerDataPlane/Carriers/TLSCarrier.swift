package import PeerCore
package import PeerReactor
internal import PeerWire

/// Who knows the node's key, as TLS needs it.
package protocol TLSCredentials: AnyObject, Sendable {
    /// For handshakes that begin now.
    var tls: TLSContext { get }
}

/// TLS 1.3 over TCP: keys of nodes for sessions, the session's own key for its data channels, and the API.
package final class TLSCarrier: Carrier {
    /// The first byte of TLS (RFC 8446, section 5.1: a record of the handshake).
    private static let firstByte: UInt8 = 0x16

    package let name = CarrierName(rawValue: "tls")
    private let credentials: any TLSCredentials

    package init(_ credentials: any TLSCredentials) { self.credentials = credentials }

    package func carries(_ purpose: Purpose) -> Bool {
        switch purpose {
        case .session: true
        case .channel(_, let protection, _): !protection.isPlain
        }
    }

    package func dial(
        _ dial: Dial, on loop: EventLoop, done: @escaping (consuming Dialled) -> Void
    ) -> any Cancellable {
        let (tls, limit) = (credentials.tls, dial.proofLimit)
        let role: TLSHandshake.Role? =
            switch dial.purpose {
            case .session: .session
            case .channel(let group, .encrypted(let key), _): .data(group, key)
            case .channel(_, .plain, _): nil
            }
        return DialAttempt(dial, on: loop, done: done) { attempt, stream in
            guard let role else { return attempt.finish(.notProven("a plain channel asked for TLS")) }
            let handshake = TLSHandshake(on: loop, stream, tls, as: role, limit: limit) { outcome in
                switch consume outcome {
                case .secured(let stream, let facts):
                    attempt.finish(.proven(stream, isRegistered: true, key: facts.key, secrets: facts.secrets))
                case .failed(let failure): attempt.finish(.notProven(failure.description))
                }
            }
            attempt.proving(handshake)
            handshake.start(isRegistered: false)
        }
    }

    package func claims(firstByte: UInt8) -> Bool { firstByte == Self.firstByte }

    package func accept(
        _ stream: consuming Stream, on loop: EventLoop, within limit: Instant.Span,
        done: @escaping (consuming Accepted?) -> Void
    ) -> (any Accepting)? {
        let handshake = TLSHandshake(on: loop, stream, credentials.tls, as: .server, limit: limit) { outcome in
            switch consume outcome {
            case .failed: done(nil)
            case .secured(let stream, let facts):
                switch facts.purpose {
                // The handshake does not end without what is looked for here.
                case .session:
                    guard let key = facts.key, let secrets = facts.secrets else { return done(nil) }
                    done(Accepted(stream, .session(key, secrets)))
                case .data:
                    if let group = facts.group { done(Accepted(stream, .channel(group))) } else { done(nil) }
                case .http: done(Accepted(stream, .http(facts.key)))
                }
            }
        }
        handshake.start(isRegistered: true)
        return handshake
    }
}

extension TLSHandshake: Accepting {
    package var isSilent: Bool { !hasHello }
}
