/// When this node looks whether the services behind a mapping's ports answer, with as little noise for them as can be.
/// No I/O, no clock. Ports are named by how many they are after the first one.
///
/// A port of this machine is up as long as the system's table has a listener for it. Everything else is connected to:
/// at first at once, then again after a pause. The pause grows while nothing changes, from 10 s to 10 minutes for what
/// answers, and from half a second to 5 s for what does not; a visitor who could not be connected ends it.
public struct TargetPlan: Sendable {
    private struct Port {
        var isUp: Bool?
        var reason = ""
        /// The table has a listener for it.
        var isListed = false
        /// After a connection failed although a listener was in the table, only a connection convinces.
        var distrustsTable = false
        var pause = Instant.Span.zero
        var lookAt = Instant.zero
        /// Somebody waits for the next word about it.
        var isAsked = true
        var isUnderWay = false
    }

    public static let interval = Instant.Span.milliseconds(500)
    static let shortestUp = Instant.Span.seconds(10)
    static let longestUp = Instant.Span.seconds(600)
    static let longestDown = Instant.Span.seconds(5)
    /// So that a first look at 1,024 ports of which nothing is heard, for 2 s each, ends before whoever asked for them
    /// has waited too long.
    static let atOnce = 128
    /// Ports that were down the last time and are tried again, within `interval`; they leave half of the places to
    /// others.
    static let triedAgain = 32

    private var ports: [Port]
    private var underWay = 0
    private var turn = 0
    private var triesLeft = Self.triedAgain
    private var refilled = Instant.zero

    public init(count: Int) { ports = Array(repeating: Port(), count: count) }

    public var states: TargetStates {
        var states = TargetStates()
        for (offset, port) in ports.enumerated() {
            switch port.isUp {
            case true?: states.answering.insert(UInt16(offset))
            case false?: states.silent[UInt16(offset)] = port.reason
            case nil: break
            }
        }
        return states
    }

    /// Whether somebody waits for a word that did not come yet.
    public var isAsked: Bool { ports.contains(where: \.isAsked) }

    /// Whether somebody waits for the next word about this one.
    public func isAsked(_ offset: UInt16) -> Bool { ports[Int(offset)].isAsked }

    public var isLooking: Bool { underWay > 0 }

    /// Whatever is not up is looked at now.
    public mutating func ask(at now: Instant) {
        for index in ports.indices where ports[index].isUp != true {
            ports[index].isAsked = true
            ports[index].lookAt = now
        }
    }

    /// What the system's table of listeners says. `true` when a port has come up.
    public mutating func listed(at now: Instant, _ contains: (UInt16) -> Bool) -> Bool {
        var isNews = false
        for index in ports.indices {
            if ports[index].distrustsTable {
                // Once the table says the same, it is worth listening to again.
                if !contains(UInt16(index)) {
                    ports[index].distrustsTable = false
                    ports[index].isListed = false
                }
            } else if contains(UInt16(index)) {
                isNews = isNews || ports[index].isUp != true
                ports[index].isUp = true
                ports[index].isListed = true
                ports[index].isAsked = false
            } else if ports[index].isListed {
                // No listener in the table is no proof (the system may redirect the port): a connection is.
                ports[index].isListed = false
                ports[index].lookAt = now
            }
        }
        return isNews
    }

    /// The ports to connect to now; each is to be answered with `answered` or `silent`, or given back.
    public mutating func next(at now: Instant) -> [UInt16] {
        if now - refilled >= Self.interval {
            triesLeft = Self.triedAgain
            refilled = now
        }
        var wanted: [UInt16] = []
        for step in ports.indices where underWay < Self.atOnce {
            let index = (turn + step) % ports.count
            let port = ports[index]
            guard !port.isUnderWay, now >= port.lookAt, !port.isListed || port.distrustsTable else { continue }
            if port.isUp == false, !port.isAsked {
                guard triesLeft > 0, underWay < Self.atOnce / 2 else { continue }
                triesLeft -= 1
            }
            ports[index].isUnderWay = true
            underWay += 1
            wanted.append(UInt16(index))
        }
        if let last = wanted.last { turn = (Int(last) + 1) % ports.count }
        return wanted
    }

    /// It could be connected to. `true` when that is news.
    public mutating func answered(_ offset: UInt16, at now: Instant) -> Bool {
        finish(offset)
        let index = Int(offset)
        let isNews = ports[index].isUp != true
        // Where the table had it up until now, there was no pause yet.
        let longer = max(ports[index].pause * 2, Self.shortestUp)
        ports[index].pause = isNews ? Self.shortestUp : min(longer, Self.longestUp)
        ports[index].isUp = true
        ports[index].distrustsTable = false
        ports[index].lookAt = now + ports[index].pause
        return isNews
    }

    /// It could not; `reason` is what is to be said of it. `true` when that is news.
    public mutating func silent(_ offset: UInt16, _ reason: String, at now: Instant) -> Bool {
        let wasAsked = isAsked(offset)
        finish(offset)
        let index = Int(offset)
        let isNews = ports[index].isUp != false || wasAsked && ports[index].reason != reason
        let longer = Instant.Span(nanoseconds: ports[index].pause.nanoseconds / 4 * 5)
        ports[index].pause =
            ports[index].isUp == false ? min(max(longer, Self.interval), Self.longestDown) : Self.interval
        ports[index].isUp = false
        if isNews { ports[index].reason = reason }
        ports[index].lookAt = now + ports[index].pause
        return isNews
    }

    /// That nothing came of it was no fault of the target.
    public mutating func givenBack(_ offset: UInt16, at now: Instant) {
        finish(offset)
        ports[Int(offset)].lookAt = now + Self.interval
    }

    /// A visitor could not be connected. `true` when that is news.
    public mutating func visitorFailed(_ offset: UInt16, _ reason: String, at now: Instant) -> Bool {
        guard ports.indices.contains(Int(offset)), ports[Int(offset)].isUp != false else { return false }
        let index = Int(offset)
        ports[index].isUp = false
        ports[index].reason = reason
        ports[index].distrustsTable = true
        ports[index].pause = Self.interval
        ports[index].lookAt = now + Self.interval
        return true
    }

    private mutating func finish(_ offset: UInt16) {
        if ports[Int(offset)].isUnderWay { underWay -= 1 }
        ports[Int(offset)].isUnderWay = false
        ports[Int(offset)].isAsked = false
    }
}
