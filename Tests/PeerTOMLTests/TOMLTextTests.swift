import Foundation
import PeerCore
import PeerTOML
import TestSupport
import Testing

@Suite struct TOMLTextTests {
    static let example = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../docs/config.example.toml").standardizedFileURL

    /// As one line that another reader's result can be compared with.
    static func text(_ value: TOMLValue) -> String {
        switch value.kind {
        case .text(let text):
            "\"" + text.unicodeScalars.map { String($0.value, radix: 16) }.joined(separator: " ") + "\""
        case .number(let number): "\(number)"
        case .flag(let flag): "\(flag)"
        case .list(let list): "[" + list.map(text).joined(separator: ",") + "]"
        case .table(let table): text(table)
        case .fraction: "fraction"
        case .date: "date"
        }
    }

    static func text(_ table: TOMLTable) -> String {
        let rows = table.entries.map { name, value in
            (name.unicodeScalars.map { String($0.value, radix: 16) }.joined(separator: " "), text(value))
        }
        return "{" + rows.sorted { $0.0 < $1.0 }.map { "\($0.0):\($0.1)" }.joined(separator: ",") + "}"
    }

    static func read(_ document: String) -> String {
        do {
            return text(try TOMLText.read(Array(document.utf8)))
        } catch { return "fault: \(error)" }
    }

    @Test(arguments: [
        ("", "{}"), ("a = +1_000\nb = 0xFf\nc = 0o17\nd = 0b1_0\ne = -0", "{61:1000,62:255,63:15,64:2,65:0}"),
        ("a = 'C:\\x'", "{61:\"43 3a 5c 78\"}"), ("a = \"\\u00e9\\U0001F600\\t\"", "{61:\"e9 1f600 9\"}"),
        ("a = [ # one\n 1,\n\n 2, # two\n]\nb = true", "{61:[1,2],62:true}"), ("a = [[1], []]", "{61:[[1],[]]}"),
        ("a.b = 1\na.c = 2\nx = { y.z = 1 }\na.d = 3", "{61:{62:1,63:2,64:3},78:{79:{7a:1}}}"),
        ("[a.b]\n[a]\nc = 1", "{61:{62:{},63:1}}"), ("[ \"a b\" . 'c' ]", "{61 20 62:{63:{}}}"),
        (
            "a = 1.5\nb = 1e3\nc = -inf\nd = 07:32:00\ne = 2026-11-21T07:32:00Z",
            "{61:fraction,62:fraction,63:fraction,64:date,65:date}"
        ),
        ("a = { b = [1] }", "{61:{62:[1]}}"), ("-_9 = {}", "{2d 5f 39:{}}"), ("a = \"\\u0000\"", "{61:\"0\"}"),
        // Texts over several lines, with quotes in them and at their ends.
        ("a = \"\"\"\nx\\\n  y\"\"z\"\"\"\"\"\nb = 1", "{61:\"78 79 22 22 7a 22 22\",62:1}"),
        ("a = '''\n[\\'''''\nb = 1", "{61:\"5b 5c 27 27\",62:1}"),
        ("a = \"\"\"x\\\n é\"\"\"", "{61:\"78 e9\"}"),
        ("[[a]]\nb = 1\n[[a]]\n[a.c]\nd = 2", "{61:[{62:1},{63:{64:2}}]}"), ("a = [{ b = 1 }, 2]", "{61:[{62:1},2]}"),
        ("a = 1979-05-27\nb = 1979-05-27 07:32:00.5\nc = { d = 00:00:00 }", "{61:date,62:date,63:{64:date}}"),
        ("\u{feff}a = 1\r\nb = 2", "{61:1,62:2}"),
    ]) func `a document is read`(document: String, expected: String) {
        #expect(Self.read(document) == expected)
    }

