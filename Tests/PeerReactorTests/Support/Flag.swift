import Synchronization

/// Raised once.
final class Flag: Sendable {
    private let raised = Mutex(false)

    /// `false` when it was raised before.
    @discardableResult
    func raise() -> Bool {
        raised.withLock { raised in
            defer { raised = true }
            return !raised
        }
    }

    var isRaised: Bool { raised.withLock { $0 } }
}
