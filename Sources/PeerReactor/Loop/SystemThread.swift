import Glibc

/// Plain threads, for what blocks.
public enum SystemThread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` once on a thread of its own; throws, and it never runs, where the system has none left.
    public static func detach(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        let keeper = Unmanaged.passRetained(Body(body))
        var id = pthread_t()
        let status = pthread_create(
            &id, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, keeper.toOpaque())
        guard status == 0 else {
            keeper.release()
            throw SystemError("pthread_create", code: status)
        }
        pthread_detach(id)
    }

    /// Throws where the system has not as many left. Libraries that start threads give up, or wait for ever, when they
    /// get none: so it is asked before anything is begun.
    public static func require(_ count: Int) throws(SystemError) {
        let gate = Gate()
        guard gate.isUsable else { throw SystemError("eventfd", code: EMFILE) }
        defer { gate.open() }
        for _ in 0..<count { try detach { gate.wait() } }
    }

    /// Holds threads until it is opened.
    private final class Gate: Sendable {
        private let flag = StopFlag()

        var isUsable: Bool { flag.descriptor >= 0 }

        func open() { flag.raise() }

        func wait() {
            var entry = pollfd(fd: flag.descriptor, events: Int16(POLLIN), revents: 0)
            while poll(&entry, 1, -1) < 0, errno == EINTR {}
        }
    }
}
