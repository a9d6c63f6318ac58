internal import PeerRatchet
internal import PeerReactor
internal import PeerTOML
internal import PeerWire

extension FuzzTarget {
    /// Every parser of bytes that others send. A new one is a line here and a corpus, `Tests/Fuzz/Corpus/<name>.txt`.
    public static let all: [FuzzTarget] = [
        opening("preamble", limit: Preamble.byteCount, read: readPreamble),
        opening("proxy-preface", limit: ProxyPreface.maximumByteCount, read: readPreface),
        opening("check-probe", limit: ReachabilityCheck.probeByteCount, read: readProbe),
        proof("check-answer", only: Known.answer, longestInput: 128) { Known.isAnswer($0) },
        whole("data-channel-hello", parse: { DataChannelHello($0) }, write: { $0.bytes }),
        proof("data-channel-proof", only: Known.hello.bytes, longestInput: 128) {
            DataChannelHello($0)?.isProven(by: Known.secret) == true
        },
        whole("visitor-start", parse: { VisitorStart($0) }, write: { $0.bytes }, meaning: clearedVisitorStart),
        stream(
            "channel-frames", buffer: 8, longestInput: 20_000, decode: channelFrames, rewrite: { $0.frame }),
        FuzzTarget("channel-machine", longestInput: 256) { ChannelRun.judge($0) },
        FuzzTarget("datagram-frame", longestInput: 128) { DatagramRun.judge($0) },
        stream(
            "session", buffer: Frame.headerByteCount + Frame.maximumPayload - 1, longestInput: 20_000, decode: session,
            rewrite: { $0.message?.bytes }),
        // Layout alone: whose keys they are is judged in FirstMessageTests, with every byte changed.
        whole("circuit-preface", parse: { FirstMessage($0) }, write: { $0.bytes }),
        text("node-key", parse: { NodeKey($0) }, write: { "\($0)" }, meaning: { $0.lowercased() }),
        text("mesh-key", parse: { MeshKey($0) }, write: { $0.text }, meaning: { $0.lowercased() }),
        // Without its check digits, which every change of another digit would break.
        text("join-link", parse: { JoinLink($0) }, write: { smallKeys($0.text) ?? "" }, meaning: smallKeys),
        text("mapping-id", parse: { MappingID($0) }, write: { "\($0)" }, meaning: { $0.lowercased() }),
        text("hex", parse: { Hex.decode($0) }, write: { Hex.encode($0) }, meaning: { $0.lowercased() }),
        text("network", parse: { try? Network($0) }, write: { "\($0)" }, meaning: { _ in nil }),
        // Layout alone: what is signed is judged in KeySuccessionTests, with every byte changed.
        whole("key-history", longestInput: 1_100, parse: { KeyHistory(bytes: $0) }, write: { $0.bytes }),
        FuzzTarget("certificate", longestInput: 1_024) { readCertificate($0) },
        whole("gossip-digest", longestInput: 256, parse: { try? GossipDigest($0) }, write: { $0.bytes }),
        whole(
            "gossip-difference", longestInput: 4_096, parse: { try? GossipDifference($0) }, write: { $0.bytes }),
        whole("dial-back-request", parse: { DialBackRequest($0) }, write: { $0.bytes }),
        whole("vouch", parse: { Vouch($0) }, write: { $0.bytes }),
        whole("dial-back-answer", parse: { DialBackAnswer($0) }, write: { $0.bytes }),
        whole("nonce-delivery", parse: { NonceDelivery($0) }, write: { $0.bytes }),
        whole(
            "mesh-mirror", parse: { MeshMirror.read(answer: $0) }, write: { MeshMirror.answer($0) }),
        FuzzTarget("node-record", longestInput: SignedRecord.maximumByteCount + 16) { readRecord($0) },
        // Many spellings of one table, so what is written again is only held to mean the same.
        FuzzTarget("p2prc-table", longestInput: 4_096) { readP2PRCTable($0) },
        FuzzTarget("multipart-form", longestInput: 2_048) { readForm($0) },
        // What the user writes; it goes to a library in another language.
        FuzzTarget("toml", longestInput: 2_048) { readTOML($0) },
        text("endpoint", parse: { Endpoint($0, defaultPort: 8_088) }, write: { "\($0)" }, meaning: { _ in nil }),
    ]

