/// Lengths of time as users write them: `30d`, `12h`, `90m`, `45s`.
enum Age {
    private static let units: [(letter: Character, seconds: Int64)] = [
        ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1),
    ]
    private static let longest: Int64 = 3_650 * 86_400

    /// Seconds; `nil` for anything else, and for more than ten years.
    static func seconds(_ text: String) -> Int64? {
        guard let unit = units.first(where: { $0.letter == text.last }), let count = Int64(text.dropLast()), count >= 0
        else { return nil }
        let (seconds, isTooLong) = count.multipliedReportingOverflow(by: unit.seconds)
        return isTooLong || seconds > longest ? nil : seconds
    }

    /// In the largest unit that divides it.
    static func text(_ seconds: Int64) -> String {
        let unit = units.first { seconds % $0.seconds == 0 } ?? ("s", 1)
        return "\(seconds / unit.seconds)\(unit.letter)"
    }
}
