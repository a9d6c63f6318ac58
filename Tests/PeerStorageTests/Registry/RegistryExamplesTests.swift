import Foundation
import PeerStorage
import TestSupport
import Testing

/// All of `json/examples`: `valid/<schema>/*.json` and `invalid/<schema>/<field>-<fault>.json`.
struct Example: CustomTestStringConvertible, Sendable {
    let schema: String
    let name: String
    let isValid: Bool

    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("json").path

    static let all: [Example] = ["valid", "invalid"].flatMap { kind in
        // Those of the API belong to PeerAPITests, those of listings to P2PRCKitTests: nothing reads them here.
        names(in: "\(root)/examples/\(kind)").filter(isRegistry).flatMap { schema in
            names(in: "\(root)/examples/\(kind)/\(schema)").map {
                Example(schema: schema, name: $0, isValid: kind == "valid")
            }
        }
    }
    private static func isRegistry(_ schema: String) -> Bool {
        !schema.hasPrefix("api_") && !schema.hasPrefix("ip_table")
    }

    static var valid: [Example] { all.filter(\.isValid) }
    static var invalid: [Example] { all.filter { !$0.isValid } }

    private static func names(in folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
    }

    var path: String { "\(Self.root)/examples/\(isValid ? "valid" : "invalid")/\(schema)/\(name)" }
    var field: String { String(name.prefix { $0 != "-" }) }
    var testDescription: String { "\(schema)/\(name)" }
    static func schemaPath(_ schema: String) -> String { "\(root)/schema/\(schema).schema.json" }

    func decode() throws -> any RegistryDocument {
        let json = try #require(bytes(of: path))
        switch schema {
        case "reverse_proxy_server": return try ServerRegistry(json: json)
        case "reverse_proxy_mapping": return try MappingRegistry(json: json)
        default: throw UnknownSchema(schema: schema)
        }
    }

    struct UnknownSchema: Error { let schema: String }
}

@Suite struct RegistryExamplesTests {
    @Test func `there are examples of both kinds for both registries`() {
        for schema in ["reverse_proxy_server", "reverse_proxy_mapping"] {
            #expect(Example.valid.contains { $0.schema == schema })
            #expect(Example.invalid.contains { $0.schema == schema })
        }
    }

    @Test(arguments: Example.valid) func `a valid example is read`(example: Example) throws { _ = try example.decode() }

    @Test(arguments: Example.invalid)
    func `an invalid example is refused by the name of its field`(example: Example) throws {
        let fault = #expect(throws: RegistryFault.self) { try example.decode() }
        let field = fault?.field.split(separator: ".").last.map { $0.prefix { $0 != "[" } }
        #expect(field.map(String.init) == example.field, "\(fault.map(String.init(describing:)) ?? "")")
    }

    static let validator = "import jsonschema; jsonschema.Draft202012Validator"
    static let python = ["/usr/bin/python3", "python3"].first { Ran.isInstalled($0, "-c", validator) }

    /// Reads lines "schema path", prints for each what the schema finds: fields from paths and missing keys.
    static let script = """
        import json, sys, jsonschema
        for line in sys.stdin:
            schema, path = line.rstrip("\\n").split("\\t")
            schema = json.load(open(schema))
            jsonschema.Draft202012Validator.check_schema(schema)
            found = set()
            for error in jsonschema.Draft202012Validator(schema).iter_errors(json.load(open(path))):
                names = [part for part in error.absolute_path if isinstance(part, str)]
                if error.validator == "required":
                    found |= {key for key in error.validator_value if key not in error.instance}
                else:
                    found.add(names[-1] if names else "document")
            print(",".join(sorted(found)))
        """

    func findings(_ documents: [(schema: String, path: String)]) throws -> [String] {
        let python = try #require(Self.python)
        let lines = documents.map { "\(Example.schemaPath($0.schema))\t\($0.path)\n" }.joined()
        let ran = try Ran([python, "-W", "ignore", "-c", Self.script], input: lines)
        #expect(ran.status == 0, "\(ran.output)")
        return ran.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    @Test(.enabled(if: python != nil, "needs python3 with the package jsonschema"))
    func `the schemas and our own reading agree on every example`() throws {
        let found = try findings(Example.all.map { ($0.schema, $0.path) })
        try #require(found.count == Example.all.count)
        for (example, fields) in zip(Example.all, found) {
            #expect(fields == (example.isValid ? "" : example.field), "\(example.testDescription)")
        }
    }

    @Test(.enabled(if: python != nil, "needs python3 with the package jsonschema"))
    func `what we write ourselves fits the schemas`() async throws {
        let folder = TestFolder()
        let home = try folder.home()
        var written: [(schema: String, path: String)] = []

        let servers = try RegistryFile<ServerRegistry>.open(in: home, now: .someday).file
        var server = ServerRegistry.Server.example(2)
        (server.latency, server.key, server.lastSeen, server.reason, server.state) = (nil, nil, nil, "no", .refused)
        for document in [ServerRegistry(), ServerRegistry(servers: [.example(1), server])] {
            try await servers.write(document)
            written.append(("reverse_proxy_server", try copy(servers.path, in: folder, as: written.count)))
        }

        let mappings = try RegistryFile<MappingRegistry>.open(in: home, now: .someday).file
        var bare = MappingRegistry.Mapping.example(1)
        (bare.address, bare.blindPort, bare.reason, bare.leaseExpires, bare.verifiedBy) = (nil, nil, nil, nil, [])
        for document in [MappingRegistry(), MappingRegistry(mappings: [.example(1), .example(65_535), bare])] {
            try await mappings.write(document)
            written.append(("reverse_proxy_mapping", try copy(mappings.path, in: folder, as: written.count)))
        }
        #expect(try findings(written) == ["", "", "", ""])
    }

    private func copy(_ path: String, in folder: TestFolder, as number: Int) throws -> String {
        let copy = folder.file("\(number).json")
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        return copy
    }
}
