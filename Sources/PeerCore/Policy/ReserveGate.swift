/// Who may still come when descriptors or buffers run low: sessions may use what is kept in reserve, visitors and the
/// channels that carry them may not. So a flood of visitors, on one mapping or on all, never takes what a session needs
/// to open and to stay.
///
/// And one mapping never takes all that visitors have: it may hold at most three times what is left to all of them.
/// That is three quarters when it is alone, three sevenths for each of two, and always something for one more. The
/// channels of one membership that nobody uses may be as many as what is left: half of all when it is alone.
public struct ReserveGate: Hashable, Sendable {
    /// One thing that runs out.
    public struct Supply: Hashable, Sendable {
        /// All there is.
        public let limit: Int
        /// Of that, kept for sessions: never more than half of it.
        public let reserve: Int

        public init(limit: Int, reserve: Int) {
            self.limit = max(0, limit)
            self.reserve = max(0, min(reserve, self.limit / 2))
        }

        /// Whether visitors may have a descriptor with this number: the system gives the lowest that is free.
        public func admits(_ descriptor: Int) -> Bool { left(descriptor) > 0 }

        /// The same for one of several that want them, who holds so many already.
        public func admits(_ descriptor: Int, holding held: Int) -> Bool {
            admits(descriptor) && held <= left(descriptor) * ReserveGate.share
        }

        /// What is left to visitors when `used` is in use.
        func left(_ used: Int) -> Int { max(0, limit - reserve - max(0, used)) }
    }

    /// What is in use at this moment.
    public struct Load: Hashable, Sendable {
        public var descriptors: Int
        /// Bytes that wait in buffers of this process.
        public var buffered: Int

        public init(descriptors: Int, buffered: Int) {
            self.descriptors = descriptors
            self.buffered = buffered
        }
    }

    public enum Newcomer: Hashable, Sendable {
        /// A visitor of a mapping that carries so many already.
        case visitor(carried: Int)
        /// A ready data channel of a membership that has so many that nobody uses; 0 for one that is wanted.
        case channel(idle: Int)
        /// A public port that is held for a mapping.
        case port
        /// A connection between nodes that may become a session.
        case session
    }

    /// A visitor is a socket and the channel that carries it.
    public static let descriptorsOfVisitor = 2
    /// How many times what is left to all visitors one mapping may hold.
    static let share = 3

    public let descriptors: Supply
    public let buffers: Supply

    public init(descriptors: Supply, buffers: Supply) {
        self.descriptors = descriptors
        self.buffers = buffers
    }

    /// Whether it is for want of descriptors that a visitor or a channel is not admitted.
    public func isShortOfDescriptors(at load: Load) -> Bool {
        descriptors.left(load.descriptors) < Self.descriptorsOfVisitor
    }

    /// Whether as much is left as is in use: then nobody's unused channels are too many.
    public func hasPlenty(at load: Load) -> Bool {
        descriptors.left(load.descriptors) >= max(1, load.descriptors) && buffers.left(load.buffered) > 0
    }

    /// How many visitors there is room for at the most.
    public var visitors: Int { descriptors.left(0) / Self.descriptorsOfVisitor }

    public func admits(_ newcomer: Newcomer, at load: Load) -> Bool {
        switch newcomer {
        case .session: load.descriptors < descriptors.limit && load.buffered < buffers.limit
        case .port: descriptors.left(load.descriptors) > 0
        case .channel(let idle):
            descriptors.left(load.descriptors) > 0 && buffers.left(load.buffered) > 0
                && idle <= descriptors.left(load.descriptors)
        case .visitor(let carried):
            buffers.left(load.buffered) > 0 && descriptors.left(load.descriptors) >= Self.descriptorsOfVisitor
                && carried <= descriptors.left(load.descriptors) / Self.descriptorsOfVisitor * Self.share
        }
    }
}
