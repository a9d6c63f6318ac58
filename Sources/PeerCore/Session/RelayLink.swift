public import PeerWire

/// A peer's standing with one relay: connecting, proving, staying alive, and coming back. No I/O, no clock.
///
/// ```
/// waiting ──timePassed──▶ connecting ──reached──▶ opening ──secured, welcome──▶ established
///    ▲                        │ failed, too long     │ refused, too long             │ closed, silent
///    └────────────────────────┴──────────────────────┴───────────────────────────────┘  superseded ──▶ stopped
/// ```
public struct RelayLink: Sendable {
    public enum State: Hashable, Sendable {
        case waiting(until: Instant)
        case connecting(since: Instant)
        case opening(since: Instant)
        case established
        case stopped
    }

    public enum Action: Sendable {
        /// Look the name up anew and connect; answer with `reached` or `connectionFailed`, then with `secured` or
        /// `closed`.
        case connect
        case send([UInt8])
        /// Close the stream of this attempt, if there is one.
        case disconnect
        case established(SessionTerms, channels: UInt16)
        /// For the session's agreements and pool; never about liveness or the handshake.
        case deliver(RelayMessage)
        case measured(latency: Instant.Span)
        /// The session that was there is gone.
        case lost
        /// Why there is no session; only when the reason is another than before.
        case explain(String)
        /// Another process proved this key, in the relay's words: this one must stop.
        case superseded(String)
    }

    public private(set) var state: State
    private var handshake: PeerHandshake?
    private var backoff: Backoff
    /// Behind sessions that ended soon.
    private var unsteady: Backoff
    private var attemptStarted = Instant.zero
    private var establishedAt = Instant.zero
    private var lastHeard = Instant.zero
    private var nextPing = Instant.zero
    private var pingNumber: UInt64 = 0
    private var pingSent = Instant.zero
    private var explained: String?
    /// What a relay says of itself (its keys, that it drains) costs more than a look: a file is written, others are
    /// told.
    private var news = RateBucket(perSecond: 1, burst: 16, at: .zero)
    /// Attempts in a row, since a session or since one was asked for at once, that failed for a reason which the other
    /// end or this machine named. Silence is none: an answer may have been lost.
    public private(set) var failures = 0
    /// What the other end said or proved at the last attempt, where that is why there is no session.
    public private(set) var refusal: HandshakeFailure?

    public init(seed: UInt64, at now: Instant) {
        state = .waiting(until: now)
        backoff = Backoff(seed: seed)
        unsteady = Backoff(seed: ~seed)
    }

    /// When `timePassed` should be called at the latest.
    public var nextDeadline: Instant? {
        switch state {
        case .waiting(let until): until
        case .connecting(let since): since + SessionTiming.connectLimit
        case .opening(let since): since + SessionTiming.handshakeLimit
        case .established: min(nextPing, lastHeard + SessionTiming.peerPatience)
        case .stopped: nil
        }
    }

    public mutating func timePassed(at now: Instant) -> [Action] {
        guard let deadline = nextDeadline, now >= deadline else { return [] }
        switch state {
        case .waiting:
            state = .connecting(since: now)
            attemptStarted = now
            return [.connect]
        case .connecting:
            let limit = SessionTiming.connectLimit.nanoseconds / 1_000_000_000
            return fail("no answer within \(limit) s (is that port open in its firewall?)", now, isSilence: true)
        case .opening: return fail("it accepts connections but says nothing", now, isSilence: true)
        case .established:
            if now >= lastHeard + SessionTiming.peerPatience {
                return fail("the session went silent", now, isSilence: true)
            }
            nextPing = now + SessionTiming.pingInterval
            pingNumber += 1
            pingSent = now
            return [.send(PeerMessage.ping(pingNumber).bytes)]
        case .stopped: return []
        }
    }

    /// The stream is there, and TLS begins on it.
    public mutating func reached(at now: Instant) -> [Action] {
        guard case .connecting = state else { return [.disconnect] }
        state = .opening(since: now)
        return []
    }

    /// TLS stands, and the key that it proved is acceptable.
    public mutating func secured(_ handshake: PeerHandshake, at now: Instant) -> [Action] {
        guard case .opening = state, self.handshake == nil else { return [.disconnect] }
        self.handshake = handshake
        return [.send(handshake.opening)]
    }

    /// - Parameter isSilence: nothing came back, and there may be an answer next time.
    public mutating func connectionFailed(
        _ reason: String, isSilence: Bool = false, at now: Instant
    ) -> [Action] {
        guard case .connecting = state else { return [] }
        return fail(reason, now, isSilence: isSilence)
    }

    /// The stream ended or broke.
    public mutating func closed(_ reason: String, at now: Instant) -> [Action] {
        switch state {
        case .opening, .established: fail(reason, now)
        case .waiting, .connecting, .stopped: []
        }
    }

