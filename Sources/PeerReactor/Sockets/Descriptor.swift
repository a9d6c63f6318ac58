import Glibc

/// Owns one file descriptor and closes it when it goes.
public struct Descriptor: ~Copyable {
    public let raw: Int32

    public init(_ raw: Int32) { self.raw = raw }

    deinit { _ = close(raw) }

    /// About as many as this process has open: the system gives the lowest that is free. More than there may be where
    /// it gives none.
    public static var openCount: Int {
        let fd = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return .max }
        close(fd)
        return Int(fd) + 1
    }

    /// Hands the descriptor to another owner.
    public consuming func release() -> Int32 {
        let raw = self.raw
        discard self
        return raw
    }
}

/// A failed system call: which, and why.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    public let call: String
    public let code: Int32

    init(_ call: String) { self.init(call, code: errno) }

    /// None may be taken for this, though the system may have some.
    public static let outOfDescriptors = SystemError("socket", code: EMFILE)

    public init(_ call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    public var isAddressInUse: Bool { code == EADDRINUSE }
    public var isAddressNotAvailable: Bool { code == EADDRNOTAVAIL }
    public var isPermissionDenied: Bool { code == EACCES || code == EPERM }
    public var isRefused: Bool { code == ECONNREFUSED }
    public var isTimedOut: Bool { code == ETIMEDOUT }
    /// No descriptor is left, in this process or in the system.
    public var isOutOfDescriptors: Bool { code == EMFILE || code == ENFILE }

    public var text: String { String(cString: strerror(code)) }
    public var description: String { "\(call): \(text)" }
}