    @Test(arguments: [
        "a", "a =", "a = 01", "a = 1_", "a = _1", "a = 1__0", "a = 0x", "a = -0x1", "a = 1 b = 2", "a = 'x",
        "a = \"\\q\"", "a = \"\\ud800\"", "a = \"\\u12\"", "a = [1", "a = [1 2]", "a = [,]", "a = {",
        "a = { b = 1, }", "a = { b = 1\n}", "a = 1\na = 2", "a = 1\n[a]", "[a]\n[a]", "a.b = 1\n[a]",
        "[a.b]\n[a]\nb.c = 1", "a = {}\na.b = 1", "a = {}\n[a.b]", "[a]b = 1", "[a", "[]", "[a.]", "= 1", ". = 1",
        "a. = 1", "a = \"\u{1}\"", "# \u{1}", "a = 1\rb = 2", "a = \"x\ny\"", "a = truE", "a = yes",
        "a = 99999999999999999999", "a = 1 = 2", "é = 1", "a = é", "a = [\n# \u{7f}\n]", "a = \"\"\"x", "[[a]\n",
        "a = 1\n[[a]]", "a = []\n[[a]]", "a = 2026-13-01", "a = 25:00:00", "a = { b = 1 ]",
    ]) func `what is none is refused, with its line`(document: String) {
        #expect(Self.read(document).hasPrefix("fault: line "), "\(Self.read(document))")
    }

    @Test func `values and faults know their places`() throws {
        let table = try TOMLText.read(Array("a = 1\n[b]\nuu = [\n 2]\n".utf8))
        let b = try #require(table.entries["b"])
        let list = try #require(table.table("b")?.entries["uu"])
        #expect(table.entries["a"]?.line == 1 && b.line == 2 && b.column == 2 && list.line == 3)
        guard case .list(let entries) = list.kind else { throw TOMLFault(line: nil, text: "no list") }
        #expect(entries.first?.line == 4 && entries.first?.column == 2)
        let blank = Self.read("a = 1\n\u{a0}b = 2")
        #expect(blank.hasPrefix("fault: line 2: there is U+00A0, which does not show, outside"), "\(blank)")
        #expect(Self.read("a = 'ü' é").hasSuffix("(column 9)"))
    }

    @Test func `a fault is one line of plain characters, whatever the text is`() {
        for text in [
            "a = 1\n\"\\u001b[31m\" = 1\n\"\\u001b[31m\" = 2", "a = \"\u{202e}\" \"\u{202e}\"", "x\u{200b} = 1",
        ] {
            let told = Self.read(text)
            #expect(told.hasPrefix("fault: line "))
            let unseen: Set<Character> = ["\u{1b}", "\u{202e}", "\u{200b}"]
            #expect(!told.contains { $0.isNewline || unseen.contains($0) }, "\(told)")
        }
    }

    @Test func `what is no text, or too long, is refused before it is read`() {
        for bytes in [[0xff, 0xfe], Array("a = 1\0".utf8), [UInt8](repeating: 0x23, count: TOMLText.longest + 1)] {
            let fault = #expect(throws: TOMLFault.self) { try TOMLText.read(bytes) }
            #expect(fault?.line == nil && fault?.text.isEmpty == false)
        }
        #expect(throws: Never.self) { try TOMLText.read([UInt8](repeating: 0x23, count: TOMLText.longest)) }
    }

    @Test(arguments: ["[", "{ a = ", "x."]) func `nesting has an end`(opening: String) {
        let closing = ["[": "]", "{ a = ": "}"][opening] ?? ""
        func document(_ depth: Int) -> String {
            let inner = opening == "x." ? "y = 1" : "1"
            let text = String(repeating: opening, count: depth) + inner + String(repeating: closing, count: depth)
            return opening == "x." ? text : "a = " + text
        }
        #expect(!Self.read(document(16)).hasPrefix("fault"), "\(Self.read(document(16)))")
        #expect(Self.read(document(17)).hasPrefix("fault: line 1: this is nested too deep"))
        #expect(Self.read("a = \"\(String(repeating: opening, count: 40))\"\n# \(document(40))").hasPrefix("{61:"))
    }

