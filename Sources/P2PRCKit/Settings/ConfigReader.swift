internal import PeerTOML

/// Takes the settings out of a document, each by its name and type.
struct ConfigReader {
    private let root: TOMLTable
    private let known: SettingTable
    private var config = NodeConfig()
    private var faults: [ConfigFault] = []

    /// Fails with the first thing that is wrong, from the top of the file.
    static func read(_ root: TOMLTable, _ known: SettingTable = .shipped) throws(ConfigFault) -> NodeConfig {
        var reader = ConfigReader(root, known)
        reader.readTable(nil, root)
        for (name, _) in known.sections {
            if let table = root.table(name) {
                reader.readTable(name, table)
            } else if let other = root.entries[name] {
                reader.faults.append(
                    ConfigFault(line: other.line, text: "\(name) is \(other.article); write a table: [\(name)]"))
            }
        }
        let first = reader.faults.min { ($0.line ?? .max, $0.text) < ($1.line ?? .max, $1.text) }
        if let first { throw first }
        return reader.config
    }

    private init(_ root: TOMLTable, _ known: SettingTable) {
        self.root = root
        self.known = known
    }

    /// - Parameter section: `nil` for the top of the file.
    private mutating func readTable(_ section: String?, _ table: TOMLTable) {
        for setting in known.settings where setting.section == section {
            guard let found = table.entries[setting.key] else { continue }
            do throws(ConfigRefusal) {
                try setting.take(found, &config)
            } catch { faults.append(ConfigFault(line: found.line, text: "\(setting.name): \(error.text)")) }
        }
        for (key, value) in table.entries {
            let path = section.map { "\($0).\(key)" } ?? key
            let isSection = section == nil && known.sections.contains { $0.name == key }
            if isSection || known.settings.contains(where: { $0.section == section && $0.key == key }) { continue }
            refuseUnknown(path, key, line: value.line)
        }
    }

    /// A mistake of spelling, or for another version.
    private mutating func refuseUnknown(_ path: String, _ key: String, line: Int) {
        let all = known.settings.map(\.name) + known.sections.map(\.name)
        let near = Spelling.nearest(to: path, in: all) ?? all.first { $0.hasSuffix(".\(key)") }
        let advice = near.map { "; did you mean \($0)?" } ?? ""
        faults.append(ConfigFault(line: line, text: "there is no key \(Self.shown(path))\(advice)"))
    }

    /// A name in quotes may hold anything; people see one line of it.
    private static func shown(_ path: String) -> String {
        let isPlain = path.unicodeScalars.allSatisfy { $0.value > 0x20 && !(0x7f...0x9f).contains($0.value) }
        return isPlain && !path.isEmpty && path.utf8.count <= 64 ? path : "of that name"
    }
}
