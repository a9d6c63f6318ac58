import Glibc

/// One line of JSON on standard output.
struct Report {
    private var fields: [(String, String)]
    private let ok: Bool

    init(_ tool: String, ok: Bool) {
        self.ok = ok
        fields = [("tool", Report.quote(tool)), ("ok", ok ? "true" : "false")]
    }

    func with(_ name: String, _ value: Int) -> Report { adding(name, String(value)) }
    func with(_ name: String, _ value: Bool) -> Report { adding(name, value ? "true" : "false") }
    func with(_ name: String, _ value: String) -> Report { adding(name, Report.quote(value)) }
    func with(_ name: String, _ value: [Int]) -> Report {
        adding(name, "[" + value.map(String.init).joined(separator: ",") + "]")
    }
    func with(_ name: String, _ value: [String: Int]) -> Report {
        let pairs = value.sorted { $0.key < $1.key }.map { Report.quote($0.key) + ":\($0.value)" }
        return adding(name, "{" + pairs.joined(separator: ",") + "}")
    }

    func write() {
        let line = Array(("{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}\n").utf8)
        _ = Glibc.write(1, line, line.count)
    }

    /// Prints the line and ends the program.
    func finish() -> Never {
        write()
        exit(ok ? 0 : 1)
    }

    private func adding(_ name: String, _ value: String) -> Report {
        var copy = self
        copy.fields.append((name, value))
        return copy
    }

    private static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case _ where scalar.value < 0x20: out += " "
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
