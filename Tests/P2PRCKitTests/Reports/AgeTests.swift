import Testing

@testable import P2PRCKit

@Suite struct AgeTests {
    @Test(arguments: [("90s", 90), ("45m", 2_700), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600), ("0s", 0)])
    func `a time has a unit`(text: String, seconds: Int64) { #expect(Age.seconds(text) == seconds) }

    @Test(arguments: [
        "", "30", "d", "-1d", "+1d", "1.5d", "1 d", "1D", "99999999999999999999s", "9999999999999999w", "3651d", "٣d",
    ])
    func `what is no time is not read as one`(text: String) { #expect(Age.seconds(text) == nil) }

    @Test(arguments: [(0, "0d"), (90, "90s"), (2_700, "45m"), (43_200, "12h"), (1_209_600, "14d")])
    func `a time is told in the largest unit that divides it`(seconds: Int64, text: String) {
        #expect(Age.text(seconds) == text)
        #expect(Age.seconds(text) == seconds)
    }
}
