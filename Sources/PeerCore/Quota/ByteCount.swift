/// Amounts of bytes as people write them: `1500`, `10MB` (10,000,000), `10MiB` (10,485,760), `1.5GB`.
public enum ByteCount {
    private static let units: [(name: String, bytes: Int)] = [
        ("B", 1), ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
    ]

    /// `nil` for anything else: units are told apart by case (Mb is bits), a part of a byte is none, and more than
    /// `Int.max` bytes is too much.
    public static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        var rest = text[digits.endIndex...]
        if rest.first == " " { rest = rest.dropFirst() }
        let unit: Int
        if rest.isEmpty {
            unit = 1
        } else {
            guard let known = units.first(where: { $0.name == rest }) else { return nil }
            unit = known.bytes
        }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        guard let whole = parts.first.flatMap({ Int($0) }), parts.count <= 2 else { return nil }
        let (bytes, overflows) = whole.multipliedReportingOverflow(by: unit)
        guard !overflows else { return nil }
        guard parts.count == 2 else { return bytes }
        guard (1...6).contains(parts[1].count), let part = Int(parts[1]) else { return nil }
        let scale = (0..<parts[1].count).reduce(1) { scale, _ in scale * 10 }
        let (more, isTooMuch) = part.multipliedReportingOverflow(by: unit)
        guard !isTooMuch, more % scale == 0 else { return nil }
        let (sum, isOver) = bytes.addingReportingOverflow(more / scale)
        return isOver ? nil : sum
    }

    /// As short as it is exact, with the units that `parse` reads.
    public static func text(_ bytes: Int) -> String {
        let known = units.filter { $0.bytes > 1 && bytes > 0 && bytes % $0.bytes == 0 && $0.name != "kB" }
        guard let best = known.max(by: { $0.bytes < $1.bytes }) else { return "\(bytes)" }
        return "\(bytes / best.bytes)\(best.name)"
    }
}
