import Foundation
import PeerAPI
import TestSupport
import Testing

/// `json/schema/api_*.schema.json` against what is sent, and against `json/examples/{valid,invalid}/api_*`.
@Suite("The schemas of the API's answers")
struct SchemaTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../json")
        .standardizedFileURL
    static let schemas = ["api_alive", "api_error", "api_node"]

    static func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: root.path + "/" + folder)) ?? []).sorted()
    }

    /// What the schema finds in each document: the fields that are wrong, or `document`.
    static func findings(_ documents: [(schema: String, text: String)]) throws -> [String] {
        let script = """
            import json, sys, jsonschema
            for line in sys.stdin:
                schema, document = json.loads(line)
                schema = json.load(open(schema))
                jsonschema.Draft202012Validator.check_schema(schema)
                found = set()
                for error in jsonschema.Draft202012Validator(schema).iter_errors(json.loads(document)):
                    names = [part for part in error.absolute_path if isinstance(part, str)]
                    if error.validator == "required":
                        found |= {key for key in error.validator_value if key not in error.instance}
                    else:
                        found.add(names[-1] if names else "document")
                print(",".join(sorted(found)))
            """
        let lines = try documents.map { schema, text in
            try JSONEncoder().encode([root.path + "/schema/\(schema).schema.json", text]) + Data("\n".utf8)
        }
        let ran = try Ran(
            ["python3", "-W", "ignore", "-c", script], input: String(decoding: lines.joined(), as: UTF8.self))
        try #require(ran.status == 0, "\(ran.errors)")
        return ran.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    @Test("take the valid examples and refuse the invalid ones by the name of their field")
    func examples() throws {
        var documents: [(schema: String, text: String)] = []
        var expected: [String] = []
        var names: [String] = []
        for kind in ["valid", "invalid"] {
            #expect(Self.names(in: "examples/\(kind)").filter { $0.hasPrefix("api_") } == Self.schemas)
            for schema in Self.schemas {
                let files = Self.names(in: "examples/\(kind)/\(schema)")
                #expect(!files.isEmpty, "\(kind)/\(schema)")
                for file in files {
                    let path = Self.root.path + "/examples/\(kind)/\(schema)/\(file)"
                    documents.append((schema, try String(contentsOfFile: path, encoding: .utf8)))
                    expected.append(kind == "valid" ? "" : String(file.prefix { $0 != "-" }))
                    names.append("\(kind)/\(schema)/\(file)")
                }
            }
        }
        let found = try Self.findings(documents)
        try #require(found.count == documents.count)
        for (index, name) in names.enumerated() { #expect(found[index] == expected[index], "\(name)") }
    }

    @Test("take every answer that is sent")
    func answers() async throws {
        try await APIBench.run { bench in
            var documents: [(schema: String, text: String)] = []
            for (key, path, status, schema) in [
                (nil, "/v1/alive", 200, "api_alive"), (APIBench.member, "/v1/node", 200, "api_node"),
                (nil, "/v1/node", 401, "api_error"), (APIBench.other, "/v1/node", 403, "api_error"),
                (APIBench.member, "/v1/nothing", 404, "api_error"),
            ] {
                let client = try bench.client(key)
                client.send(get(path))
                let reply = try client.reply()
                #expect(reply.status == status)
                documents.append((schema, reply.body))
            }
            let client = try bench.client()
            client.send("PUT / HTTP/1.1\r\nHost: node\r\nContent-Length: 1000000\r\n\r\n")
            documents.append(("api_error", try client.reply().body))
            #expect(try Self.findings(documents) == [String](repeating: "", count: documents.count))
        }
    }
}
