import PeerCore
import PeerReactor
import PeerStorage
import PeerWire
import Testing

@testable import PeerServices

@Suite("What a peer remembers of the ports that it was given")
struct PortMemoryTests {
    private let web = MappingID(value: 1)
    private let mail = MappingID(value: 2)

    private func agreed(_ mapping: MappingID, _ relay: String, _ port: UInt16) -> AgreedPorts {
        AgreedPorts(mapping: mapping, relay: relay, ports: PortRange(first: port, count: 1)!)
    }

    private func ports(_ port: UInt16) -> PortRange { PortRange(first: port, count: 1)! }

    @Test("each relay is asked for what it gave before")
    func each() {
        let memory = PortMemory([agreed(web, "a:1", 20_001), agreed(web, "b:1", 20_002), agreed(mail, "a:1", 20_003)])
        #expect(memory.ports(of: web, at: "a:1") == ports(20_001))
        #expect(memory.ports(of: web, at: "b:1") == ports(20_002))
        #expect(memory.ports(of: mail, at: "b:1") == nil)
        #expect(memory.given(web) == [ports(20_001), ports(20_002)])
    }

    @Test("a new relay is asked for what most gave, and of several for the last")
    func usual() {
        var memory = PortMemory([agreed(web, "a:1", 20_001), agreed(web, "b:1", 20_002), agreed(web, "c:1", 20_001)])
        #expect(memory.usual(web) == ports(20_001))
        memory.remember(agreed(web, "d:1", 20_002))
        #expect(memory.usual(web) == ports(20_002))
        #expect(memory.usual(mail) == nil)
    }

    @Test("what a relay gives takes the place of what it gave before, and is the last")
    func newer() {
        var memory = PortMemory([agreed(web, "a:1", 20_001), agreed(web, "b:1", 20_002)])
        memory.remember(agreed(web, "a:1", 20_005))
        #expect(memory.given(web) == [ports(20_002), ports(20_005)])
        #expect(memory.lastRelays(1) == ["a:1"])
    }

    @Test("the relays that gave ports last are known, the last one first")
    func last() {
        let memory = PortMemory([
            agreed(web, "a:1", 20_001), agreed(web, "b:1", 20_002), agreed(mail, "b:1", 20_003),
            agreed(web, "c:1", 20_004),
        ])
        #expect(memory.lastRelays(2) == ["c:1", "b:1"])
        #expect(memory.lastRelays(9) == ["c:1", "b:1", "a:1"])
        #expect(PortMemory([]).lastRelays(3).isEmpty)
    }

    @Test("where other relays are used now, theirs is written anew, so that the next start begins with them")
    func used() {
        var memory = PortMemory([
            agreed(web, "a:1", 20_001), agreed(mail, "a:1", 20_002), agreed(web, "b:1", 20_003),
            agreed(web, "c:1", 20_004),
        ])
        let written = memory.use(["a:1", "b:1"])
        #expect(written.map(\.relay) == ["b:1", "a:1", "a:1"])
        #expect(Set(memory.lastRelays(2)) == ["a:1", "b:1"])
        #expect(memory.lastRelays(1) == ["a:1"])
    }

    @Test("where they are the same, in whatever order, nothing is written")
    func same() {
        var memory = PortMemory([agreed(web, "a:1", 20_001), agreed(web, "b:1", 20_002)])
        #expect(memory.use(["a:1", "b:1"]).isEmpty)
        #expect(memory.use(["b:1", "a:1"]).isEmpty)
        #expect(memory.lastRelays(1) == ["b:1"])
    }

    @Test("relays that gave nothing are no reason to write")
    func unknown() {
        var memory = PortMemory([agreed(web, "a:1", 20_001)])
        #expect(memory.use([]).isEmpty)
        #expect(memory.use(["x:1"]).isEmpty)
        #expect(memory.use(["x:1", "a:1"]).isEmpty)
    }
}

@Suite("Ports in words")
struct PortNamesTests {
    private let endpoint = Endpoint(host: "127.0.0.1", port: 8_000)

    @Test("ports in a row are a range")
    func runs() {
        #expect(PortNames.text(endpoint, [0]) == "127.0.0.1:8000")
        #expect(PortNames.text(endpoint, [0, 1, 2]) == "127.0.0.1:8000-8002")
        #expect(PortNames.text(endpoint, [5, 0, 1]) == "127.0.0.1:8000-8001, 127.0.0.1:8005")
    }

    @Test("of many ranges eight are named")
    func many() {
        let text = PortNames.text(endpoint, Set((0..<20).map { UInt16($0 * 2) }))
        #expect(text.hasSuffix("127.0.0.1:8014 and others"))
        #expect(text.split(separator: ",").count == 8)
    }
}
