extension RelayMessage {
    public var frame: Frame {
        var fields = FieldWriter()
        let type: MessageType
        switch self {
        case .close(let reason, let detail): return CommonMessage.close(reason, detail).frame
        case .ping(let number): return CommonMessage.ping(number).frame
        case .pong(let number): return CommonMessage.pong(number).frame
        case .keyHistory(let history):
            type = .keyHistory
            fields.put(1, history.bytes)
        case .membership(let membership):
            type = .membership
            fields.put(1, membership.basis.rawValue)
            fields.put(2, membership.proof)
        case .welcome(let welcome):
            type = .welcome
            fields.put(1, welcome.session.value)
            fields.put(2, welcome.name)
            fields.put(3, welcome.observed)
            fields.put(4, welcome.software)
            fields.put(5, welcome.channels)
            // Absent in what was written before there was a choice.
            if welcome.isPlain { fields.put(6, UInt8(1)) }
            if welcome.groups != 1 { fields.put(7, welcome.groups) }
            if let ports = welcome.ports { fields.put(8, ports) }
            if let datagrams = welcome.datagrams { fields.put(9, datagrams) }
        case .offer(let offer):
            type = .offer
            fields.put(1, offer.mapping.value)
            fields.put(2, offer.attempt)
            fields.put(3, offer.ports)
            fields.put(4, offer.leaseSeconds)
        case .active(let mapping, let attempt, let host):
            type = .active
            fields.put(1, mapping.value)
            fields.put(2, attempt)
            fields.put(3, host)
        case .refusal(let mapping, let reason, let detail):
            type = .refusal
            fields.put(1, mapping.value)
            fields.put(2, reason.rawValue)
            fields.put(3, detail)
        case .released(let mapping):
            type = .released
            fields.put(1, mapping.value)
        case .receipt(let draft):
            type = .receipt
            fields.put(1, draft.terms.bytes)
            fields.put(2, draft.relaySignature)
        case .checkDone(let number, let passed, let detail):
            type = .checkDone
            fields.put(1, number)
            fields.put(2, passed ? UInt8(1) : 0)
            fields.put(3, detail)
        case .channelsWanted(let count, let group):
            type = .channelsWanted
            fields.put(1, count)
            if group != 0 { fields.put(2, group) }
        case .datagramsMissed: type = .datagramsMissed
        case .draining(let isDraining):
            type = .draining
            fields.put(1, UInt8(isDraining ? 1 : 0))
        case .meshKeyRenewed(let key):
            type = .meshKeyRenewed
            fields.put(1, key.bytes)
        case .tokenJudged(let reason):
            type = .tokenJudged
            fields.put(1, reason)
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
        case .keyHistory: self = .keyHistory(try fields.keyHistory(1))
        case .membership:
            let basis = try fields.known(Membership.TrustBasis.init, 1)
            self = .membership(
                Membership(
                    basis: basis, proof: try fields.bytes(2, count: basis == .mesh ? MeshKey.proofByteCount : 0)))
        case .welcome:
            var welcome = Welcome(
                session: SessionID(value: try fields.number(1, UInt64.self)), name: try fields.text(2),
                observed: try fields.text(3), software: try fields.text(4),
                channels: try fields.number(5, UInt16.self), groups: try Self.groups(fields),
                isPlain: fields.has(6) ? try fields.number(6, UInt8.self) == 1 : false)
            if fields.has(8) { welcome.ports = try fields.ports(8) }
            if fields.has(9) { welcome.datagrams = try fields.number(9, UInt32.self) }
            self = .welcome(welcome)
        case .offer:
            self = .offer(
                Offer(
                    mapping: try fields.mapping(1), attempt: try fields.number(2, UInt16.self),
                    ports: try fields.ports(3), leaseSeconds: try fields.number(4, UInt32.self)))
        case .active:
            self = .active(
                try fields.mapping(1), attempt: try fields.number(2, UInt16.self), host: try fields.host(3))
        case .refusal:
            self = .refusal(
                try fields.mapping(1), reason: try fields.known(RefusalReason.init, 2),
                detail: try fields.text(3))
        case .released: self = .released(try fields.mapping(1))
        case .receipt:
            self = .receipt(
                Receipt.Draft(
                    terms: try fields.receiptTerms(1),
                    relaySignature: try fields.bytes(2, count: NodeKey.signatureByteCount)))
        case .checkDone:
            self = .checkDone(
                number: try fields.number(1, UInt32.self), passed: try fields.number(2, UInt8.self) == 1,
                detail: try fields.text(3))
        case .channelsWanted:
            self = .channelsWanted(
                try fields.number(1, UInt16.self), group: fields.has(2) ? try fields.number(2, UInt8.self) : 0)
        case .datagramsMissed: self = .datagramsMissed
        case .draining:
            let word = try fields.number(1, UInt8.self)
            guard word <= 1 else { throw WireError(.malformedField, "field 1 is neither 0 nor 1") }
            self = .draining(word == 1)
        case .meshKeyRenewed:
            guard let key = MeshKey(bytes: try fields.bytes(1, count: MeshKey.byteCount)) else {
                throw WireError(.malformedField, "field 1 is no mesh key")
            }
            self = .meshKeyRenewed(key)
        case .tokenJudged: self = .tokenJudged(reason: try fields.text(1))
        case .keyHistoryWanted, .hello, .introduction, .request, .commit, .decline, .release, .report, .receiptSigned,
            .checkWanted, .tokenRenewed:
            throw WireError(.wrongDirection, "a message that only a peer sends")
        }
    }

    private static func groups(_ fields: FieldReader) throws(WireError) -> UInt8 {
        guard fields.has(7) else { return 1 }
        let count = try fields.number(7, UInt8.self)
        guard (1...ChannelGroup.maximum).contains(Int(count)) else {
            throw WireError(.malformedField, "field 7 asks for \(count) groups of data channels")
        }
        return count
    }
}
