internal import PeerTOML

/// Takes values out of a document by name and type, and remembers what is wrong and which names were asked for.
struct ConfigReader {
    /// One table of the document, or its top.
    struct Section {
        let name: String?
        /// `nil` where the document has none.
        fileprivate let table: TOMLTable?
        fileprivate var known: [String] = []
        fileprivate var faults: [ConfigFault] = []

        /// Leaves `value` as it is where the key is missing.
        mutating func read<Value>(_ key: String, into value: inout Value, _ kind: ConfigKind<Value>) {
            known.append(key)
            guard let found = table?.entries[key] else { return }
            do throws(ConfigRefusal) {
                value = try kind.read(found)
            } catch { faults.append(ConfigFault(line: found.line, text: "\(path(of: key)): \(error.text)")) }
        }

        mutating func read<Value>(_ key: String, into value: inout Value?, _ kind: ConfigKind<Value>) {
            var read: Value?
            self.read(key, into: &read, kind.optional)
            if let read { value = read }
        }

        fileprivate func path(of key: String) -> String { name.map { "\($0).\(key)" } ?? key }
    }

    private let root: TOMLTable
    private var sections: [Section] = []
    private var faults: [ConfigFault] = []

    init(root: TOMLTable) { self.root = root }

    mutating func section(_ name: String?, _ body: (inout Section) -> Void) {
        let table = name.map { root.table($0) } ?? root
        if let name, table == nil, let other = root.entries[name] {
            faults.append(
                ConfigFault(line: other.line, text: "\(name) is \(other.article); write a table: [\(name)]"))
        }
        var section = Section(name: name, table: table)
        body(&section)
        faults += section.faults
        sections.append(section)
    }

    /// Every key that nobody asked for is a mistake of spelling, or for another version.
    mutating func refuseUnknown() {
        let names = sections.compactMap(\.name)
        let all = sections.flatMap { section in section.known.map { section.path(of: $0) } } + names
        for section in sections {
            for (key, value) in section.table?.entries ?? [:] where !section.known.contains(key) {
                if section.name == nil, names.contains(key) { continue }
                let path = section.path(of: key)
                let near = Spelling.nearest(to: path, in: all) ?? all.first { $0.hasSuffix(".\(key)") }
                let advice = near.map { "; did you mean \($0)?" } ?? ""
                faults.append(ConfigFault(line: value.line, text: "there is no key \(Self.shown(path))\(advice)"))
            }
        }
    }

    /// A name in quotes may hold anything; people see one line of it.
    private static func shown(_ path: String) -> String {
        let isPlain = path.unicodeScalars.allSatisfy { $0.value > 0x20 && !(0x7f...0x9f).contains($0.value) }
        return isPlain && !path.isEmpty && path.utf8.count <= 64 ? path : "of that name"
    }

    /// The one that stands first in the file.
    var firstFault: ConfigFault? { faults.min { ($0.line ?? .max, $0.text) < ($1.line ?? .max, $1.text) } }
}
