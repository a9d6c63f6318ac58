@testable import P2PRCKit
import Testing

@Suite struct SpellingTests {
    @Test(arguments: [
        ("nmae", "name"), ("name", "name"), ("nam", "name"), ("names", "name"), ("bnid", "bind"), ("prots", "ports"),
        ("leases_hours", "lease_hours"),
    ]) func `a slip finds its word`(word: String, meant: String) {
        #expect(Spelling.nearest(to: word, in: ["name", "bind", "ports", "lease_hours"]) == meant)
    }

    @Test(arguments: ["frobnicate", "", "x", "abcd"]) func `what is far from all finds none`(word: String) {
        #expect(Spelling.nearest(to: word, in: ["name", "bind", "ports", "lease_hours"]) == nil)
    }
}
