public import PeerWire

/// How a peer's frames get to a relay and back: as datagrams of their own, or over a stream where none get through; and
/// how large they may be. The peer asks and decides, and the relay follows. No I/O, no clock.
///
/// ```
/// trying ──an answer──▶ standing ◀──an answer──┐
///    └───no answer for 1 s───┴──────▶ blocked ─┘ frames take a stream, and it is tried every 20 s
/// ```
public struct DatagramPath: Sendable {
    public enum Way: Hashable, Sendable { case datagrams, stream }

    public enum Action: Hashable, Sendable {
        /// Asks the relay, with a datagram of so many bytes all in all.
        case ask(number: UInt32, size: Int)
        /// Frames take the other way from now on.
        case change(Way)
        /// Goes on from another port: something on the way may hold the present one's flow for dead.
        case renew
    }

    /// Without an answer for so long, none gets through.
    public static let patience = Instant.Span.seconds(1)
    /// A question is asked again after this, then after twice as long.
    private static let firstRepeat = Instant.Span.milliseconds(100)
    /// The way is tried from another port when a question has no answer for so long.
    private static let renewal = Instant.Span.milliseconds(450)
    /// While visitors' datagrams come and go, and for this long after the last one, it is asked more often.
    private static let busySpan = Instant.Span.seconds(5)
    private static let busyInterval = Instant.Span.milliseconds(500)
    /// This end sends, and nothing has come for so long: is the relay still there?
    private static let silence = Instant.Span.milliseconds(400)
    /// While blocked, it is tried again so often.
    private static let retry = Instant.Span.seconds(20)
    /// What every way takes (RFC 9000, section 14).
    public static let base = 1_200
    /// Sizes that are tried, from the headers of usual links (PPPoE, tunnels, IPv6, IPv4, large frames, loopback).
    static let sizes = [1_280, 1_372, 1_392, 1_444, 1_452, 1_464, 1_472, 8_952, 8_972, 16_384, 65_487, 65_507]
    private static let sizeLimit = Instant.Span.milliseconds(500)
    /// A size that does not come through is tried so often.
    private static let sizeTries = 2
    /// Larger sizes are tried again, and the present one is proven again, so often: ways change.
    private static let largerAgain = Instant.Span.seconds(600)
    private static let sameAgain = Instant.Span.seconds(60)

    private enum Phase { case trying, standing, blocked }

    /// A question that has no answer yet.
    private struct Question {
        let began: Instant
        /// The number of the first datagram that asked it.
        let first: UInt32
        /// Nothing had gone this way since the question before.
        let isAfterSilence: Bool
        var next: Instant
        var pause: Instant.Span
        var isRenewed = false
    }

    private struct Trial {
        let size: Int
        /// The present size is proven again, otherwise a larger one is tried.
        let isProof: Bool
        var number: UInt32
        var tries = 1
        var until: Instant
    }

    private var phase = Phase.trying
    private var question: Question?
    private var trial: Trial?
    private var lastAsked: Instant
    private var lastSent: Instant
    /// A visitor's datagram, either way.
    private var lastCarried: Instant?
    /// This end has sent something since, and heard nothing.
    private var unheardSince: Instant?
    private var nextNumber: UInt32 = 1
    private var nextLarger: Instant
    private var nextProof: Instant
    private var keepalive = NATKeepalive()
    /// How many bytes a datagram may have, all in all.
    public private(set) var largest = DatagramPath.base

    public init(at now: Instant) {
        lastAsked = now
        lastSent = now
        nextLarger = now
        nextProof = now
    }

    public var way: Way { phase == .blocked ? .stream : .datagrams }

    /// Whether an answer has come: before that nobody knows.
    public var isStanding: Bool { phase == .standing }

    /// This end sent something by datagrams.
    public mutating func sent(at now: Instant) {
        lastSent = now
        lastCarried = now
        if unheardSince == nil { unheardSince = now }
    }

    /// A visitor's datagram came.
    public mutating func carried(at now: Instant) { lastCarried = now }

    /// A genuine datagram of the relay came.
    public mutating func heard() { unheardSince = nil }

    /// The relay has heard nothing for a while, though it sent something.
    public mutating func isMissed(at now: Instant) -> [Action] {
        if question == nil, phase == .standing { lastAsked = .zero }
        return timePassed(at: now)
    }

    /// The relay answered.
    public mutating func answered(_ answer: DatagramFrame.Answer, at now: Instant) -> [Action] {
        var actions: [Action] = []
        heard()
        if let question, answer.number >= question.first {
            self.question = nil
            keepalive.answered(from: answer.source, afterSilence: question.isAfterSilence)
            if phase != .standing {
                if phase == .blocked { actions.append(.change(.datagrams)) }
                phase = .standing
                nextLarger = now
                nextProof = now + Self.sameAgain
            }
        }
        if let trial, trial.number == answer.number {
            self.trial = nil
            nextProof = now + Self.sameAgain
            if !trial.isProof { largest = trial.size }
        }
        return actions + timePassed(at: now)
    }

