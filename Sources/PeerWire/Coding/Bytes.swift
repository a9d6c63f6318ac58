/// Appends numbers in network byte order.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func write<Number: FixedWidthInteger>(_ number: Number) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }

    mutating func write(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }
}

/// Takes numbers in network byte order off the front; every read may find too little.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var isAtEnd: Bool { rest.isEmpty }
    var count: Int { rest.count }

    mutating func read<Number: FixedWidthInteger & UnsignedInteger>(_: Number.Type) -> Number? {
        guard let taken = read(count: Number.bitWidth / 8) else { return nil }
        return taken.reduce(0) { $0 << 8 | Number($1) }
    }

    mutating func read(count: Int) -> ArraySlice<UInt8>? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
