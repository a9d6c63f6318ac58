import P2PRCKit
import Testing

@Suite struct CommandTextTests {
    @Test func `a command line can be typed again, without its secrets`() {
        #expect(CommandText.line(["p2prc", "-s", "--mp", "[fd00::1]:22"]) == "p2prc -s --mp [fd00::1]:22")
        #expect(CommandText.line(["--amd", "it's here", ""]) == #"--amd 'it'\''s here' ''"#)
        #expect(CommandText.line(["join", "p2prc://a:1/00/11"]) == "join LINK")
        #expect(!CommandText.line(["\u{1b}[31m"]).contains("\u{1b}"))
    }

    @Test func `of a link nothing but its beginning is shown, of a token nothing`() {
        let token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJmcmllbmQifQ.c2lnbmF0dXJl"
        #expect(CommandText.withoutSecrets("no p2prc://h:1/ab/cd here") == "no p2prc://… here")
        #expect(CommandText.withoutSecrets("'p2prc://h:1/ab' and \(token); see") == "'p2prc://…' and …; see")
        for text in ["copy all of it, from p2prc:// to its last digit", "eyJ is no token", "", "it says p2prc://"] {
            #expect(CommandText.withoutSecrets(text) == text)
        }
    }
}

@Suite struct NearMissTests {
    private let root = NearMiss(
        flags: ["--open", "--plain", "--accept-open", "--mp", "--view-rpm", "--server", "--both"],
        subcommands: ["status", "unmap", "join"], isRoot: true)

    @Test(arguments: [
        ("statsu", "did you mean status?"), ("--stauts", "did you mean p2prc status?"),
        ("--unmap", "did you mean p2prc unmap?"), ("--veiw-rpm", "did you mean --view-rpm?"),
        ("server", "p2prc -s runs a node"), ("--udp", "p2prc --mp PORT --udp"), ("-V", "p2prc --version"),
        ("--servre=1", "did you mean --server?"), ("--BOTH", "did you mean --both?"),
        ("--tcp", "p2prc --mp PORT exposes a port for TCP"),
    ]) func `what was meant is named`(word: String, advice: String) {
        #expect(root.advice(for: word)?.contains(advice) == true, "\(root.advice(for: word) ?? "nothing")")
    }

    @Test func `what opens something is never proposed, and nothing is where nothing is near`() {
        for word in ["--opne", "--plan", "--accept-opne", "--o", "xyzzy", "--frobnicate"] {
            let advice = root.advice(for: word) ?? ""
            #expect(!advice.contains("open") && !advice.contains("plain"), "\(word): \(advice)")
        }
        #expect(root.advice(for: "xyzzy") == nil)
        let below = NearMiss(flags: ["--keep"], subcommands: ["issue", "list"], isRoot: false)
        #expect(below.advice(for: "ls") == nil && below.advice(for: "lst") == "did you mean list?")
    }
}