    /// The other end answered the preamble with the version that it speaks.
    public mutating func receivedVersion(_ highest: UInt16, at now: Instant) -> [Action] {
        guard case .opening = state else { return [] }
        return fail(HandshakeFailure.version(highest).description, now)
    }

    public mutating func received(_ frame: Frame, at now: Instant) -> [Action] {
        lastHeard = now
        switch state {
        case .opening: return continueHandshake(frame, now)
        case .established: return continueSession(frame, now)
        case .waiting, .connecting, .stopped: return []
        }
    }

    /// Something changed that may make the next attempt succeed: it comes at once. What earlier ones came to counts no
    /// longer, not even where one is under way already.
    ///
    /// - Parameter anew: what this node shows or trusts is other than before: an attempt that has shown the former
    ///   begins anew, for its answer would be about that.
    public mutating func hurry(anew: Bool = false, at now: Instant) -> [Action] {
        var actions: [Action] = []
        switch state {
        case .established, .stopped: return []
        case .connecting: break
        case .opening:
            guard anew, handshake != nil else { break }
            handshake = nil
            actions = [.disconnect]
            state = .waiting(until: now)
        case .waiting: state = .waiting(until: now)
        }
        failures = 0
        refusal = nil
        backoff.reset()
        unsteady.reset()
        guard case .waiting = state else { return [] }
        return actions + timePassed(at: now)
    }

    public mutating func stop() { state = .stopped }

    private mutating func continueHandshake(_ frame: Frame, _ now: Instant) -> [Action] {
        guard let action = handshake?.received(frame) else { return [] }
        switch action {
        case .send(let bytes): return [.send(bytes)]
        case .failed(.refused(.superseded, let detail)): return supersede(detail)
        case .failed(let failure): return fail(failure.description, now, refusal: failure)
        case .established(let terms, let channels, _):
            handshake = nil
            state = .established
            establishedAt = now
            explained = nil
            failures = 0
            refusal = nil
            nextPing = now
            return [.established(terms, channels: channels)]
        }
    }

    private mutating func continueSession(_ frame: Frame, _ now: Instant) -> [Action] {
        do {
            guard let message = try RelayMessage(frame) else { return [] }
            switch message {
            case .ping(let number): return [.send(PeerMessage.pong(number).bytes)]
            case .pong(let number):
                // Only the answer to the latest ping is a sample; a late one would measure a stall twice.
                return number == pingNumber ? [.measured(latency: now - pingSent)] : []
            case .close(.superseded, let detail): return supersede(detail)
            case .close(let reason, let detail):
                return fail(
                    reason == .leaving ? "the relay stopped" : HandshakeFailure.refused(reason, detail).description, now
                )
            case .membership, .welcome:
                return fail(HandshakeFailure.unexpected.description, now)
            case .meshKeyRenewed, .tokenJudged, .keyHistory, .draining:
                guard news.take(1, at: now) else { return fail("it says too often what it said before", now) }
                return [.deliver(message)]
            case .offer, .active, .refusal, .released, .receipt, .channelsWanted, .datagramsMissed, .checkDone:
                return [.deliver(message)]
            }
        } catch { return fail(error.description, now) }
    }

    private mutating func supersede(_ detail: String) -> [Action] {
        state = .stopped
        return [.disconnect, .superseded(detail)]
    }

    private mutating func fail(
        _ reason: String, _ now: Instant, isSilence: Bool = false, refusal: HandshakeFailure? = nil
    ) -> [Action] {
        let wasEstablished = state == .established
        // Why a session ended says nothing about the next attempt.
        failures = isSilence || wasEstablished ? 0 : failures + 1
        let complaint = handshake?.complaint
        let reason = complaint ?? reason
        self.refusal = complaint.map { .keyChanged($0) } ?? refusal
        handshake = nil
        let stood = wasEstablished ? now - establishedAt : .zero
        // A session that drops as soon as it stands is no success: without this, both ends would spin.
        if stood >= SessionTiming.longestBackoff { backoff.reset() }
        if stood >= SessionTiming.steadySession { unsteady.reset() }
        var pause =
            self.refusal?.isLasting == true
            ? backoff.next(atMost: SessionTiming.longestUnwantedBackoff) : backoff.next()
        if wasEstablished { pause = max(pause, unsteady.next(atMost: SessionTiming.longestUnsteadyBackoff)) }
        // Counted from the start of the attempt: an attempt that timed out has waited long enough already.
        state = .waiting(until: wasEstablished ? now + pause : max(now, attemptStarted + pause))
        var actions: [Action] = [.disconnect]
        if wasEstablished { actions.append(.lost) }
        if explained != reason {
            explained = reason
            actions.append(.explain(reason))
        }
        return actions
    }
}
