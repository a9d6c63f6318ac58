import PeerCore
import PeerReactor
import PeerWire

/// One part of the hot path, and a fixed amount of work for it.
struct Scenario: Sendable {
    let name: String
    /// Operations of a run that measures time.
    let operations: Int
    /// What need not be measured; the result does as many operations as it is told.
    let prepare: @Sendable () throws -> (Int) throws -> Void

    static let all = [
        Scenario(name: "exchange", operations: 50_000) { exchange(try Passage(isEncrypted: false)) },
        Scenario(name: "exchange-tls", operations: 50_000) { exchange(try Passage(isEncrypted: true)) },
        Scenario(name: "piece", operations: 50_000) { piece(try Passage(isEncrypted: false)) },
        Scenario(name: "piece-tls", operations: 50_000) { piece(try Passage(isEncrypted: true)) },
        Scenario(name: "visitor", operations: 10_000, prepare: visitor),
        Scenario(name: "frames", operations: 2_000, prepare: frames),
        Scenario(name: "start", operations: 200_000, prepare: start),
        Scenario(name: "timers", operations: 200_000, prepare: timers),
        Scenario(name: "mesh-round", operations: 2_000, prepare: meshRound),
    ]

    /// 64 bytes to the service and back.
    private static func exchange(_ passage: Passage) -> (Int) throws -> Void {
        { count in
            for _ in 0..<count {
                try passage.visitor.pass(64, to: passage.service)
                try passage.service.pass(64, to: passage.visitor)
            }
        }
    }

    /// 16 KiB from the service: one TLS record, and less than makes a flow bulk.
    private static func piece(_ passage: Passage) -> (Int) throws -> Void {
        { count in for _ in 0..<count { try passage.service.pass(16_384, to: passage.visitor) } }
    }

    /// Somebody comes, gets a byte for a byte, and goes.
    @Sendable private static func visitor() throws -> (Int) throws -> Void {
        let loop = try EventLoop()
        try loop.start()
        return { count in
            for _ in 0..<count {
                let passage = try Passage(isEncrypted: false, on: loop)
                try passage.visitor.pass(1, to: passage.service)
                try passage.service.pass(1, to: passage.visitor)
                try passage.end()
            }
        }
    }

    /// 64 KiB of a channel, in frames of 1,000 bytes.
    @Sendable private static func frames() -> (Int) throws -> Void {
        let frame = ChannelFrame.framed([UInt8](repeating: 7, count: 1_000))
        let all = Array(repeatElement(frame, count: 65).joined())
        return { count in
            for _ in 0..<count {
                var reader = ChannelFrameReader()
                var bytes = 0
                all.withUnsafeBytes { buffer in
                    var offset = 0
                    while case .bytes(let range) = reader.next(in: buffer, from: &offset) { bytes += range.count }
                }
                guard bytes == 65_000 else { throw Broken("\(bytes) bytes of 65000") }
            }
        }
    }

    /// The relay's word on a channel, written and read.
    @Sendable private static func start() -> (Int) throws -> Void {
        let start = VisitorStart(
            mapping: MappingID(value: 7), portOffset: 0, visitor: 9, wantsAnswer: false,
            address: VisitorAddress(isIPv6: false, host: [192, 0, 2, 1], port: 50_000))
        return { count in
            for _ in 0..<count { guard VisitorStart(start.bytes) == start else { throw Broken("another start") } }
        }
    }

    /// One of a thousand timers is set and cancelled.
    @Sendable private static func timers() throws -> (Int) throws -> Void {
        let loop = try EventLoop()
        try loop.start()
        return { count in
            let isDone = Latch()
            loop.execute {
                let others = (0..<1_000).map { loop.schedule(after: .seconds(3_600 + UInt64($0))) {} }
                for index in 0..<count { loop.schedule(after: .seconds(1 + UInt64(index % 977))) {}.cancel() }
                for timer in others { timer.cancel() }
                isDone.open()
            }
            try isDone.wait()
        }
    }
}
