import Glibc

/// Looks names up off the loops (getaddrinfo(3) blocks), on at most `limit` threads at a time.
public final class Resolver: Sendable {
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case notFound(String)
        /// There is no such name, and why the system thinks so.
        case noSuchName(String, String)
        /// Earlier look-ups still hang.
        case busy
        case noThread

        public var description: String {
            switch self {
            case .notFound(let reason): reason
            case .noSuchName(let name, let reason): "the name \(name) cannot be looked up: \(reason)"
            case .busy: "name look-ups hang"
            case .noThread: "no threads are left here to look a name up (ulimit -u, TasksMax)"
            }
        }

        /// For one cell of a listing.
        public var inShort: String {
            if case .noSuchName(let name, _) = self { "no such name: \(name)" } else { description }
        }
    }

    private static let limit = 8
    private let running = Locked(0)

    public init() {}

    /// Answers on `loop`, at once for a numeric host. The caller has its own time-out.
    public func resolve(
        _ endpoint: Endpoint, on loop: EventLoop,
        _ answer: @escaping @Sendable (Result<[SocketAddress], Failure>) -> Void
    ) {
        if let address = SocketAddress(numeric: endpoint.host, port: endpoint.port) {
            return loop.execute { answer(.success([address])) }
        }
        let isAdmitted = running.withLock { count in
            guard count < Self.limit else { return false }
            count += 1
            return true
        }
        guard isAdmitted else { return loop.execute { answer(.failure(.busy)) } }
        do throws(SystemError) {
            try SystemThread.detach {
                let result = Self.lookUp(endpoint)
                self.running.withLock { $0 -= 1 }
                loop.execute { answer(result) }
            }
        } catch {
            running.withLock { $0 -= 1 }
            loop.execute { answer(.failure(.noThread)) }
        }
    }

    /// The name is there, without an address of a kind that is of use: EAI_NODATA, which Swift does not show.
    private static let noData: Int32 = -5

    private static func lookUp(_ endpoint: Endpoint) -> Result<[SocketAddress], Failure> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(endpoint.host, nil, &hints, &list)
        guard status == 0 else {
            let reason = String(cString: gai_strerror(status))
            if status == EAI_NONAME || status == noData { return .failure(.noSuchName(endpoint.host, reason)) }
            return .failure(.notFound("the name \(endpoint.host) cannot be looked up: \(reason)"))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            var storage = sockaddr_storage()
            if let address = entry.pointee.ai_addr {
                memcpy(&storage, address, min(Int(entry.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size))
            }
            if var address = SocketAddress(storage) {
                address.port = endpoint.port
                if !addresses.contains(address) { addresses.append(address) }
            }
            next = entry.pointee.ai_next
        }
        return addresses.isEmpty ? .failure(.notFound("\(endpoint.host) has no address")) : .success(addresses)
    }
}
