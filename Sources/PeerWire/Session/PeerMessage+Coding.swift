extension PeerMessage {
    public var frame: Frame {
        var fields = FieldWriter()
        let type: MessageType
        switch self {
        case .close(let reason, let detail): return CommonMessage.close(reason, detail).frame
        case .ping(let number): return CommonMessage.ping(number).frame
        case .pong(let number): return CommonMessage.pong(number).frame
        case .keyHistoryWanted(let key):
            type = .keyHistoryWanted
            fields.put(1, key.bytes)
        case .hello(let hello):
            type = .hello
            fields.put(1, Array(hello.proofs.joined()))
            fields.put(2, Array(hello.token.utf8))
            if !hello.history.isEmpty { fields.put(3, hello.history.bytes) }
        case .introduction(let introduction):
            type = .introduction
            fields.put(1, introduction.instance.bytes)
            fields.put(2, introduction.name)
            fields.put(3, introduction.dialled)
            fields.put(4, introduction.software)
            fields.put(5, introduction.wantsPlain ? UInt8(1) : 0)
            if introduction.began != 0 { fields.put(6, introduction.began) }
        case .request(let request):
            type = .request
            fields.put(1, request.mapping.value)
            fields.put(2, request.protocols.rawValue)
            switch request.wish {
            case .any(let count): fields.put(3, UInt16(count))
            case .exactly(let range): fields.put(4, range)
            case .preferably(let range): fields.put(5, range)
            }
            fields.put(6, request.target)
            if !request.allow.isEmpty { fields.put(7, Network.bytes(of: request.allow)) }
            if !request.deny.isEmpty { fields.put(8, Network.bytes(of: request.deny)) }
        case .commit(let mapping, let attempt, let ports):
            type = .commit
            fields.put(1, mapping.value)
            fields.put(2, attempt)
            if let ports { fields.put(3, ports.bytes) }
        case .decline(let mapping, let attempt, let reason):
            type = .decline
            fields.put(1, mapping.value)
            fields.put(2, attempt)
            fields.put(3, reason.rawValue)
        case .release(let mapping):
            type = .release
            fields.put(1, mapping.value)
        case .report(let mapping, let state, let isLeaving, let ports):
            type = .report
            fields.put(1, mapping.value)
            fields.put(2, state.rawValue)
            if isLeaving { fields.put(3, UInt8(1)) }
            if let ports { fields.put(4, ports.bytes) }
        case .receiptSigned(let mapping, let signature):
            type = .receiptSigned
            fields.put(1, mapping.value)
            fields.put(2, signature)
        case .checkWanted(let request):
            type = .checkWanted
            fields.put(1, request.number)
            fields.put(2, request.mapping.value)
            fields.put(3, request.host)
            fields.put(4, request.port)
            fields.put(5, request.nonce)
            if request.protocols != .tcp { fields.put(6, request.protocols.rawValue) }
        case .tokenRenewed(let token):
            type = .tokenRenewed
            fields.put(1, Array(token.utf8))
        }
        return Frame(type: type.rawValue, payload: fields.bytes)
    }

    /// The frame on the wire.
    public var bytes: [UInt8] { frame.bytes }

    /// `nil` for a type that this version does not know and may skip; an error for what only the other end says.
    public init?(_ frame: Frame) throws(WireError) {
        guard let type = try MessageType(of: frame) else { return nil }
        let fields = try FieldReader(frame.payload)
        switch type {
        case .close, .ping, .pong:
            switch try CommonMessage(type, fields) {
            case .close(let reason, let detail): self = .close(reason, detail: detail)
            case .ping(let number): self = .ping(number)
            case .pong(let number): self = .pong(number)
            }
        case .keyHistoryWanted: self = .keyHistoryWanted(try fields.nodeKey(1))
        case .hello: self = .hello(try Self.hello(fields))
        case .introduction:
            guard let instance = ProcessInstance(bytes: try fields.bytes(1, count: ProcessInstance.byteCount)) else {
                throw WireError(.malformedField, "field 1 is no instance")
            }
            self = .introduction(
                Introduction(
                    instance: instance, name: try fields.text(2), dialled: try fields.text(3),
                    software: try fields.text(4), wantsPlain: try fields.number(5, UInt8.self) == 1,
                    began: fields.has(6) ? try fields.number(6, UInt64.self) : 0))
        case .request: self = .request(try Self.request(fields))
        case .commit:
            self = .commit(
                try fields.mapping(1), attempt: try fields.number(2, UInt16.self), ports: try fields.portStates(3))
        case .decline:
            self = .decline(
                try fields.mapping(1), attempt: try fields.number(2, UInt16.self),
                reason: try fields.known(RefusalReason.init, 3))
        case .release: self = .release(try fields.mapping(1))
        case .report:
            self = .report(
                try fields.mapping(1), state: try fields.known(MappingState.init, 2),
                isLeaving: fields.has(3) ? try fields.number(3, UInt8.self) == 1 : false,
                ports: try fields.portStates(4))
        case .receiptSigned:
            self = .receiptSigned(
                try fields.mapping(1), signature: try fields.bytes(2, count: NodeKey.signatureByteCount))
        case .checkWanted:
            var request = CheckRequest(
                number: try fields.number(1, UInt32.self), mapping: try fields.mapping(2), host: try fields.text(3),
                port: try fields.number(4, UInt16.self),
                nonce: try fields.bytes(5, count: ReachabilityCheck.nonceByteCount))
            if fields.has(6) { request.protocols = try Self.protocols(fields, 6) }
            self = .checkWanted(request)
        case .tokenRenewed: self = .tokenRenewed(try Self.token(fields, 1))
        case .keyHistory, .membership, .welcome, .offer, .active, .refusal, .released, .receipt, .checkDone,
            .channelsWanted, .datagramsMissed, .draining, .meshKeyRenewed, .tokenJudged:
            throw WireError(.wrongDirection, "a message that only a relay sends")
        }
    }

    private static func hello(_ fields: FieldReader) throws(WireError) -> Hello {
        let proofs = try fields.bytes(1, upTo: Hello.maximumProofs * MeshKey.proofByteCount)
        guard proofs.count % MeshKey.proofByteCount == 0 else {
            throw WireError(.malformedField, "field 1 ends within a proof")
        }
        return Hello(
            proofs: stride(from: 0, to: proofs.count, by: MeshKey.proofByteCount).map {
                Array(proofs[$0..<($0 + MeshKey.proofByteCount)])
            }, token: try token(fields, 2),
            history: fields.has(3) ? try fields.keyHistory(3) : KeyHistory())
    }

    private static func token(_ fields: FieldReader, _ tag: UInt8) throws(WireError) -> String {
        let token = try fields.bytes(tag, upTo: Hello.maximumToken)
        // A token is letters, digits and a few marks (RFC 7515, section 7.1).
        guard token.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw WireError(.malformedField, "field \(tag) is no token")
        }
        return String(decoding: token, as: UTF8.self)
    }

    private static func protocols(_ fields: FieldReader, _ tag: UInt8) throws(WireError) -> TransportProtocols {
        let protocols = TransportProtocols(rawValue: try fields.number(tag, UInt8.self))
        guard !protocols.isEmpty, protocols.isSubset(of: [.tcp, .udp]) else {
            throw WireError(.malformedField, "field \(tag) names no protocol")
        }
        return protocols
    }

    private static func request(_ fields: FieldReader) throws(WireError) -> Request {
        let protocols = try protocols(fields, 2)
        let wish: PortWish
        if fields.has(3) {
            let count = Int(try fields.number(3, UInt16.self))
            guard count > 0 else { throw WireError(.malformedField, "field 3 asks for no port") }
            wish = .any(count: count)
        } else if fields.has(4) {
            wish = .exactly(try fields.ports(4))
        } else {
            wish = .preferably(try fields.ports(5))
        }
        let target = try fields.text(6)
        guard HostText.isTarget(target, count: wish.count) else {
            throw WireError(.malformedField, "field 6 is neither '\(HostText.serverPort)' nor host:port")
        }
        return Request(
            mapping: try fields.mapping(1), protocols: protocols, wish: wish, target: target,
            allow: try fields.networks(7, atMost: Request.maximumNetworks),
            deny: try fields.networks(8, atMost: Request.maximumNetworks))
    }
}
