internal import CCurl
internal import COpenSSL
internal import Glibc
internal import PeerCore
internal import PeerWire

/// Asks other nodes, over HTTPS: one handle of libcurl for everything, on a thread of its own, which sleeps while
/// nothing happens. TLS 1.3 with this node's certificate; the other end's key is pinned, or learned.
///
/// The pin is judged within the handshake, as sessions judge it (`copenssl_expect`), and once more before each request,
/// for a connection may be one that was there already. libcurl's own pin (CURLOPT_PINNEDPUBLICKEY) keeps connections of
/// different keys apart; alone it would be too late, for this node's certificate would have been shown by then.
public final class NodeClient: @unchecked Sendable {
    // Unchecked, because libcurl's handle belongs to the client's thread; what others touch is behind the lock.

    /// Requests that wait or are under way; one more fails at once.
    public static let maximumRequests = 256
    /// Connections that are kept for further requests.
    private static let keptConnections = 32
    /// Nothing happens for so long at most before the thread looks again, in milliseconds.
    private static let longestNap: Int32 = 60_000
    /// The same while there are two handles, of which one is waited for, and another certificate may wait too.
    private static let shortNap: Int32 = 20

    public typealias Done = @Sendable (Result<NodeAnswer, NodeFailure>) -> Void

    private struct Job {
        var request: NodeRequest
        var done: Done
    }

    private struct Inbox {
        var jobs: [Job] = []
        var underWay = 0
        /// A new certificate to show.
        var model: OpaquePointer?
        var isStopped = false
        /// The handle is no more.
        var isOver = false
    }

    private struct Running {
        var transfer: OpaquePointer
        var multi: UnsafeMutableRawPointer
        var job: Job
    }

    /// Changed under the lock, for others wake it.
    private var multi: UnsafeMutableRawPointer
    /// Has the connections that showed another certificate, until what is under way on it has ended.
    private var former: UnsafeMutableRawPointer?
    private let lock: Lock
    private var inbox = Inbox()
    private var model: OpaquePointer
    private var running: [UInt64: Running] = [:]
    private var nextNumber: UInt64 = 1

    /// - Parameter seed: of the node's key.
    public init(seed: [UInt8]) throws(NodeFailure) {
        // libcurl and this program use one libcrypto; the settings of the latter are made first.
        guard seed.count == NodeIdentity.seedByteCount, let model = copenssl_client(seed), ccurl_prepare(),
            let multi = ccurl_multi(Self.keptConnections)
        else { throw NodeFailure(.broken, "libcurl cannot be set up") }
        self.model = model
        self.multi = multi
        lock = Lock()
        try start()
    }

    /// Shows another key from now on.
    public func renew(seed: [UInt8]) {
        guard let model = copenssl_client(seed) else { return }
        let unused = lock.with {
            guard !inbox.isOver else { return Optional(model) }
            defer { inbox.model = model }
            wake()
            return inbox.model
        }
        if let unused { SSL_CTX_free(unused) }
    }

    /// `done` is called once, on the client's thread.
    public func send(_ request: NodeRequest, _ done: @escaping Done) {
        let isTaken = lock.with {
            guard !inbox.isStopped, inbox.jobs.count + inbox.underWay < Self.maximumRequests else { return false }
            inbox.jobs.append(Job(request: request, done: done))
            wake()
            return true
        }
        if !isTaken { done(.failure(NodeFailure(.crowded, "too many requests are under way here"))) }
    }

    /// What is under way fails. To be called once; nothing is taken afterwards.
    public func stop() {
        lock.with {
            inbox.isStopped = true
            wake()
        }
    }

    /// Under the lock, for the handle goes when the thread ends.
    private func wake() { if !inbox.isOver { curl_multi_wakeup(multi) } }

    // MARK: The client's thread

    private func start() throws(NodeFailure) {
        let keeper = Unmanaged.passRetained(self)
        var id = pthread_t()
        let status = pthread_create(
            &id, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<NodeClient>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, keeper.toOpaque())
        guard status == 0 else {
            keeper.release()
            throw NodeFailure(.broken, "no threads are left here (ulimit -u, TasksMax)")
        }
        pthread_detach(id)
    }