    /// What is due. Call at `nextDeadline`, or more often.
    public mutating func timePassed(at now: Instant) -> [Action] {
        var actions: [Action] = []
        ask(now, &actions)
        if phase == .standing { tryLarger(now, &actions) }
        return actions
    }

    public var nextDeadline: Instant {
        var deadline =
            question.map { question in
                let renewal = question.isRenewed ? Self.patience : Self.renewal
                return min(question.next, question.began + min(renewal, Self.patience))
            } ?? nextQuestion
        if phase == .standing { deadline = min(deadline, trial?.until ?? min(nextLarger, nextProof)) }
        return deadline
    }

    /// When the next question is due, if nothing comes meanwhile.
    private var nextQuestion: Instant {
        switch phase {
        case .trying: lastAsked
        case .blocked: lastAsked + Self.retry
        case .standing:
            min(
                lastAsked + (isBusy ? Self.busyInterval : keepalive.span),
                unheardSince.map { $0 + Self.silence } ?? lastAsked + keepalive.span)
        }
    }

    /// When the last question was asked, visitors' datagrams came and went, or they have since.
    private var isBusy: Bool { lastCarried.map { $0 + Self.busySpan > lastAsked } ?? false }

    private mutating func ask(_ now: Instant, _ actions: inout [Action]) {
        if let question, !question.isRenewed, now - question.began >= Self.renewal {
            self.question?.isRenewed = true
            actions += [.renew, .ask(number: number(), size: Self.base)]
        }
        if let question {
            if now - question.began >= Self.patience {
                self.question = nil
                lastAsked = now
                guard phase != .blocked else { return }
                phase = .blocked
                trial = nil
                // Who knows what the next way takes.
                largest = Self.base
                actions.append(.change(.stream))
            } else if now >= question.next {
                self.question?.pause = question.pause + question.pause
                self.question?.next = now + question.pause + question.pause
                actions.append(.ask(number: number(), size: Self.base))
            }
            return
        }
        guard now >= nextQuestion else { return }
        let number = number()
        question = Question(
            began: now, first: number, isAfterSilence: lastSent <= lastAsked, next: now + Self.firstRepeat,
            pause: Self.firstRepeat)
        lastAsked = now
        actions.append(.ask(number: number, size: Self.base))
    }

    private mutating func tryLarger(_ now: Instant, _ actions: inout [Action]) {
        if var trial {
            guard now >= trial.until else { return }
            if trial.tries < Self.sizeTries {
                trial.tries += 1
                trial.number = number()
                trial.until = now + Self.sizeLimit
                self.trial = trial
                actions.append(.ask(number: trial.number, size: trial.size))
                return
            }
            self.trial = nil
            if trial.isProof {
                // Small ones come through and these do not any more.
                largest = Self.base
                nextLarger = now
            } else {
                nextLarger = now + Self.largerAgain
            }
        }
        let larger = Self.sizes.first { $0 > largest }
        if now >= nextLarger, let larger {
            begin(larger, isProof: false, now, &actions)
        } else if now >= nextProof {
            nextProof = now + Self.sameAgain
            if largest > Self.base { begin(largest, isProof: true, now, &actions) }
        }
        if larger == nil { nextLarger = now + Self.largerAgain }
    }

    private mutating func begin(_ size: Int, isProof: Bool, _ now: Instant, _ actions: inout [Action]) {
        let number = number()
        trial = Trial(size: size, isProof: isProof, number: number, until: now + Self.sizeLimit)
        actions.append(.ask(number: number, size: size))
    }

    /// The number of a probe that is sent by the stream, where nobody waits for an answer.
    public mutating func takeNumber() -> UInt32 { number() }

    private mutating func number() -> UInt32 {
        defer { nextNumber += 1 }
        return nextNumber
    }
}

/// How often something has to go to the relay so that a NAT on the way does not forget it: less often while the NAT
/// holds, and twice as often when it turns out that it did not.
struct NATKeepalive: Sendable {
    /// Many NATs forget a way after 30 s (RFC 4787, section 4.3 wants 120).
    private static let longest = Instant.Span.seconds(25)
    private static let shortest = Instant.Span.seconds(4)
    /// Answers in a row after which a longer span is tried.
    private static let confidence = 8

    private(set) var span = Instant.Span.seconds(15)
    /// A span after which the NAT had forgotten.
    private var tooLong: Instant.Span?
    private var source: DatagramAddress?
    private var held = 0

    /// - Parameters:
    ///   - source: this end's address as the relay saw it.
    ///   - afterSilence: nothing had gone to the relay for `span`.
    mutating func answered(from source: DatagramAddress, afterSilence: Bool) {
        defer { self.source = source }
        guard afterSilence, let former = self.source else { return }
        if former != source {
            tooLong = min(tooLong ?? span, span)
            span = max(Self.shortest, span / 2)
            held = 0
            return
        }
        held += 1
        guard held >= Self.confidence else { return }
        held = 0
        let longer = span / 4 * 5
        if longer <= Self.longest, tooLong.map({ longer < $0 }) ?? true { span = longer }
    }
}
