/// Times as people and tools read them: `2030-01-31T12:00:00Z` (RFC 3339, UTC, whole seconds), from and to seconds
/// since 1970. One spelling for each time.
public enum RFC3339 {
    /// Times before the year 1 or after 9999, which the format cannot say, become the nearest that it can.
    public static func text(unixSeconds seconds: Int64) -> String {
        let clamped = min(max(seconds, earliest), latest)
        let secondOfDay = ((clamped % 86_400) + 86_400) % 86_400
        let date = Self.date(ofDay: (clamped - secondOfDay) / 86_400)
        return "\(Self.padded(date.year, 4))-\(Self.padded(date.month, 2))-\(Self.padded(date.day, 2))T"
            + "\(Self.padded(secondOfDay / 3_600, 2)):\(Self.padded(secondOfDay / 60 % 60, 2)):"
            + "\(Self.padded(secondOfDay % 60, 2))Z"
    }

    /// Reads exactly what `text` writes; `nil` for other spellings and for days that no calendar has.
    public static func unixSeconds(of text: String) -> Int64? {
        let digits = Array(text.utf8)
        guard digits.count == 20 else { return nil }
        func number(_ range: Range<Int>) -> Int64 {
            digits[range].reduce(0) { $0 * 10 + Int64($1) - Int64(UInt8(ascii: "0")) }
        }
        let day = Self.day(year: number(0..<4), month: number(5..<7), day: number(8..<10))
        let seconds = day * 86_400 + number(11..<13) * 3_600 + number(14..<16) * 60 + number(17..<19)
        // Whatever is not a digit, a separator or a date in its place does not survive the way back.
        return Self.text(unixSeconds: seconds) == text ? seconds : nil
    }

    private static let earliest: Int64 = -62_135_596_800
    private static let latest: Int64 = 253_402_300_799

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// Days since 1970 in the Gregorian calendar. Years are counted from March, so that the leap day is the last of its
    /// year; 719468 days lie between 1 March of the year 0 and 1970, 146097 days in 400 years.
    private static func day(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month > 2 ? year : year - 1
        let marchMonth = (month + 9) % 12
        let dayOfYear = (153 * marchMonth + 2) / 5 + day - 1
        return 365 * marchYear + floorDivide(marchYear, 4) - floorDivide(marchYear, 100)
            + floorDivide(marchYear, 400) + dayOfYear - 719_468
    }

    private static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        // A guess that is never too late (years have up to 366 days), then forward: at most a few steps.
        let days = day + 719_468
        var marchYear = floorDivide(days * 400, 146_097) - 1
        while Self.day(year: marchYear + 1, month: 3, day: 1) <= day { marchYear += 1 }
        let dayOfYear = day - Self.day(year: marchYear, month: 3, day: 1)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = (marchMonth + 2) % 12 + 1
        return (month > 2 ? marchYear : marchYear + 1, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    private static func floorDivide(_ number: Int64, _ divisor: Int64) -> Int64 {
        number >= 0 ? number / divisor : -((divisor - 1 - number) / divisor)
    }
}
