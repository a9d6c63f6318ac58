import Testing

@testable import P2PRCKit

@Suite struct SparklineTests {
    @Test func `has a character for each value, and a dot where there is none`() {
        #expect(TextTable.sparkline([10, nil, 80]) == "▁·█")
        #expect(TextTable.sparkline([0, 10, 20, 30, 40, 50, 60, 70]) == "▁▂▃▄▅▆▇█")
    }

    @Test func `makes no mountain of a tenth of a millisecond, and nothing of nothing`() {
        #expect(TextTable.sparkline([5.0, 5.05, 5.0]) == "▁▁▁")
        #expect(TextTable.sparkline([nil, nil]) == "")
        #expect(TextTable.sparkline([]) == "")
    }
}
