extension PortRange {
    /// Reads `LOW-HIGH` or one number, in digits only; `nil` for anything else. `description` is read back as it was.
    public init?(_ text: some StringProtocol) {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        // `UInt16` would take a sign too.
        guard (1...2).contains(ends.count), ends.allSatisfy({ $0.utf8.allSatisfy(Self.isDigit) }),
            let first = UInt16(ends[0]), let last = UInt16(ends[ends.count - 1])
        else { return nil }
        self.init(first: first, last: last)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
