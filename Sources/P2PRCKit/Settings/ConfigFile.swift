internal import PeerCore
public import PeerStorage
internal import PeerTOML
internal import PeerWire

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
    public static func parse(_ bytes: [UInt8]) throws(ConfigFault) -> NodeConfig {
        let document: TOMLTable
        do throws(TOMLFault) {
            document = try TOMLText.read(bytes)
        } catch { throw ConfigFault(error) }
        var reader = ConfigReader(root: document)
        let config = read(&reader)
        if let fault = reader.firstFault { throw fault }
        return config
    }

    private static func read(_ reader: inout ConfigReader) -> NodeConfig {
        var config = NodeConfig()
        reader.section(nil) { top in
            top.read("name", into: &config.name, .text)
            top.read("server_port", into: &config.serverPort, .port)
            top.read("bind", into: &config.bind, .text)
            top.read("advertise", into: &config.advertise, .text)
            top.read("ports", into: &config.ports, .ports)
            top.read("open", into: &config.isOpen, .flag)
            top.read("plain", into: &config.isPlain, .flag)
            top.read("p2prc_compat", into: &config.p2prcCompat, .text)
            top.read("relays", into: &config.relays, .number(0...8))
            top.read("hook", into: &config.hook, .text)
            // A year at most, so that the number of seconds fits the protocol.
            top.read("lease_hours", into: &config.leaseHours, .number(1...8_760))
        }
        reader.section("visitors") { config.visitors = filter(&$0) }
        reader.section("peers") { config.peers = filter(&$0) }
        reader.section("limits") { limits in
            limits.read("keys", into: &config.limits.keys, .count)
            limits.read("leases", into: &config.limits.leases, .count)
            limits.read("mappings", into: &config.limits.mappings, .count)
            limits.read("connections", into: &config.limits.connections, .count)
            limits.read("connections_per_second", into: &config.limits.connectionsPerSecond, .count)
            limits.read("bytes_per_second", into: &config.limits.bytesPerSecond, .bytes(from: 1))
        }
        reader.section("sources") { sources in
            var (rate, halfOpen) = (config.sources.handshakesPerSecond, config.sources.halfOpen)
            sources.read("handshakes_per_second", into: &rate, .count)
            sources.read("half_open", into: &halfOpen, .count)
            config.sources = SourceGate.Limits(handshakesPerSecond: rate, halfOpen: halfOpen)
        }
        reader.section("reserve") { reserve in
            reserve.read("descriptors", into: &config.reserve.descriptors, .number(0...Int(Int32.max)))
            reserve.read("buffers", into: &config.reserve.buffers, .bytes(from: 0))
        }
        reader.section("mesh") { $0.read("dial", into: &config.meshDial, .networks) }
        reader.refuseUnknown()
        return config
    }

    private static func filter(_ section: inout ConfigReader.Section) -> NetworkFilter {
        var (allow, deny): ([Network], [Network]) = ([], [])
        section.read("allow", into: &allow, .networks)
        section.read("deny", into: &deny, .networks)
        return NetworkFilter(allow: allow, deny: deny)
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
