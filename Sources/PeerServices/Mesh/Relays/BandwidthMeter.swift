internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// Measures how fast bytes go to relays and back, as `BandwidthPlan` allows. Belongs to the control loop, and to one
/// `MeshService`.
final class BandwidthMeter {
    /// What one measurement may cost: bytes in each direction, and time for each.
    private static let downloadBytes = MeshProbe.maximumDownload
    private static let uploadPieces = 16
    private static let uploadSpan = Instant.Span.seconds(2)
    private static let limits = NodeRequest.Limits(
        connect: .seconds(3), total: .seconds(5), answer: downloadBytes + 64)

    private let context: MeshContext
    private let client: MeshClient
    private let finder: RelayFinder
    private var plan: BandwidthPlan

    init(_ context: MeshContext, _ finder: RelayFinder) {
        self.context = context
        client = finder.client
        self.finder = finder
        plan = BandwidthPlan(at: context.now)
    }

    /// Once a second.
    func tick(at now: Instant) {
        let usable = finder.ranking.usable.map(\.key)
        guard !usable.isEmpty, let key = plan.choose(usable, at: now) else { return }
        context.host.whetherIdle { [weak self] isIdle in
            guard let self else { return }
            guard isIdle, let address = finder.relays[key]?.provenAddress else { return failed(key) }
            download(key, Endpoint(address))
        }
    }

    private func failed(_ key: NodeKey) { plan.ended(key, isMeasured: false, at: context.now) }

    private func download(_ key: NodeKey, _ endpoint: Endpoint) {
        let body = MeshProbe.request(wanted: Self.downloadBytes)
        client.ask(client.request(body, to: endpoint, key, limits: Self.limits)) { [weak self] result in
            guard let self else { return }
            guard case .success(let answer) = result, answer.status == 200,
                let count = MeshProbe.read(answer: answer.body)?.count, count == Self.downloadBytes
            else { return failed(key) }
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
        client.ask(client.request(body, to: endpoint, key, limits: Self.limits)) { [weak self] result in
            guard case .success(let answer) = result, answer.status == 200 else { return done(Self.rate(sent, span)) }
            self?.upload(key, endpoint, left - 1, sent: sent + body.count, within: span + answer.transfer, done)
        }
    }

    private func keep(_ key: NodeKey, down: UInt64?, up: UInt64?) {
        plan.ended(key, isMeasured: true, at: context.now)
        context.store.record(BandwidthSample(node: key, at: context.moment, down: down, up: up))
    }

    /// Bytes a second.
    private static func rate(_ bytes: Int, _ span: Instant.Span) -> UInt64? {
        guard bytes > 0, span > .zero else { return nil }
        return UInt64(Double(bytes) / (span.milliseconds / 1_000))
    }
}
