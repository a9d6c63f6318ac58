internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// When to measure how fast bytes go to a relay and back: seldom, one relay at a time, and never while visitors' bytes
/// are on their way.
struct BandwidthPlan {
    /// After the start, so that what matters more comes first.
    static let firstPause = Instant.Span.seconds(10)
    /// Between two relays, and for one of them again.
    static let pause = Instant.Span.seconds(60)
    static let interval = Instant.Span.seconds(6 * 3_600)
    /// Relays that are remembered.
    static let remembered = 1_024

    private var measured: [NodeKey: Instant] = [:]
    private var next: Instant
    private var isUnderWay = false

    init(at now: Instant) { next = now + Self.firstPause }

    /// - Parameter relays: those that can be used, the best first.
    mutating func choose(_ relays: [NodeKey], at now: Instant) -> NodeKey? {
        guard !isUnderWay, now >= next else { return nil }
        next = now + Self.pause
        if measured.count > Self.remembered { measured = measured.filter { now - $0.value < Self.interval } }
        guard let key = relays.first(where: { key in measured[key].map { now - $0 >= Self.interval } ?? true }) else {
            return nil
        }
        isUnderWay = true
        return key
    }

    /// - Parameter isMeasured: otherwise it is tried again in a minute.
    mutating func ended(_ key: NodeKey, isMeasured: Bool, at now: Instant) {
        isUnderWay = false
        if isMeasured { measured[key] = now }
    }
}

extension MeshService {
    /// What one measurement may cost: bytes in each direction, and time for each.
    private static let downloadBytes = MeshProbe.maximumDownload
    private static let uploadPieces = 16
    private static let uploadSpan = Instant.Span.seconds(2)
    private static let bandwidthLimits = NodeRequest.Limits(
        connect: .seconds(3), total: .seconds(5), answer: downloadBytes + 64)

    func measureBandwidth(_ now: Instant) {
        let usable = ranking.usable.map(\.key)
        guard !usable.isEmpty, let key = bandwidth.choose(usable, at: now) else { return }
        host.whetherIdle { [weak self] isIdle in
            guard let self else { return }
            guard isIdle, case .proven(let address) = relays[key]?.verdict else {
                return bandwidth.ended(key, isMeasured: false, at: loop.clock())
            }
            download(key, Endpoint(host: address.host.description, port: address.port))
        }
    }

    private func download(_ key: NodeKey, _ endpoint: Endpoint) {
        let body = MeshProbe.request(wanted: Self.downloadBytes)
        ask(request(body, to: endpoint, key, limits: Self.bandwidthLimits)) { [weak self] result in
            guard let self else { return }
            guard case .success(let answer) = result, answer.status == 200,
                let count = MeshProbe.read(answer: answer.body)?.count, count == Self.downloadBytes
            else { return bandwidth.ended(key, isMeasured: false, at: loop.clock()) }
            let down = Self.rate(count, answer.transfer)
            upload(key, endpoint, Self.uploadPieces, sent: 0, within: .zero) { [weak self] up in
                self?.keep(key, down: down, up: up)
            }
        }
    }

    /// Piece by piece, for a request has a limit of its own; so a long way shows as a little less than it carries.
    private func upload(
        _ key: NodeKey, _ endpoint: Endpoint, _ left: Int, sent: Int, within span: Instant.Span,
        _ done: @escaping (UInt64?) -> Void
    ) {
        guard left > 0, span < Self.uploadSpan else { return done(Self.rate(sent, span)) }
        let body = MeshProbe.request(padding: MeshProbe.maximumUpload)
        ask(request(body, to: endpoint, key, limits: Self.bandwidthLimits)) { [weak self] result in
            guard case .success(let answer) = result, answer.status == 200 else { return done(Self.rate(sent, span)) }
            self?.upload(key, endpoint, left - 1, sent: sent + body.count, within: span + answer.transfer, done)
        }
    }

    private func keep(_ key: NodeKey, down: UInt64?, up: UInt64?) {
        bandwidth.ended(key, isMeasured: true, at: loop.clock())
        let sample = BandwidthSample(node: key, at: UnixTime(loop.wall()), down: down, up: up)
        writer.write("a bandwidth", for: .mesh, { table throws(StorageError) in try table.record(sample) })
    }

    /// Bytes a second.
    private static func rate(_ bytes: Int, _ span: Instant.Span) -> UInt64? {
        guard bytes > 0, span > .zero else { return nil }
        return UInt64(Double(bytes) / (span.milliseconds / 1_000))
    }
}
