public import PeerStorage
internal import PeerTOML

/// Reads `config.toml`.
public enum ConfigFile {
    /// The defaults where there is no file. A file that cannot be understood is `.damaged`, with the line and the key.
    public static func load(_ paths: HomePaths) throws(StorageError) -> NodeConfig {
        guard let bytes = try ConfigText.read(paths) else { return NodeConfig() }
        do throws(ConfigFault) {
            return try parse(bytes)
        } catch { throw ConfigText.damaged(paths, error.description) }
    }

    /// Fails with the first thing that is wrong, from the top of the file.
    public static func parse(_ bytes: [UInt8]) throws(ConfigFault) -> NodeConfig { try parse(bytes, .shipped) }

    static func parse(_ bytes: [UInt8], _ known: SettingTable) throws(ConfigFault) -> NodeConfig {
        let document: TOMLTable
        do throws(TOMLFault) {
            document = try TOMLText.read(bytes)
        } catch { throw ConfigFault(error) }
        return try ConfigReader.read(document, known)
    }
}

/// What is wrong in a configuration; `description` names the line, where that is known, and the key.
public struct ConfigFault: Error, Hashable, Sendable, CustomStringConvertible {
    public var line: Int?
    public var text: String

    init(line: Int?, text: String) {
        self.line = line
        self.text = text
    }

    init(_ fault: TOMLFault) {
        self.init(line: fault.line, text: fault.text + (fault.column.map { " (column \($0))" } ?? ""))
    }

    public var description: String { (line.map { "line \($0): " } ?? "") + text }
}
