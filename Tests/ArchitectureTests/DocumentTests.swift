import Foundation
import Testing

@Suite("Documents")
struct DocumentTests {
    @Test("are where readers look for them")
    func places() {
        let paths = Set(SourceTree.pages.map(\.path))
        for path in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/glossary.md"] {
            #expect(paths.contains(path), "there is no \(path)")
        }
        #expect(paths.contains { $0.hasPrefix("docs/decisions/") })
    }

    @Test("keep within 120 columns")
    func width() {
        for page in SourceTree.pages {
            let long = page.lines.indices.filter { page.lines[$0].count > 120 }.map { String($0 + 1) }
            if !long.isEmpty {
                Issue.record("\(page) is wider than 120 columns in line \(long.joined(separator: ", "))")
            }
        }
    }

    @Test("have no tabs and no blanks at the end of a line")
    func blanks() {
        for page in SourceTree.pages {
            for (index, line) in page.lines.enumerated() where line.contains("\t") || line.last == " " {
                Issue.record("\(page):\(index + 1) has a tab, or ends with a blank")
            }
        }
    }

    @Test("link to files that exist")
    func links() {
        for page in SourceTree.pages {
            let folder = SourceTree.root.appending(path: page.path).deletingLastPathComponent()
            for (index, line) in page.lines.enumerated() {
                for link in line.matches(of: #/\]\(([^)#:]+)(?:#[^)]*)?\)/#) {
                    let target = folder.appending(path: String(link.output.1)).standardizedFileURL.path
                    if !FileManager.default.fileExists(atPath: target) {
                        Issue.record("\(page):\(index + 1) links to \(link.output.1), which does not exist")
                    }
                }
            }
        }
    }
}
