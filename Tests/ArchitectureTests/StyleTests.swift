import Testing

@Suite("Sources")
struct StyleTests {
    static let marks = ["try!", "as!", "fatalError", "preconditionFailure", "assertionFailure", "nonisolated(unsafe)"]

    @Test("do not give up where they can tell what went wrong")
    func noTraps() {
        for file in SourceTree.sources {
            for (number, text) in file.code {
                for mark in Self.marks where text.contains(mark) {
                    Issue.record("\(file):\(number) has \(mark): say what happened with an error instead")
                }
                if forcesUnwrapping(text) {
                    Issue.record("\(file):\(number) forces an optional: unwrap it and say what its absence means")
                }
            }
        }
    }

    @Test("change nothing that is the whole process's while other threads rely on it")
    func processWide() {
        for file in SourceTree.sources {
            for (number, text) in file.code {
                for call in ["umask(", "chdir(", "setenv(", "unsetenv("] where text.contains(call) {
                    Issue.record("\(file):\(number) calls \(call)…): it changes what other threads are doing")
                }
            }
        }
    }

    /// A `!` right behind a name or a bracket, and no `!=`.
    private func forcesUnwrapping(_ text: String) -> Bool {
        let characters = Array(text)
        for (index, character) in characters.enumerated() where character == "!" && index > 0 {
            let former = characters[index - 1]
            let isBehind = former.isLetter || former.isNumber || former == ")" || former == "]" || former == "_"
            let isComparison = index + 1 < characters.count && characters[index + 1] == "="
            if isBehind, !isComparison { return true }
        }
        return false
    }

    @Test("are files that one can read in one go")
    func length() {
        for file in SourceTree.sources + SourceTree.tests where file.lines.count > 400 {
            Issue.record(
                """
                \(file) has \(file.lines.count) lines; more than 400 are more than one subject: give each a file that \
                is named after it
                """)
        }
    }

    @Test("lie in rooms: a folder with more than a dozen of them has more than one subject")
    func rooms() {
        let folders = Dictionary(grouping: SourceTree.sources + SourceTree.tests) { file in
            file.path.split(separator: "/").dropLast().joined(separator: "/")
        }
        for (folder, files) in folders.sorted(by: { $0.key < $1.key }) where files.count > 12 {
            Issue.record("\(folder) has \(files.count) files: give it rooms, named by their subjects")
        }
    }

    @Test("keep within 120 columns")
    func width() {
        for file in SourceTree.sources + SourceTree.tests {
            let long = file.lines.indices.filter { file.lines[$0].count > 120 }.map { String($0 + 1) }
            if !long.isEmpty {
                Issue.record("\(file) is wider than 120 columns in line \(long.joined(separator: ", "))")
            }
        }
    }

    @Test("say why, wherever the compiler's check for data races is switched off")
    func unchecked() {
        for file in SourceTree.sources {
            for (index, line) in file.lines.enumerated() where line.contains("@unchecked Sendable") {
                let nearby = file.lines[max(0, index - 3)..<min(file.lines.count, index + 4)]
                if !nearby.contains(where: { $0.contains("// Unchecked") }) {
                    Issue.record("\(file):\(index + 1) is unchecked without a comment that starts with \"Unchecked\"")
                }
            }
        }
    }

    @Test("end with their last line, and have no tabs and no blanks at the end of a line")
    func blanks() {
        for file in SourceTree.sources + SourceTree.tests {
            for (index, line) in file.lines.enumerated() {
                if line.contains("\t") { Issue.record("\(file):\(index + 1) has a tab") }
                if line.last == " " { Issue.record("\(file):\(index + 1) ends with a blank") }
            }
            #expect(file.lines.last != "", "\(file) ends with an empty line")
        }
    }
}

/// The tests above are only as good as the reader below them.
@Suite("The reader of sources")
struct SourceFileTests {
    private let file = SourceFile(
        path: "Sources/Some/Folder/File.swift",
        lines: [
            "internal import CLinux  // import Nothing",
            "@testable public import struct Foundation.Date",
            "/// import Comment",
            "let text = \"import \\\"Quoted\\\" // try!\" + other!", "let brace = \"\\\\\" + \"{\" // }",
        ])

    @Test("finds imports, and only those")
    func imports() {
        #expect(file.imports.map(\.module) == ["CLinux", "Foundation"])
        #expect(file.target == "Some")
    }

    @Test("leaves out comments and texts")
    func code() {
        #expect(file.code.map(\.text)[0] == "internal import CLinux  ")
        #expect(file.code.map(\.text)[3] == "let text = \" + other!")
        #expect(file.code.map(\.text)[4] == "let brace = \" + \" ")
    }

    @Test("finds the package")
    func package() {
        #expect(SourceTree.sources.count > 50)
        #expect(SourceTree.tests.contains { $0.path == "Tests/ArchitectureTests/StyleTests.swift" })
    }
}
