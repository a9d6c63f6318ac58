import PeerWire
import Testing

@Suite struct PlainTextTests {
    @Test func `all that shows stays, in any language`() {
        for text in ["", "relay-1", "büro", "研究室 2", "дом", "e\u{301}", "👍🏽", "שלום", "a\u{a0}b", "~"] {
            #expect(PlainText.isClean(text))
            #expect(PlainText.cleaned(text) == text)
        }
    }

    @Test func `what does not show, or turns a line around, is taken out`() {
        let unseen: [Unicode.Scalar] = [
            "\u{0}", "\u{1b}", "\n", "\t", "\u{7f}", "\u{85}", "\u{9b}", "\u{ad}", "\u{61c}", "\u{180e}", "\u{200b}",
            "\u{200d}", "\u{200e}", "\u{2028}", "\u{2029}", "\u{202a}", "\u{202e}", "\u{2060}", "\u{2066}", "\u{2069}",
            "\u{3164}", "\u{fe0f}", "\u{feff}", "\u{fff9}", "\u{e0041}",
        ]
        for scalar in unseen {
            #expect(PlainText.isUnseen(scalar), "\(scalar.value)")
            #expect(PlainText.cleaned("a\(scalar)b") == "ab")
            #expect(PlainText.cleaned("ü\(scalar)") == "ü")
        }
    }

    @Test func `every character of the categories that never show is one of them`() {
        for value in UInt32(0)...0x10ffff {
            guard let scalar = Unicode.Scalar(value) else { continue }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: #expect(PlainText.isUnseen(scalar))
            case .uppercaseLetter, .decimalNumber: #expect(!PlainText.isUnseen(scalar))
            default: break
            }
        }
    }

    @Test func `a name is cut at 128 bytes, where a character ends`() {
        #expect(PlainText.name("büro") == "büro")
        #expect(PlainText.name(String(repeating: "a", count: 512)) == String(repeating: "a", count: 128))
        #expect(PlainText.name(String(repeating: "研", count: 170)) == String(repeating: "研", count: 42))
    }

    @Test func `a message spells what cannot be seen`() {
        #expect(PlainText.spelled("name\u{a0}=") == "nameU+00A0=")
        #expect(PlainText.spelled("\u{202e}x\u{e0001}") == "U+202ExU+E0001")
        #expect(PlainText.spelled("büro 1") == "büro 1")
    }
}