    /// A judge of proofs: nothing but the one right input may pass.
    private static func proof(
        _ name: String, only right: [UInt8], longestInput: Int, accepts: @escaping @Sendable ([UInt8]) -> Bool
    ) -> FuzzTarget {
        FuzzTarget(name, longestInput: longestInput) { input in
            switch (accepts(input), input == right) {
            case (true, true): .accepted
            case (false, false): .refused
            case (true, false): .flawed("taken for the right one")
            case (false, true): .flawed("the right one is refused")
            }
        }
    }

    @Sendable private static func readPreamble(_ bytes: [UInt8]) -> Reading {
        switch Preamble.read(bytes) {
        case .incomplete: .incomplete
        case .preamble(let preamble): .settled(preamble.bytes)
        case .foreign: .foreign
        }
    }

    /// What follows LOCAL is passed over, so it is not written again.
    @Sendable private static func readPreface(_ bytes: [UInt8]) -> Reading {
        switch ProxyPreface.read(bytes) {
        case .incomplete: .incomplete
        case .preface(.local, let count): .settled(Array(bytes.prefix(count)))
        case .preface(let preface, _): .settled(preface.bytes)
        case .refused: .foreign
        }
    }

    @Sendable private static func readProbe(_ bytes: [UInt8]) -> Reading {
        switch ReachabilityCheck.read(bytes) {
        case .incomplete: .incomplete
        case .probe(let nonce): .settled(ReachabilityCheck.probe(nonce: nonce))
        case .foreign: .foreign
        }
    }

    /// A certificate that is accepted stands for the one key whose signatures are in the corpus.
    private static func readCertificate(_ bytes: [UInt8]) -> Outcome {
        guard let key = TLSContext.key(ofCertificate: bytes) else { return .refused }
        return key == Known.identity.key ? .accepted : .flawed("a certificate of \(key), which signed nothing")
    }

    /// A record is passed on as it came, what was understood of it can be written again, and it is genuine only if it
    /// says what was signed.
    private static func readRecord(_ bytes: [UInt8]) -> Outcome {
        guard let read = try? SignedRecord(bytes) else { return .refused }
        guard read.bytes == bytes else { return .flawed("\(read) is passed on as something else") }
        guard let again = try? SignedRecord(read.record, signature: { _ in read.signature }),
            again.record == read.record
        else { return .flawed("\(read) cannot be written again") }
        if read.isGenuine, read.signedBytes != Known.record?.signedBytes {
            return .flawed("\(read) is genuine, and nobody signed it")
        }
        return .accepted
    }

