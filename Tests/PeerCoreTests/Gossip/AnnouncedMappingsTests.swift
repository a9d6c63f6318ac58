import PeerCore
import PeerWire
import SimulationSupport
import Testing

@Suite struct AnnouncedMappingsTests {
    static func at(_ host: String, _ names: String...) -> [(id: MappingID, mapping: NodeRecord.Mapping)] {
        names.map { name in
            let mapping = NodeRecord.Mapping(name: name, protocols: .tcp, host: host, ports: .only(4_000))
            return (MappingID(value: UInt64(name.utf8.reduce(0) { Int($0) * 31 + Int($1) })), mapping)
        }
    }

    static func places(_ relays: [[(id: MappingID, mapping: NodeRecord.Mapping)]]) -> [String] {
        AnnouncedMappings.inOrder(relays).map { "\($0.name) \($0.host)" }
    }

    @Test func `each is told where it is reached best before one is told twice`() {
        #expect(Self.places([]) == [])
        #expect(
            Self.places([Self.at("best", "a", "b"), Self.at("next", "a", "b", "c"), Self.at("last", "c", "a")])
                == ["a best", "b best", "c next", "a next", "b next", "c last", "a last"])
    }

    @Test func `of many at two relays each is in the record`() {
        let names = (0..<12).map { "service-\($0)" }
        let relays = ["best", "next"].map { host in names.flatMap { Self.at(host, $0) } }
        let content = RecordAuthor.Content(name: "n", software: "s", mappings: AnnouncedMappings.inOrder(relays)).fitted
        #expect(content.mappings.count == NodeRecord.maximumMappings)
        #expect(Set(content.mappings.map(\.name)) == Set(names))
    }
}
