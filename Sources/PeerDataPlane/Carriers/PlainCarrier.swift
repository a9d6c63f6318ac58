package import PeerCore
package import PeerReactor
internal import PeerWire

/// TCP with nothing but a proof at the start, for data channels where both ends asked for that. It takes every stream
/// that no other carrier claims: what it is for stands in its first bytes.
package final class PlainCarrier: Carrier {
    package let name = CarrierName(rawValue: "plain")

    package init() {}

    package func carries(_ purpose: Purpose) -> Bool {
        switch purpose {
        case .session: false
        case .channel(_, let protection, _): protection.isPlain
        }
    }

    package func dial(
        _ dial: Dial, on loop: EventLoop, done: @escaping (consuming Dialled) -> Void
    ) -> any Cancellable {
        let purpose = dial.purpose
        return DialAttempt(dial, on: loop, done: done) { attempt, stream in
            guard case .channel(let group, .plain(let secret), let number) = purpose,
                stream.sendAtOnce(DataChannelHello(group: group, number: number, secret: secret).bytes)
            else { return attempt.finish(.notProven("the proof could not be sent")) }
            attempt.finish(.proven(stream, isRegistered: false, key: nil, secrets: nil))
        }
    }

    package func claims(firstByte: UInt8) -> Bool { true }

    package func accept(
        _ stream: consuming Stream, on loop: EventLoop, within limit: Instant.Span,
        done: @escaping (consuming Accepted?) -> Void
    ) -> (any Accepting)? {
        done(Accepted(stream, .undeclared))
        return nil
    }
}
