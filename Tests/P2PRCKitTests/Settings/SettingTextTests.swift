import Foundation
@testable import P2PRCKit
import TestSupport
import Testing

/// What is written of the settings is made of their table.
/// `P2PRC_SNAPSHOTS=write swift test --filter SettingTextTests` rewrites the files.
@Suite struct SettingTextTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..")
        .standardizedFileURL
    static let writes = ProcessInfo.processInfo.environment["P2PRC_SNAPSHOTS"] == "write"

    static func compare(_ text: String, with path: String) throws {
        let file = root.appending(path: path)
        if writes { try Data(text.utf8).write(to: file) }
        let committed = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        #expect(text == committed, "\(path) is not what the table of settings says; P2PRC_SNAPSHOTS=write writes it")
    }

    @Test func `the example and the schema are those of the table`() throws {
        try Self.compare(SettingText.example(), with: "docs/config.example.toml")
        try Self.compare(SettingText.schema(), with: "json/schema/config.schema.json")
    }

    @Test func `the page about files lists the keys of the table`() throws {
        let path = "docs/files.md"
        let page = String(decoding: try Data(contentsOf: Self.root.appending(path: path)), as: UTF8.self)
        var lines = page.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let first = try #require(lines.firstIndex { $0.hasPrefix("- `name`") })
        let end = try #require(lines[first...].firstIndex(of: ""))
        lines.replaceSubrange(first..<end, with: SettingText.list())
        try Self.compare(lines.joined(separator: "\n"), with: path)
    }

    @Test func `every setting has one name, and a section that is known`() {
        #expect(Set(Setting.all.map(\.name)).count == Setting.all.count)
        #expect(Set(Setting.all.compactMap(\.section)) == Set(Setting.sections.map(\.name)))
        for setting in Setting.all { #expect(setting.flag.map { !SettingText.help(of: $0).isEmpty } ?? true) }
    }

    @Test func `an example is a value that is taken`() throws {
        for setting in Setting.all {
            let section = setting.section.map { "[\($0)]\n" } ?? ""
            #expect(throws: Never.self, "\(setting.name)") {
                try ConfigFile.parse(Array("\(section)\(setting.key) = \(setting.example)\n".utf8))
            }
        }
    }

    @Test(.enabled(if: Ran.isInstalled("python3", "-c", "import tomllib, jsonschema"), "needs tomllib and jsonschema"))
    func `the schema takes the example and refuses what the reader refuses`() throws {
        let script = """
            import json, sys, tomllib, jsonschema
            schema = json.load(open(sys.argv[1]))
            jsonschema.Draft202012Validator.check_schema(schema)
            for text in [open(sys.argv[2]).read()] + json.load(sys.stdin):
                print(len(list(jsonschema.Draft202012Validator(schema).iter_errors(tomllib.loads(text)))))
            """
        let wrong = [
            "server_prot = 1", "server_port = 0", "open = 1", "[limits]\nkeys = 0", "[peers]\nallow = [7]", "[x]",
        ]
        for text in wrong { #expect(throws: ConfigFault.self) { try ConfigFile.parse(Array(text.utf8)) } }
        let files = ["json/schema/config.schema.json", "docs/config.example.toml"].map {
            Self.root.appending(path: $0).path
        }
        let input = String(decoding: try JSONEncoder().encode(wrong), as: UTF8.self)
        let ran = try Ran(["python3", "-W", "ignore", "-c", script] + files, input: input)
        try #require(ran.status == 0, "\(ran.errors)")
        #expect(ran.output.split(separator: "\n").map(String.init) == ["0"] + wrong.map { _ in "1" })
    }
}
