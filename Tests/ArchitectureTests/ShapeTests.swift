import Testing

/// A class, structure or actor, and what it stores, as far as lines of this package tell.
struct TypeShape: Sendable {
    let name: String
    let line: Int
    var stored: [String] = []
}

/// The initialisers and stored properties of a file.
///
/// It reads lines as `swift format` leaves them: a declaration begins a line, and what is stored in a type stands one
/// pair of braces deeper than the type.
struct ShapeReader {
    private struct Scope {
        var depth: Int
        /// `nil` for an extension, an enumeration or a protocol, which store nothing.
        var type: Int?
    }

    private(set) var types: [TypeShape] = []
    /// Of each initialiser: where, and how many parameters.
    private(set) var initialisers: [(line: Int, parameters: Int)] = []
    /// Braces that are open at the end; 0 where the file was understood.
    private(set) var depth = 0

    init(_ file: SourceFile) {
        let code = file.code
        var scopes: [Scope] = []
        var awaited: Int??
        for (index, (number, text)) in code.enumerated() {
            let line = text.drop { $0 == " " }
            if let kind = Self.declaredType(line) {
                awaited = .some(nil)
                if let name = kind {
                    types.append(TypeShape(name: name, line: number))
                    awaited = .some(types.count - 1)
                }
            } else if let scope = scopes.last, scope.depth == depth, let type = scope.type {
                let next = index + 1 < code.count ? code[index + 1].text : ""
                if let name = Self.stored(line, next: next) { types[type].stored.append(name) }
            }
            if let start = Self.initialiser(line) {
                let rest =
                    String(line[start...]) + "\n" + code[(index + 1)...].prefix(40).map(\.text).joined(separator: "\n")
                initialisers.append((number, Self.parameters(rest)))
            }
            for character in text {
                if character == "{" {
                    depth += 1
                    if let type = awaited { scopes.append(Scope(depth: depth, type: type)) }
                    awaited = nil
                } else if character == "}" {
                    if scopes.last?.depth == depth { scopes.removeLast() }
                    depth -= 1
                }
            }
        }
    }

    private static let modifiers: Set = [
        "public", "package", "internal", "fileprivate", "private", "private(set)", "fileprivate(set)", "internal(set)",
        "package(set)", "final", "indirect", "lazy", "weak", "unowned", "nonisolated", "open", "override", "mutating",
        "required", "convenience",
    ]

    /// The words of a line behind its attributes and modifiers.
    private static func words(_ line: Substring) -> [Substring] {
        let words = line.split(separator: " ")
        return Array(words.drop { $0.hasPrefix("@") || modifiers.contains(String($0)) })
    }

    /// `.some(nil)` where it declares something that stores nothing.
    private static func declaredType(_ line: Substring) -> String?? {
        let words = words(line)
        guard words.count > 1, let name = words[1].split(whereSeparator: { ":<{".contains($0) }).first else {
            return nil
        }
        switch words[0] {
        case "class" where words[1] != "func" && words[1] != "var", "struct", "actor": return .some(String(name))
        case "extension", "enum", "protocol": return .some(nil)
        default: return nil
        }
    }

    /// The name of a property that is no computed one.
    private static func stored(_ line: Substring, next: String) -> String? {
        let words = words(line)
        guard words.count > 1, words[0] == "let" || words[0] == "var" else { return nil }
        let name = String(words[1].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
        let brace = line.firstIndex(of: "{")
        if let brace, !line[..<brace].contains(" = ") {
            let body = line[brace...] + next
            guard body.contains("didSet") || body.contains("willSet") else { return nil }
        }
        return name
    }

    /// Where its parameters begin.
    private static func initialiser(_ line: Substring) -> Substring.Index? {
        guard let word = words(line).first, word.hasPrefix("init"), let open = line.firstIndex(of: "("),
            ["init", "init?", "init!"].contains(word.prefix { $0 != "(" && $0 != "<" })
        else { return nil }
        return open
    }

    /// Commas of the first pair of brackets, and one more.
    static func parameters(_ text: String) -> Int {
        var depth = 0
        var commas = 0
        var isEmpty = true
        var former: Character = " "
        for character in text {
            switch character {
            case "(", "[", "{", "<": depth += 1
            case ">" where former == "-": break
            case ")", "]", "}", ">": depth -= 1
            case "," where depth == 1: commas += 1
            default: break
            }
            if depth == 0 { break }
            if character != "(" || depth > 1, character != " ", character != "\n" { isEmpty = false }
            former = character
        }
        return isEmpty ? 0 : commas + 1
    }
}

@Suite("Types")
struct ShapeTests {
    /// Types that are being taken apart. Each goes from here with the change that brings it below the limit.
    private static let unfinished: Set<String> = []

    private static let shapes = SourceTree.sources.map { (file: $0, shape: ShapeReader($0)) }

    @Test("are begun with few values: what belongs together is a value of its own, and what may be left out is set")
    func initialisers() {
        for (file, shape) in Self.shapes {
            for (line, parameters) in shape.initialisers where parameters > 7 {
                Issue.record(
                    """
                    \(file):\(line) takes \(parameters) parameters; of more than 7 nobody sees which is which: group \
                    those that belong together, and let what has a default be set afterwards
                    """)
            }
        }
    }

    @Test("own one thing: one that stores more than 20 properties does more, and none of it is tested by itself")
    func properties() {
        for (file, shape) in Self.shapes {
            for type in shape.types where type.stored.count > 20 && !Self.unfinished.contains(type.name) {
                Issue.record(
                    """
                    \(file):\(type.line) \(type.name) stores \(type.stored.count) properties; more than 20 are more \
                    than one subject: take those that change together out, into a type with a test of its own
                    """)
            }
        }
    }

    @Test("are exempt only as long as they need it")
    func exemptions() {
        let large = Self.shapes.flatMap(\.shape.types).filter { $0.stored.count > 20 }.map(\.name)
        for name in Self.unfinished where !large.contains(name) {
            Issue.record("\(name) is within the limit: take it out of the list")
        }
    }
}

@Suite("The reader of types")
struct ShapeReaderTests {
    private let shape = ShapeReader(
        SourceFile(
            path: "Sources/Some/File.swift",
            lines: [
                "public final class Some<Value>: Sendable {", "    let first: Int", "    private(set) var second = 1",
                "    static let third = 3", "    var fourth: Int { 4 }", "    var fifth: Int {", "        5", "    }",
                "    var sixth = 6 { didSet { print(sixth) } }", "    lazy var seventh: Int = {",
                "        let none = 7",
                "        return none", "    }()", "    struct Inner { var only: Int }", "    init?(", "        a: Int,",
                "        b: [Int: Int] = [:], c: (Int, Int) -> Void", "    ) {}",
                "    init() { self.init(a: 1, b: 2) }",
                "    var eighth: Int {", "        didSet { print(1) }", "    }", "}",
                "extension Some { var ninth: Int { 9 } }",
            ]))

    @Test("counts what is stored, and nothing that is computed or belongs to the type")
    func stored() {
        #expect(shape.types.map(\.name) == ["Some", "Inner"])
        #expect(shape.types.first?.stored == ["first", "second", "sixth", "seventh", "eighth"])
    }

    @Test("counts the parameters of what is declared, over several lines")
    func initialisers() { #expect(shape.initialisers.map(\.parameters) == [3, 0]) }

    @Test("understands all sources")
    func depths() {
        for file in SourceTree.sources { #expect(ShapeReader(file).depth == 0, "\(file) has braces that are not seen") }
    }
}
