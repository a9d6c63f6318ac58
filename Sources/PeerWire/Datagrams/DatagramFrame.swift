/// What a datagram between a peer and a relay says, once it is opened: `type (1) | fields | payload`.
///
/// A flow's number is the relay's, and means nothing to the peer but that it is the same one.
public enum DatagramFrame: ~Copyable {
    public typealias Flow = UInt64

    /// A visitor's datagram, or an answer to it.
    case payload(Flow, UnsafeMutableRawBufferPointer)
    /// A visitor's datagram, of a flow that the peer may not know. Relay to peer.
    case opening(Flow, Opening, UnsafeMutableRawBufferPointer)
    /// The same before a datagram that comes in pieces. Relay to peer.
    case announcement(Flow, Opening)
    /// A part of a datagram that is too long for the way.
    case piece(Flow, Piece, UnsafeMutableRawBufferPointer)
    /// The peer knows the flow from now on.
    case known(Flow)
    /// The peer does not know the flow: it is to be opened.
    case unknown(Flow)
    /// The flow has ended at the sender.
    case over(Flow)
    /// Asks for an answer. Peer to relay.
    case probe(Probe)
    case answer(Answer)

    public enum Kind: UInt8, Sendable, CaseIterable {
        case payload = 1
        case opening, piece, known, unknown, over, probe, answer, announcement
    }

    /// Whose the flow is.
    public struct Opening: Hashable, Sendable {
        public var mapping: MappingID
        /// By how many the port is after the mapping's first one.
        public var portOffset: UInt16
        public var visitor: DatagramAddress

        public init(mapping: MappingID, portOffset: UInt16, visitor: DatagramAddress) {
            self.mapping = mapping
            self.portOffset = portOffset
            self.visitor = visitor
        }
    }

    /// Which part of which datagram of the flow.
    public struct Piece: Hashable, Sendable {
        public static let maximumCount: UInt8 = 3

        /// The same for all pieces of one datagram.
        public var datagram: UInt16
        /// From 0 on.
        public var index: UInt8
        /// 2 or 3.
        public var count: UInt8

        public init(datagram: UInt16, index: UInt8, count: UInt8) {
            self.datagram = datagram
            self.index = index
            self.count = count
        }
    }

    /// How the peer asks whether datagrams get through, how large ones, and what it tells about itself.
    public struct Probe: Hashable, Sendable {
        public var number: UInt32
        /// The peer takes frames by its stream for now.
        public var prefersStream: Bool
        /// Datagrams of so many bytes, all in all, have come through both ways.
        public var largest: UInt16

        public init(number: UInt32, prefersStream: Bool, largest: UInt16) {
            self.number = number
            self.prefersStream = prefersStream
            self.largest = largest
        }
    }

    /// As long as the probe that it answers.
    public struct Answer: Hashable, Sendable {
        public var number: UInt32
        /// Where the probe came from: another address than before tells that a NAT has forgotten the way.
        public var source: DatagramAddress

        public init(number: UInt32, source: DatagramAddress) {
            self.number = number
            self.source = source
        }
    }

    /// What `payload` has in front of its bytes.
    public static let payloadOverhead = 9
    public static let pieceOverhead = payloadOverhead + 3
    public static let openingOverhead = payloadOverhead + 8 + 2 + 18
    /// `known`, `unknown` and `over` are so long.
    public static let noticeByteCount = 9
    /// The least that a probe and an answer have; the rest is zeros that are not looked at.
    public static let probeByteCount = 23
}

// MARK: Writing

extension DatagramFrame {
    /// - Parameter place: has room for `payloadOverhead` bytes; the payload follows there.
    public static func writePayload(_ flow: Flow, to place: UnsafeMutableRawPointer) {
        write(.payload, flow, to: place)
    }

    /// - Parameters:
    ///   - kind: `opening` or `announcement`.
    ///   - place: has room for `openingOverhead` bytes; the payload of an opening follows there.
    public static func write(_ kind: Kind, _ flow: Flow, _ opening: Opening, to place: UnsafeMutableRawPointer) {
        write(kind, flow, to: place)
        place.storeBytes(of: opening.mapping.value.bigEndian, toByteOffset: 9, as: UInt64.self)
        place.storeBytes(of: opening.portOffset.bigEndian, toByteOffset: 17, as: UInt16.self)
        write(opening.visitor, to: place + 19)
    }

    /// - Parameter place: has room for `pieceOverhead` bytes; the part of the payload follows there.
    public static func writePiece(_ flow: Flow, _ piece: Piece, to place: UnsafeMutableRawPointer) {
        write(.piece, flow, to: place)
        place.storeBytes(of: piece.datagram.bigEndian, toByteOffset: 9, as: UInt16.self)
        place.storeBytes(of: piece.index << 4 | piece.count, toByteOffset: 11, as: UInt8.self)
    }

    /// - Parameters:
    ///   - kind: `known`, `unknown` or `over`.
    ///   - place: has room for `noticeByteCount` bytes.
    public static func writeNotice(_ kind: Kind, _ flow: Flow, to place: UnsafeMutableRawPointer) {
        write(kind, flow, to: place)
    }