    /// The first line is the type, the rest the body. A part that is found can be posted again.
    private static func readForm(_ bytes: [UInt8]) -> Outcome {
        let type = String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)
        let body = Array(bytes.dropFirst(type.utf8.count + 1))
        guard let part = MultipartForm.part(named: "json", in: body, contentType: type) else { return .refused }
        let head = Array("--fuzz/of/forms\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n".utf8)
        let form = head + part + Array("\r\n--fuzz/of/forms--\r\n".utf8)
        let again = MultipartForm.part(
            named: "json", in: form, contentType: "multipart/form-data; boundary=fuzz/of/forms")
        return again == part ? .accepted : .flawed("the part \(part) comes back as \(String(describing: again))")
    }

    private static func readP2PRCTable(_ bytes: [UInt8]) -> Outcome {
        guard let table = try? P2PRCTable(json: bytes) else { return .refused }
        for layout in [P2PRCTable.Layout.compact, .file] {
            let written = table.json(layout)
            guard (try? P2PRCTable(json: written)) == table else { return .flawed("\(table) is written as \(written)") }
        }
        return .accepted
    }

    /// A fault is one line about a place in the text; what is understood is understood again.
    private static func readTOML(_ bytes: [UInt8]) -> Outcome {
        do throws(TOMLFault) {
            let table = try TOMLText.read(bytes)
            return (try? TOMLText.read(bytes)) == table ? .accepted : .flawed("another document the second time")
        } catch {
            let lines = bytes.count { $0 == UInt8(ascii: "\n") } + 1
            let isSound = !error.text.isEmpty && PlainText.isClean(error.description)
            return isSound && (1...lines).contains(error.line ?? 1) ? .refused : .flawed("a fault of \(error)")
        }
    }

    /// A link as it is written: the keys behind the address in small letters.
    @Sendable private static func smallKeys(_ link: String) -> String? {
        let behindScheme = link.dropFirst(JoinLink.scheme.count)
        guard let slash = behindScheme.firstIndex(of: "/") else { return nil }
        return link[..<slash] + link[slash...].lowercased()
    }

    /// Flags that are not known, and the byte that is kept free, are passed over (docs/protocol.md, "Data channel").
    @Sendable private static func clearedVisitorStart(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        bytes[4] &= 3
        bytes[24] = 0
        return bytes
    }

    /// What a visitor's frames say; bytes one by one, for where they are cut is no part of it.
    enum ChannelEvent: Equatable, Sendable {
        case byte(UInt8)
        case other(ChannelFrame.Kind)

        var frame: [UInt8] {
            switch self {
            case .byte(let byte): ChannelFrame.framed([byte])
            case .other(let kind): ChannelFrame.header(kind)
            }
        }
    }

    @Sendable private static func channelFrames(_ chunks: [ArraySlice<UInt8>]) -> Decoded<ChannelEvent> {
        var decoded = Decoded<ChannelEvent>()
        decoded.largestBuffer = MemoryLayout<ChannelFrameReader>.size
        var reader = ChannelFrameReader()
        for chunk in chunks {
            chunk.withUnsafeBytes { bytes in
                var offset = 0
                while decoded.fault == nil {
                    switch reader.next(in: bytes, from: &offset) {
                    case .bytes(let range): decoded.events += bytes[range].map { .byte($0) }
                    case .end: decoded.events.append(.other(.end))
                    case .ready: decoded.events.append(.other(.ready))
                    case .alive: decoded.events.append(.other(.alive))
                    case .raw: decoded.events.append(.other(.raw))
                    case .broken: decoded.events.append(.other(.broken))
                    case .nothing: return
                    case .breach: decoded.fault = "breach"
                    }
                }
            }
        }
        return decoded
    }

    /// A frame of a session: a message, or the type of one that is skipped.
    struct SessionEvent: Equatable, Sendable {
        var type: UInt8
        var message: EitherMessage?
    }

    @Sendable private static func session(_ chunks: [ArraySlice<UInt8>]) -> Decoded<SessionEvent> {
        var decoded = Decoded<SessionEvent>()
        var decoder = FrameDecoder()
        for chunk in chunks {
            decoder.append(chunk)
            do throws(WireError) {
                while let frame = try decoder.next() {
                    decoded.events.append(SessionEvent(type: frame.type, message: try EitherMessage(frame)))
                }
            } catch {
                decoded.fault = error.description
                return decoded
            }
            decoded.largestBuffer = max(decoded.largestBuffer, decoder.bufferedByteCount)
        }
        return decoded
    }
}

/// Keys and secrets that never change, so that the corpus can hold what they prove. The same as those of the vectors.
private enum Known {
    static let nonce = counting(from: 0xa0)
    static let mapping = MappingID(value: 0x0123_4567_89ab_cdef)
    static let identity = NodeIdentity(seed: counting(from: 1))!
    static let answer = ReachabilityCheck.answer(nonce: nonce, mapping: mapping, by: identity)
    static let secret = SessionSecrets { _ in
        Corpus.bytes(Array("7ccfa1770359ea6b24a35d942cccd06f90a962a4516a7aac881e47217bd4aa70".utf8))
    }!.plainSecret
    static let hello = DataChannelHello(
        group: ChannelGroup(session: SessionID(value: 0x1122_3344_5566_7788), number: 3), number: 5, secret: secret)

    /// The one record in the corpus of which the signature fits.
    static let record = try? SignedRecord(
        NodeRecord(
            key: identity.key, issue: 5, process: .init(began: 5, instance: 1), issued: 1_800_000_000, lifetime: 60),
        by: identity)

    static func isAnswer(_ bytes: [UInt8]) -> Bool {
        ReachabilityCheck.isAnswer(bytes, nonce: nonce, mapping: mapping, by: identity.key)
    }

    private static func counting(from first: UInt8) -> [UInt8] { (0..<32).map { first &+ $0 } }
}
