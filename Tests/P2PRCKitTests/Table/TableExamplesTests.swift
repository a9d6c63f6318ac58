import Foundation
import TestSupport
import Testing

/// `json/schema/ip_table*.schema.json` against `json/examples/{valid,invalid}/ip_table*`. What the program prints is
/// held against them in ProcessTests.
@Suite struct TableExamplesTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../json")
        .standardizedFileURL.path

    /// For each example its path and what the schema finds in it: the fields that are wrong, with commas between.
    static func findings() throws -> [(path: String, fields: String)] {
        let script = """
            import glob, json, sys, jsonschema
            for path in sorted(glob.glob(sys.argv[1] + "/examples/*/ip_table*/*.json")):
                schema = json.load(open("%s/schema/%s.schema.json" % (sys.argv[1], path.split("/")[-2])))
                jsonschema.Draft202012Validator.check_schema(schema)
                found = set()
                for error in jsonschema.Draft202012Validator(schema).iter_errors(json.load(open(path))):
                    names = [part for part in error.absolute_path if isinstance(part, str)]
                    if error.validator == "required":
                        found |= {key for key in error.validator_value if key not in error.instance}
                    else:
                        found.add(names[-1] if names else "document")
                print(path + ":" + ",".join(sorted(found)))
            """
        let ran = try Ran(["python3", "-c", script, root])
        try #require(ran.status == 0, "\(ran.errors)")
        return ran.output.split(separator: "\n").map { line in
            let parts = line.split(separator: ":", omittingEmptySubsequences: false)
            return (String(parts[0]), String(parts[1]))
        }
    }

    @Test func `valid examples are taken, and invalid ones refused by the name of their field`() throws {
        let findings = try Self.findings()
        for kind in ["valid/ip_table", "valid/ip_table_node", "invalid/ip_table", "invalid/ip_table_node"] {
            #expect(findings.contains { $0.path.contains("/\(kind)/") }, "no example: \(kind)")
        }
        for (path, fields) in findings {
            let name = path.split(separator: "/").last?.prefix { $0 != "-" } ?? ""
            #expect(fields == (path.contains("/valid/") ? "" : name), "\(path)")
        }
    }
}