    /// - Parameters:
    ///   - place: has room for `count` bytes.
    ///   - count: `probeByteCount` or more.
    public static func write(_ probe: Probe, to place: UnsafeMutableRawPointer, count: Int) {
        place.initializeMemory(as: UInt8.self, repeating: 0, count: count)
        place.storeBytes(of: Kind.probe.rawValue, as: UInt8.self)
        place.storeBytes(of: probe.number.bigEndian, toByteOffset: 1, as: UInt32.self)
        place.storeBytes(of: probe.prefersStream ? 1 : 0, toByteOffset: 5, as: UInt8.self)
        place.storeBytes(of: probe.largest.bigEndian, toByteOffset: 6, as: UInt16.self)
    }

    /// - Parameters:
    ///   - place: has room for `count` bytes.
    ///   - count: of the probe that it answers.
    public static func write(_ answer: Answer, to place: UnsafeMutableRawPointer, count: Int) {
        place.initializeMemory(as: UInt8.self, repeating: 0, count: count)
        place.storeBytes(of: Kind.answer.rawValue, as: UInt8.self)
        place.storeBytes(of: answer.number.bigEndian, toByteOffset: 1, as: UInt32.self)
        write(answer.source, to: place + 5)
    }

    private static func write(_ kind: Kind, _ flow: Flow, to place: UnsafeMutableRawPointer) {
        place.storeBytes(of: kind.rawValue, as: UInt8.self)
        place.storeBytes(of: flow.bigEndian, toByteOffset: 1, as: UInt64.self)
    }

    /// `address (16) | port (2)`.
    private static func write(_ address: DatagramAddress, to place: UnsafeMutableRawPointer) {
        place.storeBytes(of: address.high.bigEndian, as: UInt64.self)
        place.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        place.storeBytes(of: address.port.bigEndian, toByteOffset: 16, as: UInt16.self)
    }
}

// MARK: Reading

extension DatagramFrame {
    /// - Parameter bytes: of an opened datagram; the payload is a part of them.
    /// - Returns: `nil` for what is none, and for kinds of later versions.
    public init?(reading bytes: UnsafeMutableRawBufferPointer) {
        guard let first = bytes.first, let kind = Kind(rawValue: first) else { return nil }
        switch kind {
        case .payload:
            guard bytes.count >= Self.payloadOverhead else { return nil }
            self = .payload(Self.flow(bytes), Self.rest(of: bytes, from: Self.payloadOverhead))
        case .opening, .announcement:
            guard bytes.count >= Self.openingOverhead else { return nil }
            let opening = Opening(
                mapping: MappingID(value: Self.number(bytes, 9, UInt64.self)),
                portOffset: Self.number(bytes, 17, UInt16.self), visitor: Self.address(bytes, 19))
            if kind == .announcement {
                self = .announcement(Self.flow(bytes), opening)
            } else {
                self = .opening(Self.flow(bytes), opening, Self.rest(of: bytes, from: Self.openingOverhead))
            }
        case .piece:
            guard bytes.count > Self.pieceOverhead else { return nil }
            let piece = Piece(
                datagram: Self.number(bytes, 9, UInt16.self), index: bytes[11] >> 4, count: bytes[11] & 0xf)
            guard piece.count >= 2, piece.count <= Piece.maximumCount, piece.index < piece.count else { return nil }
            self = .piece(Self.flow(bytes), piece, Self.rest(of: bytes, from: Self.pieceOverhead))
        case .known, .unknown, .over:
            guard bytes.count == Self.noticeByteCount else { return nil }
            let flow = Self.flow(bytes)
            switch kind {
            case .known: self = .known(flow)
            case .unknown: self = .unknown(flow)
            default: self = .over(flow)
            }
        case .probe:
            guard bytes.count >= Self.probeByteCount else { return nil }
            self = .probe(
                Probe(
                    number: Self.number(bytes, 1, UInt32.self), prefersStream: bytes[5] & 1 == 1,
                    largest: Self.number(bytes, 6, UInt16.self)))
        case .answer:
            guard bytes.count >= Self.probeByteCount else { return nil }
            self = .answer(Answer(number: Self.number(bytes, 1, UInt32.self), source: Self.address(bytes, 5)))
        }
    }

    private static func flow(_ bytes: UnsafeMutableRawBufferPointer) -> Flow { number(bytes, 1, UInt64.self) }

    private static func number<Number: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: UnsafeMutableRawBufferPointer, _ offset: Int, _: Number.Type
    ) -> Number {
        Number(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    private static func address(_ bytes: UnsafeMutableRawBufferPointer, _ offset: Int) -> DatagramAddress {
        DatagramAddress(
            high: number(bytes, offset, UInt64.self), low: number(bytes, offset + 8, UInt64.self),
            port: number(bytes, offset + 16, UInt16.self))
    }

    private static func rest(
        of bytes: UnsafeMutableRawBufferPointer, from offset: Int
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[offset...])
    }
}
