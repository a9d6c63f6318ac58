import Foundation
import Testing

@testable import P2PRCKit

/// A key that only this file knows: its value, and the table of `config.toml` that it stands in.
private enum Greeting: ConfigValue {
    static let standard = "good morning"
}

extension NodeConfig {
    fileprivate var greeting: String {
        get { self[Greeting.self] }
        set { self[Greeting.self] = newValue }
    }
}

@Suite("A key of the configuration")
struct ExampleSettingTests {
    /// The line that registers it.
    private let table = SettingTable.shipped.adding(
        "example", "What this page has an example of.",
        [Setting("example.greeting", \.greeting, .text, "what a visitor is told")])

    private func parse(_ text: String) throws(ConfigFault) -> NodeConfig {
        try ConfigFile.parse(Array(text.utf8), table)
    }

    @Test func `is one file and one line: it is read, has its default, and is refused as others are`() throws {
        #expect(try parse("").greeting == "good morning")
        #expect(try parse("[example]\ngreeting = \"hello\"\n").greeting == "hello")
        #expect(throws: ConfigFault.self) { try parse("[example]\ngreeting = 1\n") }
        do {
            _ = try parse("[example]\ngreetin = \"hello\"\n")
            Issue.record("a mistyped key was taken")
        } catch { #expect(error.description.contains("did you mean example.greeting?"), "\(error)") }
    }

    @Test func `is in the example, the list and the schema that are made of the table`() throws {
        #expect(SettingText.example(of: table).contains("[example]\n# What a visitor is told (text).\ngreeting = "))
        #expect(SettingText.list(of: table).contains { $0.hasPrefix("- `example.greeting` (text; default: good morn") })
        let schema = try #require(
            try JSONSerialization.jsonObject(with: Data(SettingText.schema(of: table).utf8)) as? [String: Any])
        let example = try #require((schema["properties"] as? [String: Any])?["example"] as? [String: Any])
        let keys = try #require(example["properties"] as? [String: Any])
        #expect(keys.keys.sorted() == ["greeting"])
    }

    @Test func `counts where configurations are compared, and its default is none`() throws {
        #expect(try parse("[example]\ngreeting = \"hello\"\n") != NodeConfig())
        #expect(try parse("[example]\ngreeting = \"good morning\"\n") == NodeConfig())
    }

    @Test func `is unknown where it is not registered`() {
        #expect(throws: ConfigFault.self) { try ConfigFile.parse(Array("[example]\ngreeting = \"a\"\n".utf8)) }
    }
}
