import Foundation

/// The package's own Swift files, read once.
struct SourceFile: Sendable, CustomStringConvertible {
    /// From the package's folder on.
    let path: String
    let lines: [String]

    /// The folder below `Sources`, which is the target's name.
    var target: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
    var description: String { path }

    /// Lines by their numbers, without comments and without what stands in quotes, so that words are not taken for
    /// code. Good enough for this package: it has no block comments.
    var code: [(number: Int, text: String)] {
        var isInLongText = false
        var all: [(number: Int, text: String)] = []
        for (index, line) in lines.enumerated() {
            if line.contains("\"\"\"") {
                isInLongText.toggle()
                continue
            }
            if !isInLongText { all.append((index + 1, Self.codeOnly(line))) }
        }
        return all
    }

    private static func codeOnly(_ line: String) -> String {
        var text = ""
        var (isQuoted, isEscaped) = (false, false)
        var former: Character = " "
        for character in line {
            if isEscaped {
                isEscaped = false
                continue
            }
            if isQuoted, character == "\\" { isEscaped = true }
            if character == "\"" { isQuoted.toggle() }
            if !isQuoted {
                if character == "/", former == "/" { return String(text.dropLast()) }
                text.append(character)
            }
            former = character
        }
        return text
    }

    /// What is imported, whatever stands before the word.
    var imports: [(number: Int, module: String)] {
        code.compactMap { number, text in
            let words = text.split(separator: " ")
            guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
                words[..<place].allSatisfy({ Self.beforeImport.contains(String($0)) || $0.hasPrefix("@") })
            else { return nil }
            var rest = words[(place + 1)...]
            if let kind = rest.first, Self.importKinds.contains(String(kind)) { rest = rest.dropFirst() }
            return rest.first.map { (number, String($0.split(separator: ".")[0])) }
        }
    }

    private static let beforeImport: Set = ["public", "package", "internal", "fileprivate", "private"]
    private static let importKinds: Set = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
}

enum SourceTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let sources = read("Sources")
    static let cSources = read("Sources", "c") + read("Sources", "cpp")
    static let tests = read("Tests")
    /// What people read: the documents, and the files that the repository's front page shows.
    static let pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].compactMap(file) + read("docs", "md")

    private static func read(_ folder: String, _ ending: String = "swift") -> [SourceFile] {
        let top = root.appending(path: folder)
        guard let walk = FileManager.default.enumerator(at: top, includingPropertiesForKeys: nil) else { return [] }
        var files: [SourceFile] = []
        for case let url as URL in walk where url.pathExtension == ending {
            let path = String(url.standardizedFileURL.path.dropFirst(root.standardizedFileURL.path.count + 1))
            if let file = file(path) { files.append(file) }
        }
        return files.sorted { $0.path < $1.path }
    }

    private static func file(_ path: String) -> SourceFile? {
        guard let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) else { return nil }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        return SourceFile(path: path, lines: lines)
    }
}