    @Test func `keys and values have an end`() {
        func keys(_ count: Int) -> String { (0..<count).map { "k\($0) = 1\n" }.joined() }
        #expect(!Self.read(keys(1_024)).hasPrefix("fault"))
        #expect(Self.read(keys(1_025)).hasPrefix("fault: line 1025: more than 1024 keys"))
        let many = "a = [" + String(repeating: "1,\n", count: 65_535) + "1]"
        #expect(!Self.read(many).hasPrefix("fault"))
        #expect(Self.read(many + "\nb = [1, 2]").hasPrefix("fault: line 65537: more than 65536 values"))
    }

    /// Python's `tomllib` (3.11) judges the same documents.
    private static let judge = """
        import json, sys, tomllib, datetime
        def text(v):
            if isinstance(v, bool): return "true" if v else "false"
            if isinstance(v, int): return str(v)
            if isinstance(v, float): return "fraction"
            if isinstance(v, str): return '"' + " ".join("%x" % ord(c) for c in v) + '"'
            if isinstance(v, list): return "[" + ",".join(map(text, v)) + "]"
            if isinstance(v, dict):
                rows = sorted((" ".join("%x" % ord(c) for c in k), text(w)) for k, w in v.items())
                return "{" + ",".join(k + ":" + w for k, w in rows) + "}"
            return "date"
        def read(document):
            try: return text(tomllib.loads(document))
            except Exception as e: return "fault: " + str(e)
        print(json.dumps([read(d) for d in json.load(open(sys.argv[1]))]))
        """

    @Test(.enabled(if: Ran.isInstalled("python3", "-c", "import tomllib"), "needs tomllib of Python 3.11"))
    func `another reader says the same of mutated documents`() throws {
        let isLong = ProcessInfo.processInfo.environment["P2PRC_LONG"] == "1"
        let sound = [
            try String(contentsOf: Self.example, encoding: .utf8).split(separator: "\n")
                .filter { !$0.hasPrefix("#") }.joined(separator: "\n"),
            "a.b = 1\n[c.d]\ne = { f = \"\\u00e9\", g.h = 'i' }\n[c]\n"
                + "x = [1, [2, 3], # y\n]\nk = 0x1F\nl = 1.5\nm = true\n",
            "[[n]]\no = \"\"\"\np\\\n  q\"\"\"\n[[n]]\nr = '''\ns'''\n[n.t]\n"
                + "u = 2026-11-21T07:32:00.5Z\nv = 07:32:00\n",
        ]
        var random = SeededGenerator(seed: 8)
        let letters = Array("[]={}\"'#.,\n\r\t -_+01eabxu\\é:")
        let documents = (0..<(isLong ? 100_000 : 6_000)).map { number in
            var text = Array(sound[number % sound.count])
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0...3, using: &random) {
                case 0: text[place] = letters.randomElement(using: &random)!
                case 1: text.remove(at: place)
                case 2: text.insert(letters.randomElement(using: &random)!, at: place)
                default: text.swapAt(place, Int.random(in: 0..<text.count, using: &random))
                }
            }
            return String(text)
        }
        let name = "p2prc-toml-\(UInt64.random(in: 0 ... .max))"
        let folder = FileManager.default.temporaryDirectory.appending(path: name)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "documents.json")
        try JSONEncoder().encode(documents).write(to: file)
        let ran = try Ran(["python3", "-c", Self.judge, file.path])
        try #require(ran.status == 0, "\(ran.output)")
        let verdicts = try JSONDecoder().decode([String].self, from: Data(ran.output.utf8))
        var agreed = 0
        for (document, verdict) in zip(documents, verdicts) {
            let ours = Self.read(document)
            if ours == verdict || ours.hasPrefix("fault") && verdict.hasPrefix("fault") {
                agreed += 1
            } else {
                Issue.record("\(document.debugDescription): here \(ours), there \(verdict)")
            }
        }
        #expect(agreed == documents.count)
    }
}
