import PeerCore
import PeerStorage
import PeerWire
import Testing

@testable import P2PRCKit

@Suite struct TextTableTests {
    @Test func `a text is as wide as a terminal shows it`() {
        let widths: [(String, Int)] = [
            ("", 0), ("abc", 3), ("büro", 4), ("研究", 4), ("e\u{301}", 1), ("가", 2), ("😀", 2), ("…", 1),
        ]
        for (text, width) in widths { #expect(TerminalText.columns(text) == width, "\(text)") }
    }

    @Test func `a cell is cut by its width, and looks like one`() {
        #expect(TerminalText.cell(String(repeating: "a", count: 40)) == String(repeating: "a", count: 40))
        #expect(TerminalText.cell(String(repeating: "a", count: 41)) == String(repeating: "a", count: 39) + "…")
        let wide = TerminalText.cell(String(repeating: "研", count: 400))
        #expect(wide == String(repeating: "研", count: 19) + "…" && TerminalText.columns(wide) == 39)
        #expect(TerminalText.cell("home1  verified\u{a0}\u{a0}tls ") == "home1 verified tls")
        #expect(TerminalText.cell("a\u{202e}b\u{200b}") == "ab")
    }

    @Test func `columns stand below each other whatever is in them`() {
        let table = TextTable.table(["NAME", "X", "REMARK"], [["研究室", "1", "a"], ["a", "2", "b"]])
        #expect(table == "NAME    X  REMARK\n研究室  1  a\na       2  b")
    }
}
