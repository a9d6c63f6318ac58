/// Lengths of time and rates as people write them on a command line.
enum Quantity {
    /// `90s`, `45m`, `12h`, `30d`, `2w`: in seconds. A number alone is refused, for nobody knows its unit.
    static func seconds(_ text: String) -> Int64? {
        scaled(text, ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800])
    }

    /// `500kB`, `10MB` (powers of 1000), `10MiB` (of 1024), `4096B`: in bytes.
    static func bytes(_ text: String) -> Int64? {
        scaled(
            text,
            [
                "B": 1, "kB": 1_000, "KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "KiB": 1_024,
                "MiB": 1_048_576, "GiB": 1_073_741_824,
            ])
    }

    private static func scaled(_ text: String, _ units: [String: Int64]) -> Int64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int64(digits), let unit = units[String(text.dropFirst(digits.count))] else { return nil }
        let (product, isTooLarge) = number.multipliedReportingOverflow(by: unit)
        return isTooLarge ? nil : product
    }
}
