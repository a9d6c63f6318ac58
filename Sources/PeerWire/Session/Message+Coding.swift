extension Message {
    private enum FrameType: UInt8 {
        // 01 to 03 were a handshake of sessions without encryption, which are answered with `encryptionRequired`.
        case welcome = 0x04, close, hello, membership, introduction, keyHistoryWanted, keyHistory
        case ping = 0x10, pong
        case request = 0x20, offer, commit, decline, active, refusal, release, released, report
        case receipt = 0x29, receiptSigned
        case channelsWanted = 0x30
        case draining = 0x32
        case meshKeyRenewed = 0x34
        case tokenRenewed = 0x36, tokenJudged
        case checkWanted = 0x38, checkDone
    }

    /// Types from here on must be understood; a reader that does not know one gives up. Others are skipped.
    private static let requiredTypes: UInt8 = 0x80

    public var frame: Frame {
        var fields = FieldWriter()
        let type: FrameType
        switch self {
        case .hello(let hello):
            type = .hello
            fields.put(1, Array(hello.proofs.joined()))
            fields.put(2, Array(hello.token.utf8))
            if !hello.history.isEmpty { fields.put(3, hello.history.bytes) }
        case .membership(let membership):
            type = .membership
            fields.put(1, membership.basis.rawValue)
            fields.put(2, membership.proof)
        case .introduction(let introduction):
            type = .introduction
            fields.put(1, introduction.instance.bytes)
            fields.put(2, introduction.name)
            fields.put(3, introduction.dialled)
            fields.put(4, introduction.software)
            fields.put(5, introduction.wantsPlain ? UInt8(1) : 0)
            if introduction.began != 0 { fields.put(6, introduction.began) }
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
        case .close(let reason, let detail):
            type = .close
            fields.put(1, reason.rawValue)
            fields.put(2, detail)
        case .ping(let number):
            type = .ping
            fields.put(1, number)
        case .pong(let number):
            type = .pong
            fields.put(1, number)
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
        case .offer(let offer):
            type = .offer
            fields.put(1, offer.mapping.value)
            fields.put(2, offer.attempt)
            fields.put(3, offer.ports)
            fields.put(4, offer.leaseSeconds)
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
        case .release(let mapping):
            type = .release
            fields.put(1, mapping.value)
        case .released(let mapping):
            type = .released
            fields.put(1, mapping.value)
        case .report(let mapping, let state, let isLeaving, let ports):
            type = .report
            fields.put(1, mapping.value)
            fields.put(2, state.rawValue)
            if isLeaving { fields.put(3, UInt8(1)) }
            if let ports { fields.put(4, ports.bytes) }
        case .receipt(let draft):
            type = .receipt
            fields.put(1, draft.terms.bytes)
            fields.put(2, draft.relaySignature)
        case .receiptSigned(let mapping, let signature):
            type = .receiptSigned
            fields.put(1, mapping.value)
            fields.put(2, signature)
        case .channelsWanted(let count, let group):
            type = .channelsWanted
            fields.put(1, count)
            if group != 0 { fields.put(2, group) }
        case .draining(let isDraining):
            type = .draining
            fields.put(1, UInt8(isDraining ? 1 : 0))
        case .meshKeyRenewed(let key):
            type = .meshKeyRenewed
            fields.put(1, key.bytes)
        case .keyHistoryWanted(let key):
            type = .keyHistoryWanted
            fields.put(1, key.bytes)
        case .keyHistory(let history):
            type = .keyHistory
            fields.put(1, history.bytes)
        case .tokenRenewed(let token):
            type = .tokenRenewed
            fields.put(1, Array(token.utf8))
        case .tokenJudged(let reason):
            type = .tokenJudged
            fields.put(1, reason)
        case .checkWanted(let request):
            type = .checkWanted
            fields.put(1, request.number)
            fields.put(2, request.mapping.value)
            fields.put(3, request.host)
            fields.put(4, request.port)
            fields.put(5, request.nonce)
        case .checkDone(let number, let passed, let detail):
            type = .checkDone
            fields.put(1, number)
            fields.put(2, passed ? UInt8(1) : 0)
            fields.put(3, detail)
        }
        return Frame(type: type.rawValue, payload: fields.bytes)
    }

    /// The frame on the wire.
    public var bytes: [UInt8] { frame.bytes }

    /// `nil` for a type that this version does not know and may skip.
    public init?(_ frame: Frame) throws(WireError) {
        guard let type = FrameType(rawValue: frame.type) else {
            guard frame.type < Self.requiredTypes else {
                throw WireError(.unknownRequiredMessage, "message type \(frame.type) is not known here")
            }
            return nil
        }
        let fields = try FieldReader(frame.payload)
        switch type {
        case .hello: self = .hello(try Self.hello(fields))
        case .membership:
            let basis = try Self.known(Membership.TrustBasis.init, fields, 1)
            self = .membership(
                Membership(
                    basis: basis, proof: try fields.bytes(2, count: basis == .mesh ? MeshKey.proofByteCount : 0)))
        case .introduction:
            guard let instance = ProcessInstance(bytes: try fields.bytes(1, count: ProcessInstance.byteCount)) else {
                throw WireError(.malformedField, "field 1 is no instance")
            }
            self = .introduction(
                Introduction(
                    instance: instance, name: try fields.text(2), dialled: try fields.text(3),
                    software: try fields.text(4), wantsPlain: try fields.number(5, UInt8.self) == 1,
                    began: fields.has(6) ? try fields.number(6, UInt64.self) : 0))
        case .welcome:
            self = .welcome(
                Welcome(
                    session: SessionID(value: try fields.number(1, UInt64.self)), name: try fields.text(2),
                    observed: try fields.text(3), software: try fields.text(4),
                    channels: try fields.number(5, UInt16.self), groups: try Self.groups(fields),
                    isPlain: fields.has(6) ? try fields.number(6, UInt8.self) == 1 : false,
                    ports: fields.has(8) ? try fields.ports(8) : nil))
        case .close:
            self = .close(try Self.known(CloseReason.init, fields, 1), detail: try fields.text(2))
        case .ping: self = .ping(try fields.number(1, UInt64.self))
        case .pong: self = .pong(try fields.number(1, UInt64.self))
        case .request: self = .request(try Self.request(fields))
        case .offer:
            self = .offer(
                Offer(
                    mapping: try fields.mapping(1), attempt: try fields.number(2, UInt16.self),
                    ports: try fields.ports(3), leaseSeconds: try fields.number(4, UInt32.self)))
        case .commit:
            self = .commit(
                try fields.mapping(1), attempt: try fields.number(2, UInt16.self), ports: try fields.portStates(3))
        case .decline:
            self = .decline(
                try fields.mapping(1), attempt: try fields.number(2, UInt16.self),
                reason: try Self.known(RefusalReason.init, fields, 3))
        case .active:
            self = .active(
                try fields.mapping(1), attempt: try fields.number(2, UInt16.self), host: try fields.host(3))
        case .refusal:
            self = .refusal(
                try fields.mapping(1), reason: try Self.known(RefusalReason.init, fields, 2),
                detail: try fields.text(3))
        case .release: self = .release(try fields.mapping(1))
        case .released: self = .released(try fields.mapping(1))
        case .report:
            self = .report(
                try fields.mapping(1), state: try Self.known(MappingState.init, fields, 2),
                isLeaving: fields.has(3) ? try fields.number(3, UInt8.self) == 1 : false,
                ports: try fields.portStates(4))
        case .receipt:
            self = .receipt(
                Receipt.Draft(
                    terms: try fields.receiptTerms(1),
                    relaySignature: try fields.bytes(2, count: NodeKey.signatureByteCount)))
        case .receiptSigned:
            self = .receiptSigned(
                try fields.mapping(1), signature: try fields.bytes(2, count: NodeKey.signatureByteCount))
        case .channelsWanted:
            self = .channelsWanted(
                try fields.number(1, UInt16.self), group: fields.has(2) ? try fields.number(2, UInt8.self) : 0)
        case .draining:
            let word = try fields.number(1, UInt8.self)
            guard word <= 1 else { throw WireError(.malformedField, "field 1 is neither 0 nor 1") }
            self = .draining(word == 1)
        case .meshKeyRenewed:
            guard let key = MeshKey(bytes: try fields.bytes(1, count: MeshKey.byteCount)) else {
                throw WireError(.malformedField, "field 1 is no mesh key")
            }
            self = .meshKeyRenewed(key)
        case .keyHistoryWanted: self = .keyHistoryWanted(try fields.nodeKey(1))
        case .keyHistory: self = .keyHistory(try fields.keyHistory(1))
        case .tokenRenewed: self = .tokenRenewed(try Self.token(fields, 1))
        case .tokenJudged: self = .tokenJudged(reason: try fields.text(1))
        case .checkWanted:
            self = .checkWanted(
                CheckRequest(
                    number: try fields.number(1, UInt32.self), mapping: try fields.mapping(2), host: try fields.text(3),
                    port: try fields.number(4, UInt16.self),
                    nonce: try fields.bytes(5, count: ReachabilityCheck.nonceByteCount)))
        case .checkDone:
            self = .checkDone(
                number: try fields.number(1, UInt32.self), passed: try fields.number(2, UInt8.self) == 1,
                detail: try fields.text(3))
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

    private static func groups(_ fields: FieldReader) throws(WireError) -> UInt8 {
        guard fields.has(7) else { return 1 }
        let count = try fields.number(7, UInt8.self)
        guard (1...ChannelGroup.maximum).contains(Int(count)) else {
            throw WireError(.malformedField, "field 7 asks for \(count) groups of data channels")
        }
        return count
    }

    private static func token(_ fields: FieldReader, _ tag: UInt8) throws(WireError) -> String {
        let token = try fields.bytes(tag, upTo: Hello.maximumToken)
        // A token is letters, digits and a few marks (RFC 7515, section 7.1).
        guard token.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw WireError(.malformedField, "field \(tag) is no token")
        }
        return String(decoding: token, as: UTF8.self)
    }

    private static func request(_ fields: FieldReader) throws(WireError) -> Request {
        let protocols = TransportProtocols(rawValue: try fields.number(2, UInt8.self))
        guard !protocols.isEmpty, protocols.isSubset(of: [.tcp, .udp]) else {
            throw WireError(.malformedField, "field 2 names no protocol")
        }
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

    private static func known<Value>(
        _ make: (UInt8) -> Value?, _ fields: FieldReader, _ tag: UInt8
    ) throws(WireError) -> Value {
        let number = try fields.number(tag, UInt8.self)
        guard let value = make(number) else {
            throw WireError(.malformedField, "field \(tag) has the unknown value \(number)")
        }
        return value
    }
}