    private func run() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while takeJobs(), perform(multi), former.map(perform) ?? true {
            let nap = former == nil ? Self.longestNap : Self.shortNap
            letGoOfFormer()
            guard ccurl_wait(multi, nap) else { break }
        }
        let (left, model) = lock.with {
            inbox.isStopped = true
            inbox.isOver = true
            defer { inbox.jobs = [] }
            return (inbox.jobs, inbox.model)
        }
        for one in running.values {
            ccurl_free(one.transfer)
            one.job.done(.failure(NodeFailure(.broken, "this node stops")))
        }
        for job in left { job.done(.failure(NodeFailure(.broken, "this node stops"))) }
        running = [:]
        letGoOfFormer()
        curl_multi_cleanup(multi)
        SSL_CTX_free(self.model)
        if let model { SSL_CTX_free(model) }
    }

    /// `false` when it is over.
    private func takeJobs() -> Bool {
        let (jobs, renewed, isStopped) = lock.with {
            defer {
                inbox.underWay += inbox.jobs.count
                inbox.jobs = []
                // One after the other: what is under way ends within its limits of time.
                if former == nil { inbox.model = nil }
            }
            return (inbox.jobs, former == nil ? inbox.model : nil, inbox.isStopped)
        }
        if let renewed { show(renewed) }
        for job in jobs { begin(job) }
        return !isStopped
    }

    /// Connections that are kept showed the former certificate: others are made from now on.
    private func show(_ renewed: OpaquePointer) {
        SSL_CTX_free(model)
        model = renewed
        guard let fresh = ccurl_multi(Self.keptConnections) else { return }
        former = multi
        lock.with { multi = fresh }
    }

    private func letGoOfFormer() {
        guard let former, !running.values.contains(where: { $0.multi == former }) else { return }
        self.former = nil
        curl_multi_cleanup(former)
    }

    private func perform(_ multi: UnsafeMutableRawPointer) -> Bool {
        guard ccurl_perform(multi) else { return false }
        var number: UInt64 = 0
        while ccurl_next(multi, &number) != nil { finish(number) }
        return true
    }

    private func begin(_ job: Job) {
        let number = nextNumber
        nextNumber += 1
        guard let transfer = job.request.start(multi, model, number) else {
            lock.with { inbox.underWay -= 1 }
            return job.done(.failure(NodeFailure(.broken, "this request cannot be made")))
        }
        running[number] = Running(transfer: transfer, multi: multi, job: job)
    }

    private func finish(_ number: UInt64) {
        guard let one = running.removeValue(forKey: number) else { return }
        let result = Self.result(of: one.transfer)
        ccurl_free(one.transfer)
        lock.with { inbox.underWay -= 1 }
        one.job.done(result)
    }

    private static func result(of transfer: OpaquePointer) -> Result<NodeAnswer, NodeFailure> {
        let result = ccurl_result(transfer)
        let reason = result.reason.map { String(cString: $0) } ?? "no reason"
        switch result.ending {
        case ccurl_answered: break
        case ccurl_unreachable: return .failure(NodeFailure(.unreachable, reason))
        case ccurl_late: return .failure(NodeFailure(.late, reason))
        case ccurl_stranger: return .failure(NodeFailure(.stranger, "not the node that was asked for (\(reason))"))
        case ccurl_too_long: return .failure(NodeFailure(.tooLong, "the answer is longer than anybody needs"))
        default: return .failure(NodeFailure(.broken, reason))
        }
        guard result.has_key, let key = NodeKey(bytes: withUnsafeBytes(of: result.key) { Array($0) }),
            let remote = address(result.remote_host, result.remote_port),
            let local = address(result.local_host, result.local_port)
        else { return .failure(NodeFailure(.broken, "the connection cannot be told")) }
        let proof = result.kept_header.map { String(cString: $0) } ?? ""
        return .success(
            NodeAnswer(
                status: result.status, body: Array(UnsafeBufferPointer(start: result.bytes, count: result.count)),
                key: key, proof: proof.isEmpty ? nil : proof, remote: remote, local: local,
                distance: result.is_reused ? nil : span(result.connected - result.resolved),
                setUp: result.is_reused ? nil : span(result.secured),
                roundTrip: span(result.answered - result.ready), transfer: span(result.ended - result.ready)))
    }

    private static func span(_ microseconds: Int64) -> Instant.Span { .microseconds(UInt64(max(0, microseconds))) }

    private static func address(_ host: UnsafePointer<CChar>?, _ port: Int) -> NodeAddress? {
        guard let host, let address = HostAddress(String(cString: host)) else { return nil }
        return NodeAddress(host: address, port: UInt16(clamping: port))
    }
}

extension NodeRequest {
    /// The header that carries a proof of membership, in both directions.
    static let proofHeader = "P2PRC-Member"

    fileprivate func start(
        _ multi: UnsafeMutableRawPointer, _ model: OpaquePointer, _ number: UInt64
    ) -> OpaquePointer? {
        guard let url else { return nil }
        return url.withCString { url in
            Self.proofHeader.withCString { kept in
                withOptional(proof.map { "\(Self.proofHeader): \($0)".utf8CString }) { header in
                    withOptional(key.map { ContiguousArray($0.bytes) }) { key in
                        withOptional(body.map { ContiguousArray($0) }) { body in
                            var request = ccurl_request()
                            request.url = url
                            request.kept_header = kept
                            request.header = header?.baseAddress
                            request.key = key?.baseAddress
                            request.body = body?.baseAddress
                            request.body_count = body?.count ?? 0
                            request.connect_limit = Int(clamping: limits.connect.nanoseconds / 1_000_000)
                            request.total_limit = Int(clamping: limits.total.nanoseconds / 1_000_000)
                            request.answer_limit = max(0, limits.answer)
                            request.is_alone = isAlone
                            request.local_port = Int(localPort ?? 0)
                            return ccurl_start(multi, model, &request, number)
                        }
                    }
                }
            }
        }
    }

    private func withOptional<Element, Result>(
        _ array: ContiguousArray<Element>?, _ body: (UnsafeBufferPointer<Element>?) -> Result
    ) -> Result {
        guard let array else { return body(nil) }
        return array.withUnsafeBufferPointer { body($0) }
    }
}
