import Glibc

/// A plain thread, for what blocks.
public enum SystemThread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` once on a thread of its own.
    public static func detach(_ body: @escaping @Sendable () -> Void) {
        let keeper = Unmanaged.passRetained(Body(body))
        var id = pthread_t()
        let status = pthread_create(
            &id, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, keeper.toOpaque())
        if status == 0 {
            pthread_detach(id)
        } else {
            keeper.release()
            body()
        }
    }
}
