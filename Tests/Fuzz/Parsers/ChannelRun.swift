internal import PeerCore
internal import PeerWire

/// A data channel with a machine at either end (`ChannelMachine`). Each byte of an input is a thing that happens there:
///
/// ```
/// where: 0 announcer, 1 listener (1 bit) | passed over (3 bits) | what (4 bits)
/// ```
/// Most are what an end does by itself, or the arrival of what the other one said. An end that may not do a thing at
/// that moment leaves it. From `forged` on a frame arrives that nobody said.
struct ChannelRun {
    private struct Frame {
        let kind: ChannelFrame.Kind
        /// Whose it is.
        let visitor: Int
        var wantsAnswer = false
    }

    private struct End {
        var machine: ChannelMachine
        /// The one that is there or was the last one.
        var visitor = 0
        /// More of it may come from the other end.
        var isOpen = false
        /// Said, and not heard by the other end yet.
        var said: [Frame] = []

        init(_ role: ChannelMachine.Role) { machine = ChannelMachine(role) }

        mutating func say(_ words: [UInt8]) {
            for start in stride(from: 0, to: words.count, by: ChannelFrame.headerByteCount) {
                guard let kind = ChannelFrame.Kind(rawValue: words[start]) else { continue }
                said.append(Frame(kind: kind, visitor: visitor))
            }
        }
    }

    private static let forged: UInt8 = 9
    private var ends = [End(.announcer), End(.listener)]
    /// Nothing was forged. A node that lies may mix visitors up, for it speaks for them all.
    private var isHonest = true

    /// Whatever happens, each end is in a state that the table has, and takes bytes between a visitor's start and its
    /// end alone. Of two that keep to the rules none takes what the other one says for a breach, or one visitor's bytes
    /// for another one's.
    static func judge(_ input: [UInt8]) -> FuzzTarget.Outcome {
        var run = ChannelRun()
        for (index, byte) in input.enumerated() {
            let former = run.ends.map(\.machine)
            if let flaw = run.happens(byte) { return .flawed("byte \(index): \(flaw)") }
            for (before, now) in zip(former, run.ends.map(\.machine)) {
                if !isInTable(now) { return .flawed("byte \(index): \(before) became \(now)") }
                if before.phase == .spent, now.phase != .spent { return .flawed("byte \(index): \(now) was spent") }
            }
        }
        return run.ends.contains { $0.machine.phase == .spent } ? .refused : .accepted
    }

    /// What is wrong with it.
    private mutating func happens(_ byte: UInt8) -> String? {
        let at = Int(byte >> 7)
        let what = byte & 0xf
        if let kind = ChannelFrame.Kind(rawValue: what &- Self.forged &+ 1) {
            isHonest = false
            return hear(Frame(kind: kind, visitor: ends[at].visitor), at)
        }
        guard what < Self.forged - 1 else {
            return ends[1 - at].said.isEmpty ? nil : hear(ends[1 - at].said.removeFirst(), at)
        }
        act(what, at)
        return nil
    }

    private mutating func act(_ what: UInt8, _ at: Int) {
        let machine = ends[at].machine
        let isRunning = [.visiting, .proving].contains(machine.phase) && machine.said == .running
        switch what {
        case 0, 1:
            guard machine.role == .announcer, machine.phase == .idle, machine.servesAgain else { return }
            ends[at].machine.start(wantsAnswer: what == 1)
            ends[at].visitor += 1
            ends[at].isOpen = true
            ends[at].said.append(Frame(kind: .start, visitor: ends[at].visitor, wantsAnswer: what == 1))
        case 2, 3: if isRunning { ends[at].say(ends[at].machine.end(isPassedOn: what == 3)) }
        case 4:
            guard machine.canRecover, [.visiting, .returning].contains(machine.phase) else { return }
            if let word = ends[at].machine.reset() { ends[at].say(word) }
        case 5: if isRunning { ends[at].say(ends[at].machine.goRaw()) }
        case 6: if let word = ends[at].machine.part() { ends[at].say(word) }
        default: if isRunning { ends[at].said.append(Frame(kind: .bytes, visitor: ends[at].visitor)) }
        }
    }

    private mutating func hear(_ frame: Frame, _ at: Int) -> String? {
        let before = ends[at].machine
        let step = ends[at].machine.hear(frame.kind)
        let now = ends[at].machine
        if step == .breach {
            if now.phase != .spent { return "\(now) goes on after a breach" }
            return isHonest && before.phase != .spent ? "\(before) did not expect \(frame)" : nil
        }
        guard mayTake(frame.kind, before, ends[at].isOpen) else { return "\(before) took \(frame)" }
        switch frame.kind {
        case .start:
            ends[at].visitor = frame.visitor
            ends[at].isOpen = true
            if frame.wantsAnswer { ends[at].say(ChannelFrame.alive) }
        case .end, .broken, .raw: ends[at].isOpen = false
        case .bytes, .ready, .alive: break
        }
        let isOthers = isHonest && frame.visitor != ends[at].visitor
        return isOthers ? "\(frame) was taken for visitor \(ends[at].visitor)'s" : nil
    }

    private func mayTake(_ kind: ChannelFrame.Kind, _ machine: ChannelMachine, _ isOpen: Bool) -> Bool {
        switch kind {
        case .start: machine.role == .listener && machine.phase == .idle && !isOpen
        case .bytes, .end, .broken, .raw: machine.phase == .visiting && isOpen
        case .alive: machine.phase == .proving
        case .ready: machine.role == .announcer && machine.hasSaidLast && !isOpen
        }
    }

    /// The states of Tests/PeerCoreTests/Snapshots/ChannelMachine.txt.
    private static func isInTable(_ machine: ChannelMachine) -> Bool {
        switch (machine.role, machine.phase) {
        case (_, .idle), (_, .spent): true
        case (.announcer, .proving): machine.heard == .running && machine.said != .broken
        case (.announcer, .visiting): !machine.isOver
        case (.announcer, .returning): machine.isOver
        case (.listener, .visiting): true
        case (.listener, .proving), (.listener, .returning): false
        }
    }
}
