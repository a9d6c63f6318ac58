/// Lengths of time as users write them: `2w`, `30d`, `12h`, `90m`, `45s`. A number alone is refused, for nobody knows
/// its unit.
enum Age {
    private static let units: [(letter: Character, seconds: Int64)] = [
        ("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1),
    ]
    static let longest: Int64 = 3_650 * 86_400

    /// Seconds; `nil` for anything else, and for more than ten years.
    static func seconds(_ text: String) -> Int64? {
        let digits = text.dropLast()
        // Not `Int64` alone, which takes a sign.
        guard let unit = units.first(where: { $0.letter == text.last }),
            digits.allSatisfy({ $0.isASCII && $0.isNumber }),
            let count = Int64(digits)
        else { return nil }
        let (seconds, isTooLong) = count.multipliedReportingOverflow(by: unit.seconds)
        return isTooLong || seconds > longest ? nil : seconds
    }

    /// In the largest unit up to days that divides it.
    static func text(_ seconds: Int64) -> String {
        let unit = units.dropFirst().first { seconds % $0.seconds == 0 } ?? ("s", 1)
        return "\(seconds / unit.seconds)\(unit.letter)"
    }
}
